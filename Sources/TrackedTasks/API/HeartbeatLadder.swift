#if !hasFeature(Embedded)

  /// What a registry does about a task that stays stalled, step by step.
  ///
  /// The event `RegistryEvent.Event.taskStalled` comes first, as without a ladder. Then the task is
  /// explained, to the log and to a descriptor. The last step is only taken if it is asked for. A
  /// heartbeat begins anew. Nothing is told to abort or ended unless the application says so.
  public struct HeartbeatLadder: Hashable, Sendable {
    /// For how long a heartbeat is overdue when the task is explained; nil: for as long as its
    /// heartbeat interval.
    public var explainAfter: Duration?
    /// How much longer it is when the last step is taken; nil: as long as the heartbeat interval.
    public var lastAfter: Duration?
    /// The last step.
    public var last: Last
    /// Where an explanation goes, beside `RegistryOptions.log`; nil: nowhere.
    ///
    /// The descriptor has to stay open as long as the registry has tasks.
    public var descriptor: Int32?

    /// Creates a ladder: each argument is the property of its name, with its default.
    public init(
      explainAfter: Duration? = nil, lastAfter: Duration? = nil, last: Last = Last.nothing,
      descriptor: Int32? = nil
    ) {
      self.explainAfter = explainAfter
      self.lastAfter = lastAfter
      self.last = last
      self.descriptor = descriptor
    }

    /// The last step.
    @nonexhaustive
    public enum Last: UInt32, Hashable, Sendable {
      /// None.
      case nothing = 0
      /// The task is told to abort, as by `TrackedTask.abort`.
      case abortTask = 1
      /// The process ends, as `ProcessExit.arm` has armed it.
      ///
      /// If nothing is armed, threads are made at that moment, and the process ends with the
      /// defaults of `ProcessExit.Options`.
      case endProcess = 2
    }

    /// Stores it; false if it breaks its documented requirements.
    func put(in core: inout RegistryOptionsCore) -> Bool {
      guard (explainAfter ?? .seconds(1)) > .zero, (lastAfter ?? .seconds(1)) > .zero,
        (descriptor ?? 0) >= 0
      else { return false }
      var plan = StallLadder.Plan()
      plan.explainAfter = explainAfter?.wholeNanoseconds ?? 0
      plan.lastAfter = lastAfter?.wholeNanoseconds ?? 0
      plan.last = StallLadder.Last(rawValue: last.rawValue) ?? .nothing
      core.ladder = plan
      core.explainDescriptor = descriptor ?? -1
      return true
    }
  }

#endif
