import Testing

@testable import TrackedTasks

/// A registry's memory does not grow with the number of tasks it has run.
@Suite struct MemoryTests {
  private static func recordsOf(_ registry: TaskRegistry) -> Int {
    var count = 0
    registry.core.pointer.pointee.records.forEach { _ in
      count += 1
      return true
    }
    return count
  }

  private static func workersOf(_ registry: TaskRegistry) -> Int {
    registry.core.monitor.withLock { state in
      var count = 0
      WorkerBatch.forEach(from: state.batches) { _ in count += 1 }
      return count
    }
  }

  /// **Proves:** 100 000 short tasks need no more records and workers than were alive at once (N1).
  ///
  /// **Why it matters:** the original kept an entry for each until the end.
  /// **Catches:** a record or a worker that is not reused.
  @Test func memoryDoesNotGrowWithTheNumberOfTasks() throws {
    var options = RegistryOptions.underTest
    options.maxTasks = 16
    let registry = try TaskRegistry(options)
    let runs = Counter()
    onThreads(2) { _ in
      var left = 50_000
      while left > 0 {
        let error = errorOf { () throws(TaskRegistryError) in
          try registry.spawn("short", kind: .rpcHandler) { _ in runs.add() }
        }
        if error == nil { left -= 1 }
      }
    }
    try registry.joinAll(timeout: ample)
    #expect(runs.value == 100_000)
    // One chunk of records. Threads that are done and not yet idle come on top of the 16: under
    // ThreadSanitizer, on a machine that is busy with something else, there were 1800.
    #expect(Self.recordsOf(registry) <= 64 + 128)
    #expect(Self.workersOf(registry) <= (isUnderThreadSanitizer ? 10_000 : 100))
    try registry.shutdown(grace: ample)
    #expect(registry.core.monitor.withLock { $0.threadCount } == 0)
  }

  /// **Proves:** a worker with its Parker takes six cache lines, a record four (docs/costs.md).
  ///
  /// **Why it matters:** a crowd of ten thousand pays for each byte ten thousand times, and a field more may be a line more.
  /// **Catches:** a field that is put where it takes a line of its own.
  @Test func aThreadTakesTenCacheLines() {
    #if arch(x86_64)
      #expect(WorkerBatch.stride == 6 * 64)
      #expect(MemoryLayout<TaskRecord>.stride == 4 * 64)
    #endif
  }

  /// **Proves:** threads made for a crowd leave when the crowd is gone (N1, G4).
  ///
  /// **Why it matters:** one busy minute must not cost a thousand threads for a year.
  /// **Catches:** idle threads that never leave; departed ones never joined.
  @Test func threadsOfACrowdLeave() throws {
    var options = RegistryOptions.underTest
    options.idleTime = .milliseconds(1)
    options.idleThreads = 0
    let registry = try TaskRegistry(options)
    let gate = Gate()
    let threads = Locked<Set<Int32>>([])
    let tasks = try (0..<60).map { _ in
      try registry.spawn("crowd", kind: .peerConnection) { _ in
        let summary = TrackedTask.current
        if summary != nil { threads.withLock { _ = $0.insert(ownThreadID()) } }
        gate.wait()
      }
    }
    #expect(eventually { threads.value.count == 60 })
    gate.open()
    for task in tasks { try task.wait(timeout: ample) }
    #expect(eventually { !threads.value.contains(where: threadExists) })
    // The registry is as good as new.
    try registry.spawn("later", kind: .rpcHandler) { _ in }.wait(timeout: ample)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** as many idle threads as requested stay, and the rest leave (N1).
  ///
  /// **Why it matters:** creating threads for each burst costs what keeping a few saves.
  /// **Catches:** all idle threads leaving, or none.
  @Test func asManyIdleThreadsStayAsAskedFor() throws {
    var options = RegistryOptions.underTest
    options.idleTime = .milliseconds(1)
    options.idleThreads = 3
    let registry = try TaskRegistry(options)
    let gate = Gate()
    let threads = Locked<Set<Int32>>([])
    let tasks = try (0..<20).map { _ in
      try registry.spawn("crowd", kind: .peerConnection) { _ in
        threads.withLock { _ = $0.insert(ownThreadID()) }
        gate.wait()
      }
    }
    #expect(eventually { threads.value.count == 20 })
    gate.open()
    for task in tasks { try task.wait(timeout: ample) }
    #expect(eventually { threads.value.count(where: threadExists) == 3 })
    try registry.shutdown(grace: ample)
    #expect(registry.core.monitor.withLock { $0.threadCount } == 0)
  }
}
