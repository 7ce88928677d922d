import CPlatform
import Testing

@testable import TrackedTasks

/// Threads: one for each task, at once, and none left at the end.
@Suite struct WorkerPoolTests {
  /// **Proves:** tasks that all wait for each other all run, for each has a thread at once (S1).
  ///
  /// **Why it matters:** with a pool of fixed size this program would hang.
  /// **Catches:** a task put behind another one.
  @Test func noTaskWaitsBehindAnother() throws {
    let registry = try TaskRegistry()
    let crowd = 80
    let arrived = Counter()
    let all = Gate()
    for _ in 0..<3 {
      for _ in 0..<crowd {
        try registry.spawn("meets", kind: .peerConnection) { _ in
          if arrived.add() % crowd == 0 { all.open() }
          if !all.wait() { throw TaskRegistryError.timedOut }
        }
      }
      let report = try registry.joinAll(timeout: .seconds(120))
      #expect(report.failed == 0)
    }
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a task spawned by a task that then waits for it runs, however deep (S1).
  ///
  /// **Why it matters:** the waiting task must not hold the thread that the other needs.
  /// **Catches:** a task posted to the worker that is about to be busy.
  @Test func aTaskWaitedForByItsSpawnerRuns() throws {
    let registry = try TaskRegistry()
    let deepest = Counter()
    @Sendable func level(_ depth: Int) throws {
      deepest.add()
      if depth == 0 { return }
      let inner = try registry.spawn("level \(depth)", kind: .rpcHandler) { _ in
        try level(depth - 1)
      }
      let outcome = try inner.wait(timeout: ample)
      if outcome.ending != .returned { throw TaskRegistryError.systemFailure }
    }
    for _ in 0..<10 {
      let outer = try registry.spawn("outer", kind: .rpcHandler) { _ in try level(20) }
      #expect(try outer.wait(timeout: ample).ending == .returned)
    }
    #expect(deepest.value == 210)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a short task behind a long one on a warm thread is not held up (S1).
  ///
  /// **Why it matters:** the worker that spins for the next task may just have taken a long one.
  /// **Catches:** a task left in the mailbox of a busy worker.
  @Test func aShortTaskIsNotHeldUpByLongOnes() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    for _ in 0..<30 {
      try registry.spawn("warms", kind: .rpcHandler) { _ in }.wait(timeout: ample)
      try registry.spawnDeaf("long", until: gate)
      let short = try registry.spawn("short", kind: .rpcHandler) { _ in }
      try short.wait(timeout: ample)
    }
    #expect(registry.count == 30)
    gate.open()
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a fresh thread has run no other task and will run no other (S1).
  ///
  /// **Why it matters:** some libraries leave state behind in the thread.
  /// **Catches:** the option ignored; the fresh thread kept for others.
  @Test func aFreshThreadRunsOneTaskAlone() throws {
    let registry = try TaskRegistry()
    let marked = Counter()
    let key = try ThreadKey()
    for round in 0..<40 {
      var options = SpawnOptions()
      options.wantsFreshThread = round % 2 == 0
      let isFresh = options.wantsFreshThread
      try registry.spawn("leaves a mark", kind: .rpcHandler, options: options) { _ in
        // A fresh thread has no mark, and no other task sees its mark.
        if key.value == 2 || (isFresh && key.value != 0) { marked.add() }
        key.value = isFresh ? 2 : 1
      }.wait(timeout: ample)
    }
    #expect(marked.value == 0)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** without idle threads every task has a thread of its own that ends with it (S1).
  ///
  /// **Why it matters:** that is the purpose of the option.
  /// **Catches:** a worker that takes a second task all the same.
  @Test func withoutIdleThreadsNoThreadOutlivesItsTask() throws {
    var options = RegistryOptions.underTest
    options.idleThreads = nil
    let registry = try TaskRegistry(options)
    let key = try ThreadKey()
    let seen = Counter()
    for _ in 0..<30 {
      try registry.spawn("alone", kind: .rpcHandler) { _ in
        if key.value != 0 { seen.add() }
        key.value = 1
      }.wait(timeout: ample)
    }
    #expect(seen.value == 0)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** after a successful shutdown all threads are joined, their destructors run (G4).
  ///
  /// **Why it matters:** the program may now unload what those destructors use.
  /// **Catches:** threads detached, or asked to leave and not joined.
  @Test func afterAShutdownNoThreadIsLeft() throws {
    for crowd in [1, 2, 20] {
      let registry = try TaskRegistry()
      let key = try ThreadKey()
      let threads = Locked<Set<Int32>>([])
      let gate = Gate()
      for _ in 0..<crowd {
        try registry.spawn("marked", kind: .rpcHandler) { _ in
          key.value = 1
          threads.withLock { _ = $0.insert(ownThreadID()) }
          gate.wait()
        }
      }
      #expect(eventually { threads.value.count == crowd })
      gate.open()
      let report = try registry.shutdown(grace: ample)
      #expect(report.threadsLeft == 0)
      #expect(key.destroyed == crowd)
      #expect(eventually { !threads.value.contains(where: threadExists) })
    }
  }

  /// **Proves:** a thread that a destructor holds up is reported, not waited for (G4, J1).
  ///
  /// **Why it matters:** a shutdown must not hang on a thread that has no task.
  /// **Catches:** threads joined without a deadline.
  @Test func aThreadHeldUpAfterItsTaskIsReported() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let key = try ThreadKey(holdingUpUntil: gate)
    try registry.spawn("marked", kind: .rpcHandler) { _ in key.value = 1 }.wait(timeout: ample)
    let report = reportOfMissedDeadline { () throws(TaskRegistryError) in
      try registry.shutdown(grace: .zero)
    }
    #expect(report?.pending == 0)
    #expect(report?.threadsLeft == 1)
    #expect(registry.isEmpty)
    gate.open()
    let again = try registry.shutdown(grace: ample)
    #expect(again.threadsLeft == 0)
    #expect(key.destroyed == 1)
  }
}
