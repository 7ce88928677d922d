#if !hasFeature(Embedded)

  /// When and how often a task starts again after its body has ended.
  ///
  /// It stays one task: the same id, name and handle. It is alive, counted and waited for until its
  /// last run is over. Between two runs it has no thread, and its state is
  /// `TaskSummary.State.waiting`. Asked to stop while it waits it ends at once, with the outcome of
  /// its last run; once it was asked to stop no further run begins.
  ///
  /// A run that fails is one whose body throws or leaves its thread. A crash ends the process, and
  /// nothing is started again.
  public struct TaskRestart: Hashable, Sendable {
    /// After which ends of its body the task starts again.
    public var condition: Condition
    /// The delay before the first restart.
    ///
    /// A run begins up to a 32nd of its delay late, and 67 ms at most, together with those of other
    /// tasks.
    public var shortestDelay: Duration
    /// No delay becomes longer; not below `shortestDelay`.
    public var longestDelay: Duration
    /// Each delay is so many percent of the one before: 200 doubles it; at least 100.
    public var factorPercent: Int
    /// Each delay is shortened at random, by no more than this percentage of it, so that tasks that fail
    /// together do not start together; 0 to 100.
    public var jitterPercent: Int
    /// After a run of so long the delay is the shortest again.
    public var healthyRun: Duration
    /// How many restarts there are at most in any `window`; nil: any number; else 1 to 64.
    ///
    /// After one more failure the task has ended for good.
    public var mostRestarts: Int?
    /// The time for `mostRestarts`.
    public var window: Duration

    /// After which ends of its body a task starts again.
    @nonexhaustive
    public enum Condition: Hashable, Sendable {
      /// After any end but a return.
      case onFailure
      /// After any end.
      case always
    }

    /// Creates a restart: each argument is the property of its name, with its default.
    public init(
      _ condition: Condition, shortestDelay: Duration = .milliseconds(100),
      longestDelay: Duration = .seconds(30), factorPercent: Int = 200, jitterPercent: Int = 0,
      healthyRun: Duration = .seconds(60), mostRestarts: Int? = nil,
      window: Duration = .seconds(60)
    ) {
      self.condition = condition
      self.shortestDelay = shortestDelay
      self.longestDelay = longestDelay
      self.factorPercent = factorPercent
      self.jitterPercent = jitterPercent
      self.healthyRun = healthyRun
      self.mostRestarts = mostRestarts
      self.window = window
    }

    /// The policy; nil if it breaks the documented requirements.
    var policy: RestartPolicy? {
      if let mostRestarts, mostRestarts < 1 { return nil }
      guard let factor = UInt32(exactly: factorPercent),
        let jitter = UInt32(exactly: jitterPercent), let most = UInt32(exactly: mostRestarts ?? 0)
      else { return nil }
      var policy = RestartPolicy()
      policy.when = condition == .always ? .always : .onFailure
      policy.shortestDelay = shortestDelay.wholeNanoseconds
      policy.longestDelay = longestDelay.wholeNanoseconds
      policy.factor = factor
      policy.jitter = jitter
      policy.healthyAfter = healthyRun.wholeNanoseconds
      policy.mostRestarts = most
      policy.window = window.wholeNanoseconds
      return policy.isValid ? policy : nil
    }
  }

#endif
