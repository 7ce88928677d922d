import CPlatform
import Testing

@testable import TrackedTasks

/// One task's record: its references, and the results of its transitions.
@Suite struct TaskRecordTests {
  /// **Proves:** a request too late leaves no trace on the record's next task (N2, N3).
  ///
  /// **Why it matters:** a time older than the task itself is a mixture of two tasks.
  /// **Catches:** the time of the request not taken back when the flag stays down.
  @Test func aRequestThatComesTooLateLeavesNoTrace() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    var first: TrackedTask? = try registry.spawnDeaf("first", until: gate)
    let record = try #require(first).core
    // The thread that raises the flag sees the task alive; before the transition is applied, it has
    // ended.
    let before = record.raiseFlag { word in
      if word.isLive {
        gate.open()
        while record.word.stage != .ended { sched_yield() }
      }
      return word.asked()
    }
    #expect(before == nil)
    #expect(try #require(first).wait(timeout: ample).wasCancelled == false)
    first = nil

    // Records are reused, so some later task comes into the same.
    var isReused = false
    for _ in 0..<500 where !isReused {
      let hold = Gate()
      let next = try registry.spawnDeaf("next", until: hold)
      isReused = next.core == record
      next.cancel()
      let summary = try #require(registry.snapshot().first { $0.id == next.id })
      let requested = try #require(summary.cancelRequestedAt)
      #expect(requested >= summary.spawnedAt, "asked to stop before it was spawned")
      hold.open()
      try next.wait(timeout: ample)
    }
    #expect(isReused)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a handle keeps outcome and name while other tasks are spawned (N1, O3).
  ///
  /// **Why it matters:** the outcome of one task must not turn into that of another.
  /// **Catches:** the record recycled at the end of the task.
  @Test func aHandleKeepsItsRecord() throws {
    let registry = try TaskRegistry()
    let task = try registry.spawn("kept", kind: .peerConnection) { _ in
      throw TaskRegistryError.limitReached
    }
    let outcome = try task.wait(timeout: ample)
    let id = task.id
    for _ in 0..<500 { try registry.spawn("other", kind: .rpcHandler) { _ in } }
    try registry.joinAll(timeout: ample)
    #expect(task.name == "kept")
    #expect(task.id == id)
    #expect(task.kind == .peerConnection)
    #expect(try task.wait(timeout: .zero) == outcome)
    try registry.shutdown(grace: ample)
    #expect(try task.wait(timeout: .zero) == outcome)
  }

  /// **Proves:** a free record cannot be pinned (N1).
  ///
  /// **Why it matters:** a walk of the records would keep a free one.
  /// **Catches:** `pin` as a plain addition.
  @Test func aFreeRecordCannotBePinned() throws {
    let registry = try TaskRegistry()
    let taken = registry.core.pointer.pointee.records.take(for: registry.core)
    let record = try #require(taken)
    #expect(!record.pin())
    registry.core.pointer.pointee.records.release(record)
    #expect(!record.pin())
  }
}
