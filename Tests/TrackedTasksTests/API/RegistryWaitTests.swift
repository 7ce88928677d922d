import Testing

@testable import TrackedTasks

/// Waiting for all tasks and asking none (J9).
@Suite struct RegistryWaitTests {
  /// **Proves:** a wait ends with its timeout and asks no task to stop, and ends without an error
  /// once the last task has ended, in its `async` form as well (J9).
  ///
  /// **Why it matters:** a loop of bounded waits must not stop the tasks that it waits for.
  /// **Catches:** a wait that is a join.
  @Test func aBoundedWaitAsksNobodyToStop() async throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let task = try registry.spawnDeaf(until: gate)
    for _ in 0..<3 {
      #expect(
        errorOf { () throws(TaskRegistryError) in try registry.wait(timeout: .milliseconds(1)) }
          == .timedOut)
    }
    await #expect(throws: TaskRegistryError.timedOut) {
      try await registry.wait(timeout: .milliseconds(1))
    }
    #expect(!task.isCancelled)
    gate.open()
    try await registry.wait()
    try await registry.wait(timeout: ample)
    #expect(registry.isEmpty)
    #expect(!(try await task.wait().wasCancelled))
    try await registry.shutdown(grace: ample)
  }

  /// **Proves:** from inside a task of the registry it would deadlock (J9, J7).
  ///
  /// **Why it matters:** it would wait for itself.
  /// **Catches:** a wait without that check.
  @Test func waitingFromInsideWouldDeadlock() throws {
    let registry = try TaskRegistry()
    let error = Locked<TaskRegistryError?>(nil)
    try registry.spawn("inside", kind: .backgroundLoop) { _ in
      let own = errorOf { () throws(TaskRegistryError) in try registry.wait() }
      error.withLock { $0 = own }
    }.wait()
    #expect(error.withLock { $0 } == .wouldDeadlock)
    try registry.shutdown(grace: ample)
  }
}
