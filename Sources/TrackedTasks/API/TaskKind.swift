#if !hasFeature(Embedded)

  /// What a task is for, so that a list of tasks can be read at a glance.
  public struct TaskKind: RawRepresentable, Hashable, Sendable, Codable {
    /// The number, as in `tr_kind`; numbers from 0x100 are the application's.
    public let rawValue: UInt32

    /// Makes the kind with this number; spawning checks it.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// A long-running loop: heartbeat, synchronisation.
    public static let backgroundLoop = TaskKind(rawValue: 1)
    /// Serves one connection.
    public static let peerConnection = TaskKind(rawValue: 2)
    /// Answers one request.
    public static let rpcHandler = TaskKind(rawValue: 3)
    /// A periodic job: compaction, log rotation.
    public static let maintenance = TaskKind(rawValue: 4)

    /// A kind of the application's own: number 0 is 0x100, and so on.
    public static func application(_ number: UInt32 = 0) -> TaskKind {
      TaskKind(rawValue: 0x100 &+ number)
    }

    /// Whether tasks may have this kind.
    var isKnown: Bool { (1...4).contains(rawValue) || rawValue >= 0x100 }
  }

  extension TaskKind: CustomStringConvertible {
    /// The kind in lower case: "peer-connection".
    public var description: String {
      switch self {
      case .backgroundLoop: "background-loop"
      case .peerConnection: "peer-connection"
      case .rpcHandler: "rpc-handler"
      case .maintenance: "maintenance"
      default: rawValue >= 0x100 ? "application" : "unknown"
      }
    }
  }

#endif
