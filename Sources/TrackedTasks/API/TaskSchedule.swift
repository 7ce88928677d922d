#if !hasFeature(Embedded)

  /// When a periodic task runs.
  ///
  /// Times are those of `CLOCK_MONOTONIC`: neither a change of the clock on the wall nor time in which
  /// the machine was suspended makes a run due.
  public struct TaskSchedule: Hashable, Sendable {
    /// From tick to tick; positive.
    ///
    /// A run begins up to a 32nd of it late, and 67 ms at most, together with those of other tasks.
    public var period: Duration
    /// From the spawn to the first tick; not negative.
    public var firstDelay: Duration
    /// Each run begins later than its tick at random, by no more than this percentage of the period;
    /// 0 to 100.
    public var jitterPercent: Int
    /// Whether the next tick is one period after the end of a run.
    ///
    /// Otherwise ticks are whole periods after the first one, however long the runs take.
    public var countsFromEnd: Bool
    /// What becomes of ticks at which no run could begin.
    public var missed: MissedTicks
    /// Whether a run that fails is the last, and the task has failed.
    public var endsOnFailure: Bool

    /// Creates a schedule, at a fixed rate unless said otherwise, whose first run begins at once.
    ///
    /// Each argument is the property of its name.
    public init(
      every period: Duration, firstDelay: Duration = .zero, jitterPercent: Int = 0,
      countsFromEnd: Bool = false, missed: MissedTicks = .skip, endsOnFailure: Bool = false
    ) {
      self.period = period
      self.firstDelay = firstDelay
      self.jitterPercent = jitterPercent
      self.countsFromEnd = countsFromEnd
      self.missed = missed
      self.endsOnFailure = endsOnFailure
    }

    /// What becomes of ticks that come while a run is under way, or while the process does not run.
    @nonexhaustive
    public enum MissedTicks: Hashable, Sendable {
      /// They are left out: the next run begins at the next tick.
      case skip
      /// Each is made up for: runs follow one another until none is left.
      case burst
      /// One run begins at once, and the ticks are counted from there.
      case delay
    }

    /// The rule; nil if it breaks the documented requirements.
    var rule: ScheduleRule? {
      guard let jitter = UInt32(exactly: jitterPercent) else { return nil }
      var rule = ScheduleRule()
      rule.period = period.wholeNanoseconds
      rule.firstDelay = firstDelay.wholeNanoseconds
      rule.jitter = jitter
      rule.countsFromEnd = countsFromEnd
      rule.missed =
        switch missed {
        case .skip: .skip
        case .burst: .burst
        case .delay: .delay
        }
      return rule.isValid ? rule : nil
    }
  }

  extension TrackedTask {
    /// Makes a run of a periodic task begin at once or, if one is under way, after that; also while it
    /// is paused.
    ///
    /// Its ticks stay where they are. Several calls before that run begins are one, and so are a call
    /// and a tick that meet. A task that waits to start again (``TaskRestart``) does so at once.
    ///
    /// - Throws: `closed` if no further run follows; `invalidArgument` if the task is of neither sort;
    ///   `forkedChild`.
    ///
    /// *Concurrency:* does not wait for the run.
    public func trigger() throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(core.trigger())
    }

    /// Pauses the schedule of a periodic task: no tick comes, and none is missed.
    ///
    /// A run that is under way goes on.
    ///
    /// - Throws: as `trigger`.
    public func pause() throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(core.setPaused(true))
    }

    /// Ends a pause.
    ///
    /// - Throws: as `trigger`.
    public func resume() throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(core.setPaused(false))
    }

    /// Changes the period of a periodic task.
    ///
    /// The next tick is so long after the last one, or at once if that is over.
    ///
    /// - Parameter period: positive.
    /// - Throws: as `trigger`.
    public func setPeriod(_ period: Duration) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(core.setPeriod(period.wholeNanoseconds))
    }
  }

#endif
