import CPlatform
import Synchronization
import Testing

@testable import TrackedTasks

/// Asking tasks to stop.
@Suite struct CancelTests {
  /// **Proves:** `cancel` reaches its task alone, and once is enough (C3, C5).
  ///
  /// **Why it matters:** one peer hangs up; the others talk on.
  /// **Catches:** the whole registry flagged; the flag lowered by the second call.
  @Test func cancelReachesOneTaskAlone() throws {
    let registry = try TaskRegistry()
    let first = try registry.spawnSleeper()
    let second = try registry.spawnSleeper()
    first.cancel()
    first.cancel()
    try first.wait(timeout: ample)
    #expect(!second.isCancelled)
    #expect(registry.count == 1)
    #expect(!registry.token.isCancelled)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** the token's cancellation reaches every task, sleeping or working (C3, C4).
  ///
  /// **Why it matters:** it is the one switch that stops the service.
  /// **Catches:** sleepers flagged and not woken.
  @Test func theTokenReachesEveryTask() throws {
    let registry = try TaskRegistry()
    let deaf = Gate()
    let tasks = try (0..<20).map { number in
      number % 2 == 0 ? try registry.spawnSleeper() : try registry.spawnDeaf(until: deaf)
    }
    registry.token.cancel(reason: .reloadRequested)
    // When cancel has returned, every flag is up.
    #expect(tasks.allSatisfy { $0.isCancelled })
    deaf.open()
    let report = try registry.joinAll(timeout: ample)
    #expect(report.failed == 0)
  }

  /// **Proves:** a flag raised before the wait begins ends it at once (C4).
  ///
  /// **Why it matters:** the request may come a moment too early to wake the task.
  /// **Catches:** the check of the flag before sleeping left out.
  @Test func aFlagRaisedBeforeTheWaitEndsIt() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let outcomes = Locked<[TaskRegistryError?]>([])
    let other = try registry.spawnSleeper()
    let token = try ShutdownToken()
    let task = try registry.spawn("early", kind: .backgroundLoop) { task in
      gate.wait()
      let errors = [
        isCancelled { () throws(CancellationError) in try task.sleep(for: .seconds(600)) }
          ? TaskRegistryError.cancelled : nil,
        errorOf { () throws(TaskRegistryError) in try other.wait() },
        errorOf { () throws(TaskRegistryError) in try token.wait() },
        isCancelled { () throws(CancellationError) in try task.sleep(for: .zero) }
          ? TaskRegistryError.cancelled : nil,
      ]
      outcomes.withLock { $0 = errors }
    }
    task.cancel()
    gate.open()
    #expect(try task.wait(timeout: ample).ending == .returned)
    #expect(outcomes.value == [.cancelled, .cancelled, .cancelled, .cancelled])
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a flag raised during any wait of the library ends it (C4).
  ///
  /// **Why it matters:** a task blocked in a wait cannot check its flag.
  /// **Catches:** one kind of wait that does not sleep where `cancel` wakes.
  @Test func aFlagRaisedDuringAWaitEndsIt() throws {
    let registry = try TaskRegistry()
    let foreign = try TaskRegistry()
    let gate = Gate()
    let deaf = try foreign.spawnDeaf(until: gate)
    let token = try ShutdownToken()
    let waits: [@Sendable (TaskContext) throws -> Void] = [
      { try $0.sleep(for: .seconds(600)) },
      { _ in try deaf.wait() },
      { _ in try token.wait() },
      { _ in try foreign.joinAll() },
    ]
    for wait in waits {
      let entered = Gate()
      let task = try registry.spawn("waits", kind: .backgroundLoop) { task in
        entered.open()
        try wait(task)
        Issue.record("the wait ended by itself")
      }
      entered.wait()
      task.cancel()
      let outcome = try task.wait(timeout: ample)
      #expect(outcome.ending == .returned)
      #expect(outcome.wasCancelled)
    }
    gate.open()
    try foreign.shutdown(grace: ample)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** no request is lost, whenever it comes in the life of a sleeping task (C4).
  ///
  /// **Why it matters:** one lost wake-up in a million is a service that hangs once a week.
  /// **Catches:** the task's worker published after the sleeper checked its flag.
  @Test func noRequestIsLost() throws {
    let registry = try TaskRegistry()
    for round in 0..<500 {
      let task = try registry.spawn("raced", kind: .rpcHandler) {
        try $0.sleep(for: .seconds(600))
      }
      for _ in 0..<(round % 50) { cp_spin_hint() }
      task.cancel()
      #expect(try task.wait(timeout: ample).wasCancelled)
    }
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** the request wakes the thread that runs the task, and no other (C3, C4).
  ///
  /// **Why it matters:** the warm thread may be busy; the one woken must be the one that sleeps.
  /// **Catches:** the worker that a task was first meant for left in its record.
  @Test func theRequestFindsTheThreadThatRunsTheTask() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    var isLost = false
    for _ in 0..<60 where !isLost {
      // A warm worker, then busy; the next task is one that sleeps, in another thread.
      try registry.spawn("warms", kind: .rpcHandler) { _ in }.wait(timeout: ample)
      try registry.spawnDeaf("busy", until: gate)
      let entered = Gate()
      let thread = Locked(Int32(0))
      let sleeper = try registry.spawn("sleeper", kind: .rpcHandler) { task in
        thread.withLock { $0 = cp_gettid() }
        entered.open()
        try task.sleep(for: .seconds(600))
      }
      entered.wait()
      let listed = registry.snapshot().first { $0.id == sleeper.id }
      #expect(listed?.threadID == thread.value)
      sleeper.cancel()
      isLost = (try? sleeper.wait(timeout: .seconds(30))) == nil
      #expect(!isLost)
    }
    gate.open()
    _ = try? registry.shutdown(grace: .seconds(1))
  }

  /// **Proves:** a task that never checks its flag is flagged and reported, and continues unharmed
  /// (C5, J4).
  ///
  /// **Why it matters:** a thread killed in the middle leaves locks held and files half written.
  /// **Catches:** `pthread_cancel` used on stragglers.
  @Test func aDeafTaskIsNotTornDown() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let reached = Locked(false)
    let task = try registry.spawn("deaf", kind: .backgroundLoop) { _ in
      gate.wait()
      reached.withLock { $0 = true }
    }
    task.cancel()
    let report = reportOfMissedDeadline { () throws(TaskRegistryError) in
      try registry.shutdown(grace: .milliseconds(1))
    }
    #expect(report?.abandoned == 1)
    gate.open()
    #expect(try task.wait(timeout: ample).ending == .returned)
    #expect(reached.value)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** asking a task that has ended changes nothing, its outcome included (C3, O1).
  ///
  /// **Why it matters:** handles outlive their tasks.
  /// **Catches:** the flag raised on an ended task, which then "was cancelled".
  @Test func askingAnEndedTaskChangesNothing() throws {
    let registry = try TaskRegistry()
    let task = try registry.spawn("brief", kind: .rpcHandler) { _ in }
    try task.wait(timeout: ample)
    task.cancel()
    #expect(!task.isCancelled)
    let outcome = try task.wait(timeout: .zero)
    #expect(!outcome.wasCancelled)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** the flag can be read through its address, where it is 0 and then not (C3, W1).
  ///
  /// **Why it matters:** loops too tight for a call read it there.
  /// **Catches:** the address of the wrong half of the word.
  @Test func theFlagCanBeReadThroughItsAddress() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let task = try registry.spawnDeaf(until: gate)
    // Read atomically, as the header tells applications to.
    let flag = UnsafeRawPointer(task.core.cancelFlag).assumingMemoryBound(to: Atomic<UInt32>.self)
    #expect(flag.pointee.load(ordering: .acquiring) == 0)
    task.cancel()
    #expect(flag.pointee.load(ordering: .acquiring) != 0)
    gate.open()
    try registry.shutdown(grace: ample)
  }
}
