import Testing

@testable import TrackedTasks

/// The effect of a forced deadline on a wait.
@Suite struct WaitPolicyTests {
  /// **Proves:** a forced deadline ends the waits of a shutdown, and no other wait; tasks that have
  /// ended count more than the forcing (C13).
  ///
  /// **Why it matters:** a second signal that also ended the joins of the same program would have
  /// them report stragglers long before their time; a shutdown that it does not end hangs on.
  /// **Catches:** the policy ignored; `.timedOut` of a shutdown whose last task has just ended.
  @Test func aForcedDeadlineEndsTheWaitsOfAShutdown() {
    for policy in [WaitPolicy.untilDeadline, .untilForced] {
      for isForced in [false, true] {
        #expect(policy.end(isDone: true, isForced: isForced) == .ready)
        let end = policy.end(isDone: false, isForced: isForced)
        #expect(end == (policy == .untilForced && isForced ? .timedOut : nil))
      }
    }
  }

  /// **Proves:** whether the deadline is forced, which takes a walk to the root, is only read where
  /// it matters.
  ///
  /// **Why it matters:** every join reads the predicate several times.
  /// **Catches:** a flag that is read before the policy and the count of tasks.
  @Test func theForcingIsReadOnlyWhereItMatters() {
    var reads = 0
    func read() -> Bool {
      reads += 1
      return true
    }
    _ = WaitPolicy.untilDeadline.end(isDone: true, isForced: read())
    _ = WaitPolicy.untilDeadline.end(isDone: false, isForced: read())
    _ = WaitPolicy.untilForced.end(isDone: true, isForced: read())
    #expect(reads == 0)
    _ = WaitPolicy.untilForced.end(isDone: false, isForced: read())
    #expect(reads == 1)
  }
}
