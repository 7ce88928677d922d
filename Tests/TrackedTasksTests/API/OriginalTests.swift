import Testing

@testable import TrackedTasks

/// The four unit tests of the original registry, carried over.
@Suite struct OriginalTests {
  /// **Proves:** a registry that was just made has no tasks (G1, N1).
  ///
  /// **Why it matters:** nothing is tracked before something is spawned.
  /// **Catches:** a count that does not begin at 0.
  @Test func emptyOnConstruction() throws {
    let registry = try TaskRegistry(token: try ShutdownToken())
    #expect(registry.isEmpty)
    #expect(registry.count == 0)
    #expect(registry.snapshot().isEmpty)
  }

  /// **Proves:** a spawn raises the count and puts name and kind into the snapshot (N2, N3).
  ///
  /// **Why it matters:** a service that runs and lists nothing is a red flag to its operator.
  /// **Catches:** a spawn that does not list its task.
  @Test func spawnRegisters() throws {
    let registry = try TaskRegistry(token: try ShutdownToken())
    let gate = Gate()
    try registry.spawnDeaf("t1", kind: .backgroundLoop, until: gate)
    #expect(registry.count == 1)
    #expect(!registry.isEmpty)
    let entry = try #require(registry.snapshot().first)
    #expect(entry.name == "t1")
    #expect(entry.kind == .backgroundLoop)
    gate.open()
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a join waits for a task that ends within the deadline, and reports success (J1).
  ///
  /// **Why it matters:** this is how a graceful shutdown goes when all goes well.
  /// **Catches:** a join that returns before the task has ended.
  @Test func joinAllAwaitsFastTasks() throws {
    let registry = try TaskRegistry(token: try ShutdownToken())
    let isDone = Locked(false)
    try registry.spawn("fast", kind: .backgroundLoop) { task in
      try task.sleep(for: .milliseconds(5))
      isDone.withLock { $0 = true }
    }
    let report = try registry.joinAll(timeout: ample)
    #expect(isDone.value)
    #expect(report.pending == 0)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a task that outlasts the deadline makes the join fail with the right count (J4).
  ///
  /// **Why it matters:** a hung task must not hang the shutdown, and it must be reported to the
  /// operator.
  /// **Catches:** a join that blocks indefinitely; a count that is off by one.
  @Test func joinAllAbortsSlowTasks() throws {
    let registry = try makeRegistry(grace: ample)
    let slow = try registry.spawn("slow", kind: .backgroundLoop) { task in
      try task.sleep(for: .seconds(600))
    }
    let report = try #require(
      reportOfMissedDeadline { () throws(TaskRegistryError) in
        try registry.joinAll(timeout: .milliseconds(20))
      })
    #expect(report.pending == 1)
    #expect(report.aborted == 1)
    #expect(try slow.wait(timeout: ample).wasCancelled)
    try registry.shutdown(grace: ample)
  }
}
