/// The steps that are taken about a task which misses its heartbeats, one after the other: a pure
/// value, like `TaskWord` (E7, F4).
///
///     quiet → reported → explained → over
///
///     quiet → reported     [next]: a heartbeat is overdue
///     reported → explained [next]: it has been for `explainAfter`; only with a plan
///     explained → over     [next]: it has been for `lastAfter` more; only with a last step
///     reported → over      [next]: the same, if the end of the process is due, and can come, while a
///                          step is still being delivered
///     quiet → over         [next]: likewise, if that step is of the stall before
///     → quiet              [beat]
///
/// SL1: between two heartbeats each step is taken at most once, and in this order.
/// SL2: no step is taken before its time, and none after a heartbeat, until the next is overdue.
/// SL3: while a step is being delivered, no other is taken but the end of the process, and that one
///      only where nothing has to be delivered for it.
/// SL4: a step that is due is taken once it can be.
struct StallLadder {
  /// How far it has come.
  private(set) var rung = Rung.quiet

  /// What the application has asked for.
  struct Plan {
    /// For how long a heartbeat is overdue when the task is explained, in nanoseconds; 0: for as
    /// long as its heartbeat interval.
    var explainAfter: Int64 = 0
    /// How much longer it is when the last step is taken; likewise.
    var lastAfter: Int64 = 0
    var last = Last.nothing
  }

  /// The last step; the numbers are those of `TR_LADDER_…`.
  enum Last: UInt32 {
    /// None: the task stays as it is.
    case nothing = 0
    /// The task is told to abort.
    case abortTask = 1
    /// The process ends.
    case endProcess = 2
  }

  /// What has been done since the last heartbeat.
  enum Rung {
    /// Nothing.
    case quiet
    /// The stall was reported.
    case reported
    /// The task was explained.
    case explained
    /// The last step was taken.
    case over
  }

  /// What is to be done now.
  enum Step: Equatable {
    /// Report the stall.
    case report
    /// Explain what the task does.
    case explain
    /// Take the last step.
    case last
    /// Ask again when the task has been silent for so many nanoseconds.
    case wait(silence: Int64)
    /// Nothing, before the next heartbeat or the end of a delivery.
    case rest
  }

  /// The next step, which counts as taken.
  ///
  /// - Parameters:
  ///   - silence: how long ago the last heartbeat was, in nanoseconds.
  ///   - interval: the heartbeat interval, in nanoseconds; more than 0.
  ///   - plan: what comes after the first step; nil: nothing.
  ///   - isDelivering: whether an earlier step is still being delivered.
  ///   - canEnd: whether the caller can end the process by itself, so that the end needs no delivery.
  /// - Returns: what is to be done now.
  mutating func next(
    silence: Int64, interval: Int64, plan: Plan?, isDelivering: Bool, canEnd: Bool
  ) -> Step {
    // A heartbeat at the end of the interval is in time.
    let overdueAt = Self.sum(interval, 1)
    if rung == .quiet {
      if silence < overdueAt { return .wait(silence: overdueAt) }
      if !isDelivering {
        rung = .reported
        return .report
      }
    }
    guard let plan, rung != .over else { return .rest }
    let explainAt = Self.sum(overdueAt, plan.explainAfter == 0 ? interval : plan.explainAfter)
    let lastAt = Self.sum(explainAt, plan.lastAfter == 0 ? interval : plan.lastAfter)
    if isDelivering {
      if plan.last != .endProcess { return .rest }
    } else if rung == .reported {
      if silence < explainAt { return .wait(silence: explainAt) }
      rung = .explained
      return .explain
    }
    if plan.last == .nothing { return .rest }
    if silence < lastAt { return .wait(silence: lastAt) }
    // Whether it can may change before the delivery is over.
    if isDelivering && !canEnd { return .wait(silence: Self.sum(silence, interval)) }
    rung = .over
    return .last
  }

  /// A heartbeat has come: everything starts anew.
  mutating func beat() { rung = .quiet }

  /// `.max` if it is too large.
  private static func sum(_ one: Int64, _ other: Int64) -> Int64 {
    let (sum, overflow) = one.addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
