import Testing

@testable import TrackedTasks

private struct Mishap: Error {}

/// The defects of the original, one test for each line of the table in the contract.
@Suite struct MendedTests {
  /// **Proves:** a straggler is flagged, counted, named and still tracked (J4, J5).
  ///
  /// **Why it matters:** the original detached it, and it continued unseen.
  /// **Catches:** a join that forgets the tasks it could not wait for.
  @Test func aStragglerIsNotLostFromSight() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let task = try registry.spawnDeaf("deaf", until: gate)
    let report = try #require(
      reportOfMissedDeadline { () throws(TaskRegistryError) in
        try registry.joinAll(timeout: .milliseconds(5))
      })
    #expect(task.isCancelled)
    #expect(report.pending == 1)
    #expect(report.stragglers.map(\.name) == ["deaf"])
    #expect(registry.snapshot().map(\.id) == [task.id])
    gate.open()
    #expect(try registry.joinAll(timeout: ample).pending == 0)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** finished tasks are not stragglers even if the time is used up (J2).
  ///
  /// **Why it matters:** the original counted everything behind the first slow task.
  /// **Catches:** the count taken from the list instead of from the tasks.
  @Test func theFinishedAreNotCountedWithTheSlow() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    try registry.spawnDeaf("slow", until: gate)
    let quick = try (0..<20).map { _ in try registry.spawn("quick", kind: .rpcHandler) { _ in } }
    for task in quick { try task.wait(timeout: ample) }
    let report = try #require(
      reportOfMissedDeadline { () throws(TaskRegistryError) in
        try registry.joinAll(timeout: .milliseconds(5))
      })
    #expect(report.pending == 1)
    gate.open()
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** finished tasks leave the list at once, without a join (N1).
  ///
  /// **Why it matters:** the original kept an entry for each until `join_all`.
  /// **Catches:** entries removed by the join alone.
  @Test func finishedTasksLeaveNoEntries() throws {
    let registry = try TaskRegistry()
    var last: TrackedTask?
    for _ in 0..<5000 { last = try registry.spawn("short", kind: .rpcHandler) { _ in } }
    try #require(last).wait(timeout: ample)
    #expect(eventually { registry.isEmpty })
    #expect(registry.snapshot().isEmpty)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a task spawned while the join waits is waited for (J3).
  ///
  /// **Why it matters:** the original took the list once and missed it.
  /// **Catches:** a join over a copy of the list.
  @Test func tasksSpawnedDuringTheJoinAreNotMissed() throws {
    let registry = try TaskRegistry()
    let first = Gate()
    let second = Gate()
    try registry.spawnDeaf("first", until: first)
    let joined = Locked(false)
    let joiner = PlainThread {
      _ = try? registry.joinAll(timeout: ample)
      joined.withLock { $0 = true }
    }
    #expect(eventually { registry.joinersWaiting == 1 })
    let late = try registry.spawnDeaf("late", until: second)
    first.open()
    #expect(throws: TaskRegistryError.timedOut) { try late.wait(timeout: .milliseconds(20)) }
    #expect(!joined.value)
    second.open()
    joiner.join()
    #expect(registry.isEmpty)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** after a shutdown nothing can be spawned that would never be joined (S5).
  ///
  /// **Why it matters:** the original accepted it.
  /// **Catches:** a registry that does not close.
  @Test func nothingIsSpawnedAfterTheShutdown() throws {
    let registry = try TaskRegistry()
    try registry.shutdown(grace: ample)
    #expect(throws: TaskRegistryError.closed) {
      try registry.spawn("late", kind: .rpcHandler) { _ in }
    }
    #expect(registry.isEmpty)
  }

  /// **Proves:** a second join waits too, and the list is not empty while one waits (J6, N3).
  ///
  /// **Why it matters:** in the original it returned success at once, and the list was gone.
  /// **Catches:** a join that takes the list away.
  @Test func aSecondJoinWaitsAndTheListStays() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    try registry.spawnDeaf("awaited", until: gate)
    let joiners = (0..<2).map { _ in
      PlainThread {
        let report = try? registry.joinAll(timeout: ample)
        #expect(report != nil && gate.isOpen)
      }
    }
    #expect(eventually { registry.joinersWaiting == 2 })
    #expect(registry.snapshot().map(\.name) == ["awaited"])
    gate.open()
    for joiner in joiners { joiner.join() }
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a join from inside a task fails at once (J7).
  ///
  /// **Why it matters:** in the original it burned the whole deadline.
  /// **Catches:** a join that waits for its caller.
  @Test func aJoinFromInsideDoesNotBurnTheDeadline() throws {
    let registry = try TaskRegistry()
    let rejection = Locked<TaskRegistryError?>(nil)
    try registry.spawn("inside", kind: .rpcHandler) { _ in
      let error = errorOf { () throws(TaskRegistryError) in
        try registry.joinAll(timeout: .seconds(600))
      }
      rejection.withLock { $0 = error }
    }.wait(timeout: ample)
    #expect(rejection.value == .wouldDeadlock)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a child's reason and its parent's are two (C2).
  ///
  /// **Why it matters:** in the original the child's overwrote the parent's.
  /// **Catches:** the reason kept once for the whole tree.
  @Test func aChildsReasonIsItsOwn() throws {
    let parent = try ShutdownToken()
    let child = try parent.child()
    child.cancel(reason: .rpcRequested, message: "child")
    #expect(parent.reason == .none && parent.message.isEmpty && !parent.isCancelled)
    parent.cancel(reason: .fatal, message: "parent")
    #expect(parent.reason == .fatal && parent.message == "parent")
    #expect(child.reason == .rpcRequested && child.message == "child")
  }

  /// **Proves:** a failed task is in the outcome, in the report and in the log (O2, J8).
  ///
  /// **Why it matters:** in the original's result it left no trace.
  /// **Catches:** failures counted as mere ends.
  @Test func aFailureLeavesATrace() throws {
    let events = Locked<[RegistryEvent]>([])
    var options = RegistryOptions.underTest
    options.log = { event in events.withLock { $0.append(event) } }
    let registry = try TaskRegistry(options)
    let gate = Gate()
    let task = try registry.spawn("fails", kind: .rpcHandler) { _ in
      gate.wait()
      throw Mishap()
    }
    let joiner = PlainThread {
      let report = try? registry.joinAll(timeout: ample)
      #expect(report?.failed == 1)
    }
    #expect(eventually { registry.joinersWaiting == 1 })
    gate.open()
    joiner.join()
    #expect(try task.wait(timeout: ample).ending == .failed(message: "Mishap()"))
    #expect(events.value.map(\.event) == [.taskFailed])
    try registry.shutdown(grace: ample)
  }
}
