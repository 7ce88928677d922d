#if !hasFeature(Embedded)

  /// A signal that asks for something of its own; see `TaskRegistry.startSignalWatch`.
  public struct WatchedSignal: Hashable, Sendable {
    /// The signal's number.
    public var number: Int32
    /// What it asks for.
    public var role: Role
    /// The reason that the token gets; nil: `.userRequested`, or `.reloadRequested` for a reload.
    public var reason: ShutdownReason?

    /// What a signal asks for.
    @nonexhaustive
    public enum Role: Hashable, Sendable {
      /// A stop: the first cancels, the second aborts, the third ends the process.
      case stop
      /// A stop that counts as the second, or as the third if two have come.
      case stopNow
      /// A stop in order to start again, which is not counted.
      case reload
      /// What the live tasks are doing is written as text to this descriptor, which stays open as
      /// long as the watch; nobody is asked to stop.
      case explain(descriptor: Int32)
    }

    /// Creates a role for a signal.
    public init(_ number: Int32, _ role: Role, reason: ShutdownReason? = nil) {
      self.number = number
      self.role = role
      self.reason = reason
    }

    /// What the core takes; nil if that is not a signal, or not a descriptor.
    var assignment: SignalAssignment? {
      guard (1...SignalWatch.lastSignal).contains(number) else { return nil }
      let reason = reason?.rawValue ?? 0
      switch role {
      case .stop:
        return SignalAssignment(
          number: number, role: SignalRole(.stop, reason: reason), descriptor: -1)
      case .stopNow:
        return SignalAssignment(
          number: number, role: SignalRole(.stopNow, reason: reason), descriptor: -1)
      case .reload:
        return SignalAssignment(
          number: number, role: SignalRole(.reload, reason: reason), descriptor: -1)
      case .explain(let descriptor):
        if descriptor < 0 { return nil }
        return SignalAssignment(
          number: number, role: SignalRole(.explain, reason: reason), descriptor: descriptor)
      }
    }
  }

#endif
