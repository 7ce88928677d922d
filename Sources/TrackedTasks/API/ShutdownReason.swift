#if !hasFeature(Embedded)

  /// Why a token was cancelled.
  ///
  /// The library records any number as it is given.
  public struct ShutdownReason: RawRepresentable, Hashable, Sendable, Codable {
    /// The number, as in `tr_reason`.
    public let rawValue: UInt32

    /// Makes the reason with this number.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// Not cancelled, or no reason given.
    public static let none = ShutdownReason(rawValue: 0)
    /// A person or a signal asked for it.
    public static let userRequested = ShutdownReason(rawValue: 1)
    /// A remote caller asked for it.
    public static let rpcRequested = ShutdownReason(rawValue: 2)
    /// Stop in order to start again.
    public static let reloadRequested = ShutdownReason(rawValue: 3)
    /// The program has finished its work.
    public static let requestedByRun = ShutdownReason(rawValue: 4)
    /// An error from which the program cannot recover.
    public static let fatal = ShutdownReason(rawValue: 5)
    /// The token's timeout passed.
    public static let deadline = ShutdownReason(rawValue: 6)
  }

  extension ShutdownReason: CustomStringConvertible {
    /// The reason in lower case, "user-requested"; the number if the library has no name for it.
    public var description: String {
      switch self {
      case .none: "none"
      case .userRequested: "user-requested"
      case .rpcRequested: "rpc-requested"
      case .reloadRequested: "reload-requested"
      case .requestedByRun: "requested-by-run"
      case .fatal: "fatal"
      case .deadline: "deadline"
      default: "reason \(rawValue)"
      }
    }
  }

#endif
