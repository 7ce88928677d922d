import Synchronization
import Testing

@testable import TrackedTasks

/// Two numbers that are equal whenever the lock is free.
private struct Pair: MonitorState {
  var first = 0
  var second = 0
  let checks: Counter

  func checkInvariants() { if first == second { checks.add() } }
}

/// A Monitor that threads share.
private final class SharedMonitor: @unchecked Sendable {
  // SAFETY: the state inside is reached through the Monitor alone.
  let monitor: Monitor<Pair>
  let checks = Counter()

  init?() {
    guard let monitor = Monitor(Pair(checks: checks)) else { return nil }
    self.monitor = monitor
  }

  deinit { monitor.destroy() }
}

/// A mutex with the state it guards inside.
@Suite struct MonitorTests {
  /// **Proves:** threads change the state one after the other, and none sees it half changed (N3).
  ///
  /// **Why it matters:** everything that takes a lock in this library takes this one.
  /// **Catches:** `withLock` without the lock.
  @Test func threadsTakeTurns() throws {
    let shared = try #require(SharedMonitor())
    let torn = Counter()
    onThreads(4) { _ in
      for _ in 0..<3000 {
        shared.monitor.withLock { pair in
          if pair.first != pair.second { torn.add() }
          pair.first += 1
          pair.second += 1
        }
      }
    }
    #expect(torn.value == 0)
    #expect(shared.monitor.withLock { $0.first } == 12_000)
  }

  /// **Proves:** the body's result is returned, and debug builds check the invariants (N3).
  ///
  /// **Why it matters:** this is how the threads to be woken after the unlock are returned.
  /// **Catches:** the check of the invariants left out.
  @Test func resultsComeOutAndInvariantsAreLookedAt() throws {
    let shared = try #require(SharedMonitor())
    #expect(shared.monitor.withLock { _ in "result" } == "result")
    #if DEBUG
      #expect(shared.checks.value == 1)
    #endif
  }
}
