/// What a restart policy says after each run of a task's body: a pure value, to which time and chance
/// are arguments (B1, B2).
///
/// Times are nanoseconds on one clock, which may stand still, leap, or run backwards; sums are
/// limited to what 64 bits hold.
///
/// RP1: no delay is longer than `longestDelay`, or shorter than `shortestDelay` less the jitter.
/// RP2: within any `window`, there are no more than `mostRestarts` restarts.
/// RP3: the delay never shrinks from one restart to the next, but for the jitter and after a healthy
///      run.
struct RestartPlan {
  let policy: RestartPolicy
  /// The delay before the next restart, without jitter.
  private var delay: Int64
  /// When the last restarts were decided: number n at n modulo their count.
  private var times = InlineArray<64, Int64>(repeating: 0)
  /// How many restarts were decided.
  private(set) var restarts: UInt64 = 0

  init(_ policy: RestartPolicy) {
    self.policy = policy
    delay = policy.shortestDelay
  }

  /// What follows the end of a body.
  enum Decision: Equatable {
    /// The task has ended: the policy does not apply to such an end.
    case end
    /// The task has ended for good: there were as many restarts in the window as are allowed.
    case giveUp
    /// It starts again after so many nanoseconds.
    case restart(after: Int64)
  }

  /// Decides what follows the end of a run.
  ///
  /// - Parameters:
  ///   - how: how the body ended.
  ///   - start: when it began.
  ///   - now: the time.
  ///   - chance: any number, different each time, of which the jitter is made.
  /// - Returns: the decision; a restart is counted with it.
  mutating func runHasEnded(
    _ how: TaskWord.Ending, from start: Int64, at now: Int64, chance: UInt32
  ) -> Decision {
    switch policy.when {
    case .never: return .end
    case .onFailure: if how == .returned { return .end }
    case .always: break
    }
    if Self.elapsed(from: start, to: now) >= policy.healthyAfter { delay = policy.shortestDelay }
    if policy.mostRestarts > 0 {
      let place = Int(restarts % UInt64(policy.mostRestarts))
      if restarts >= UInt64(policy.mostRestarts)
        && Self.elapsed(from: times[place], to: now) < policy.window
      {
        return .giveUp
      }
      times[place] = now
    }
    restarts &+= 1
    let shortened = delay - Self.part(of: delay, percent: policy.jitter, chance: chance)
    delay = min(policy.longestDelay, Self.percent(policy.factor, of: delay))
    return .restart(after: shortened)
  }

  /// The time between two moments; 0 if the clock ran backwards.
  static func elapsed(from start: Int64, to end: Int64) -> Int64 {
    if end <= start { return 0 }
    let (span, overflow) = end.subtractingReportingOverflow(start)
    return overflow ? .max : span
  }

  /// So many percent of a duration that is not negative, or the longest duration there is.
  private static func percent(_ percent: UInt32, of duration: Int64) -> Int64 {
    let (whole, overflow) = (duration / 100).multipliedReportingOverflow(by: Int64(percent))
    if overflow { return .max }
    let (sum, isMore) = whole.addingReportingOverflow(duration % 100 * Int64(percent) / 100)
    return isMore ? .max : sum
  }

  /// A part of a duration between none and so many percent, at most 100, by chance.
  static func part(of duration: Int64, percent: UInt32, chance: UInt32) -> Int64 {
    if percent == 0 { return 0 }
    let most = Self.percent(percent, of: duration)
    let product = UInt64(most).multipliedFullWidth(by: UInt64(chance))
    // The product divided by 2^32.
    return Int64(truncatingIfNeeded: product.high << 32 | product.low >> 32)
  }
}
