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

    /// Gives a kind of the application's own a name, in the whole process, which reports, lists and
    /// `description` show from then on in place of "application".
    ///
    /// - Parameters:
    ///   - name: 1 to 63 bytes of UTF-8 without NUL; longer names are cut at a character boundary.
    ///     Each different one is kept until the process ends.
    ///   - kind: the kind; a second name replaces its first.
    /// - Throws: `invalidArgument`; `limitReached` if 64 other kinds have names; `outOfMemory`;
    ///   `forkedChild`.
    ///
    /// *Concurrency:* any thread; never blocks.
    public static func setName(_ name: String, of kind: TaskKind) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      guard kind.rawValue >= 0x100, !name.utf8.contains(0),
        let copied = withUTF8Text(name, { TaskName($0) })
      else { throw .invalidArgument }
      try check(KindNames.set(copied, of: kind.rawValue))
    }

    /// Whether tasks may have this kind.
    var isKnown: Bool { (1...4).contains(rawValue) || rawValue >= 0x100 }
  }

  extension TaskKind: CustomStringConvertible {
    /// The kind in lower case, "peer-connection", or the name that it was given.
    public var description: String {
      switch self {
      case .backgroundLoop: "background-loop"
      case .peerConnection: "peer-connection"
      case .rpcHandler: "rpc-handler"
      case .maintenance: "maintenance"
      default:
        if let name = KindNames.name(of: rawValue) {
          String(cString: name)
        } else {
          rawValue >= 0x100 ? "application" : "unknown"
        }
      }
    }
  }

#endif
