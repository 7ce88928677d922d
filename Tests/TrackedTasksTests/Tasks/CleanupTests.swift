import Testing

@testable import TrackedTasks

/// Clean-up work: spawned by tasks that are stopping, and not itself asked to stop by the token.
@Suite struct CleanupTests {
  private static var cleanup: SpawnOptions {
    var options = SpawnOptions()
    options.isCleanup = true
    return options
  }

  /// **Proves:** a task may spawn clean-up after the closing, unflagged and joined (S5).
  ///
  /// **Why it matters:** a clean stop takes work: flushing, closing connections.
  /// **Catches:** clean-up tasks flagged by the token; clean-up rejected once closed.
  @Test func aStoppingTaskMaySpawnCleanup() throws {
    let registry = try TaskRegistry()
    let wasFlagged = Locked<Bool?>(nil)
    let rejection = Locked<TaskRegistryError?>(nil)
    try registry.spawn("service", kind: .backgroundLoop) { task in
      do { try task.sleep(for: ample) } catch {}
      let error = errorOf { () throws(TaskRegistryError) in
        try registry.spawn("ordinary", kind: .maintenance) { _ in }
      }
      rejection.withLock { $0 = error }
      try registry.spawn("flush", kind: .maintenance, options: Self.cleanup) { task in
        try task.sleep(for: .milliseconds(1))
        let flag = task.isCancelled
        wasFlagged.withLock { $0 = flag }
      }
    }
    let report = try registry.shutdown(grace: ample)
    #expect(report.ended == 2)
    #expect(report.failed == 0)
    #expect(report.rejected == 1)
    #expect(wasFlagged.value == false)
    #expect(rejection.value == .closed)
  }

  /// **Proves:** once closed, clean-up from outside or another registry is rejected (S5).
  ///
  /// **Why it matters:** only a running task is waited for, so only then is the join certain to
  /// wait for the new one.
  /// **Catches:** any task accepted as the spawner.
  @Test func othersMayNotSpawnCleanupOnceClosed() throws {
    let registry = try TaskRegistry()
    let other = try TaskRegistry()
    let gate = Gate()
    try registry.spawnDeaf(until: gate)
    registry.token.cancel(reason: .userRequested)
    #expect(throws: TaskRegistryError.closed) {
      try registry.spawn("outside", kind: .maintenance, options: Self.cleanup) { _ in }
    }
    let rejection = Locked<TaskRegistryError?>(nil)
    try other.spawn("stranger", kind: .maintenance) { _ in
      let error = errorOf { () throws(TaskRegistryError) in
        try registry.spawn("strange", kind: .maintenance, options: Self.cleanup) { _ in }
      }
      rejection.withLock { $0 = error }
    }.wait(timeout: ample)
    #expect(rejection.value == .closed)
    gate.open()
    try registry.shutdown(grace: ample)
    try other.shutdown(grace: ample)
  }

  /// **Proves:** the flag of a clean-up task is raised at the deadline, not with the token (S5,
  /// J4).
  ///
  /// **Why it matters:** the deadline must reach clean-up that hangs, or nothing ends it.
  /// **Catches:** clean-up left out of the walk at the deadline.
  @Test func theDeadlineStopsCleanupToo() throws {
    let registry = try makeRegistry(grace: ample)
    let cleanup = try registry.spawn(
      "stuck flush", kind: .maintenance, options: Self.cleanup
    ) { try $0.sleep(for: .seconds(600)) }
    registry.token.cancel(reason: .userRequested)
    #expect(!cleanup.isCancelled)
    let report = reportOfMissedDeadline { () throws(TaskRegistryError) in
      try registry.shutdown(grace: .milliseconds(1))
    }
    #expect(report?.pending == 1)
    #expect(report?.aborted == 1)
    #expect(cleanup.isCancelled)
    #expect(report?.stragglers.first?.isCleanup == true)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** clean-up spawned after a closed registry's deadline starts with its flag up (S5).
  ///
  /// **Why it matters:** time is up for all tasks, and a loop of clean-up must end.
  /// **Catches:** the missed deadline not remembered in the gate.
  @Test func cleanupBornAfterTheDeadlineIsFlagged() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let bornFlagged = Locked<Bool?>(nil)
    try registry.spawn("slow", kind: .backgroundLoop) { _ in
      gate.wait()
      let late = try registry.spawn("late", kind: .maintenance, options: Self.cleanup) { _ in }
      let flag = late.isCancelled
      bornFlagged.withLock { $0 = flag }
    }
    let report = reportOfMissedDeadline { () throws(TaskRegistryError) in
      try registry.shutdown(grace: .milliseconds(1))
    }
    #expect(report?.abandoned == 1)
    gate.open()
    try registry.shutdown(grace: ample)
    #expect(bornFlagged.value == true)
  }

  /// **Proves:** `cancel` reaches a clean-up task at any time (C3, S5).
  ///
  /// **Why it matters:** the holder of the handle decides.
  /// **Catches:** clean-up exempted from more than the token.
  @Test func cancelReachesCleanup() throws {
    let registry = try TaskRegistry()
    let task = try registry.spawn("flush", kind: .maintenance, options: Self.cleanup) {
      try $0.sleep(for: .seconds(600))
    }
    task.cancel()
    #expect(try task.wait(timeout: ample).wasCancelled)
    try registry.shutdown(grace: ample)
  }
}
