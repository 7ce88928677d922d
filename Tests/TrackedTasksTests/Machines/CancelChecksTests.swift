import CPlatform
import Glibc
import Testing

@testable import TrackedTasks

/// A task's cancellation checks once its flag is up, and its CPU time.
@Suite struct CancelChecksTests {
  /// Uses CPU time for this many nanoseconds.
  private static func burn(_ duration: Int64) {
    let end = ThreadClock.own + duration
    while ThreadClock.own < end {}
  }

  /// **Proves:** a task's own checks of its flag count once it is up, each kind of check once, and
  /// other threads' checks do not (E2).
  ///
  /// **Why it matters:** "it has never checked" and "it checked, and continued" are two different
  /// defects.
  /// **Catches:** a check counted twice, or not, or another thread's.
  @Test func ownChecksCountOnceTheFlagIsUp() throws {
    let registry = try TaskRegistry()
    let other = try TaskRegistry()
    let token = try ShutdownToken()
    let never = try other.spawnSleeper()
    let began = Gate()
    let goOn = Gate()
    let counts = Locked<[UInt32]>([])
    let task = try registry.spawn("checks", kind: .backgroundLoop) { task in
      let note = { counts.withLock { $0.append(task.core.cancelChecks.count) } }
      _ = task.isCancelled
      try? task.sleep(for: .zero)
      note()
      began.open()
      goOn.wait()
      note()
      _ = task.isCancelled
      note()
      try? task.sleep(for: .seconds(600))
      note()
      _ = waitUntilCancelled(until: .never)
      note()
      try? token.wait()
      note()
      _ = try? never.wait()
      note()
      _ = try? other.joinAll()
      note()
      let descriptor = cp_eventfd()
      _ = waitForDescriptor(descriptor, events: Int16(POLLIN), until: .never)
      close(descriptor)
      note()
      var mutex = pthread_mutex_t()
      var condition = pthread_cond_t()
      pthread_mutex_init(&mutex, nil)
      pthread_cond_init(&condition, nil)
      pthread_mutex_lock(&mutex)
      try? task.wait(on: &condition, mutex: &mutex)
      pthread_mutex_unlock(&mutex)
      note()
    }
    began.wait()
    #expect(task.core.cancelChecks.count == 0)
    task.cancel()
    for _ in 0..<3 { #expect(task.isCancelled) }
    goOn.open()
    #expect(try task.wait(timeout: ample).ending == .returned)
    #expect(counts.value == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
    try registry.shutdown(grace: ample)
    try other.shutdown(grace: ample)
  }

  /// **Proves:** a wait that the flag ends in the middle counts one check (E2).
  ///
  /// **Why it matters:** this is how most tasks see their flag.
  /// **Catches:** only the check before the wait counted.
  @Test func aWaitThatEndsByTheFlagCounts() throws {
    let registry = try TaskRegistry()
    let waiting = Gate()
    let counted = Locked<UInt32>(0)
    let task = try registry.spawn("waits", kind: .backgroundLoop) { task in
      waiting.open()
      try? task.sleep(for: .seconds(600))
      counted.withLock { $0 = task.core.cancelChecks.count }
    }
    waiting.wait()
    #expect(eventually { ThreadProbe.at(threadID: task.core.threadID).schedulerState == 83 })
    task.cancel()
    try task.wait(timeout: ample)
    #expect(counted.value == 1)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** `cancel` records once the CPU time of the task, a token does not, and the next
  /// task of the record has neither check nor sample (E1, E2).
  ///
  /// **Why it matters:** the time since the request is what distinguishes a loop from a slow end; a
  /// token that is cancelled asks many tasks, and makes no system call for each.
  /// **Catches:** the second `cancel` sampling again; a sample without the time; `cancelChecks` not
  /// reset.
  @Test func cancelNotesTheProcessorTimeOnce() throws {
    let registry = try TaskRegistry()
    for round in 0..<3 {
      let gate = Gate()
      let began = Gate()
      let task = try registry.spawn("burns", kind: .backgroundLoop) { task in
        began.open()
        Self.burn(3_000_000)
        gate.wait()
        _ = task.isCancelled
      }
      began.wait()
      #expect(
        !task.core.cancelChecks.isSampled && task.core.cancelChecks.count == 0, "round \(round)")
      #expect(eventually { task.core.threadCPU >= 3_000_000 })
      let before = monotonicNow()
      task.cancel()
      let activity = task.core.activity
      let used = activity.pointee.sampledCPU.load(ordering: .relaxed)
      let at = activity.pointee.sampledAt.load(ordering: .relaxed)
      #expect(task.core.cancelChecks.isSampled)
      #expect(used >= 3_000_000 && used <= task.core.threadCPU)
      #expect(at >= before && at <= monotonicNow())
      task.cancel()
      task.core.sampleCPU()
      #expect(activity.pointee.sampledAt.load(ordering: .relaxed) == at)
      gate.open()
      try task.wait(timeout: ample)
    }
    let gate = Gate()
    let task = try registry.spawnDeaf(until: gate)
    registry.token.cancel(reason: .userRequested)
    #expect(task.isCancelled && !task.core.cancelChecks.isSampled)
    gate.open()
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** CPU time of one task is not counted as the next one's: it starts at zero if the
  /// thread slept in between, and is not known if it did not (E1).
  ///
  /// **Why it matters:** threads serve many tasks, and an innocent one would be called a spinning
  /// one.
  /// **Catches:** a base that is kept after a long body; one that is not recorded before a sleep,
  /// or not reset for a new thread.
  @Test(arguments: [true, false]) func tasksBeginAtZero(spins: Bool) throws {
    var options = RegistryOptions.underTest
    options.spin = spins ? .milliseconds(1) : .zero
    let registry = try TaskRegistry(options)
    let used = Locked<[Int64]>([])
    for _ in 0..<4 {
      try registry.spawn("burns", kind: .rpcHandler) { _ in
        let own = Worker.currentTask.map { $0.ownCPU(of: $0.threadCPU) }
        used.withLock { $0.append(own ?? -2) }
        Self.burn(30_000_000)
      }.wait(timeout: ample)
    }
    let least: Int64 = spins ? -1 : 0
    #expect(used.value.count == 4 && used.value.allSatisfy { $0 >= least && $0 < 30_000_000 })
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a task that has not started or has ended has no CPU time (E1).
  ///
  /// **Why it matters:** its thread is another task's by then.
  /// **Catches:** the thread's time reported for a task that has ended.
  @Test func whatHasEndedHasNoProcessorTime() throws {
    let registry = try TaskRegistry()
    let task = try registry.spawn("ends", kind: .rpcHandler) { _ in }
    try task.wait(timeout: ample)
    #expect(task.core.threadCPU == -1 && task.core.ownCPU(of: task.core.threadCPU) == -1)
    task.core.sampleCPU()
    #expect(!task.core.cancelChecks.isSampled)
    try registry.shutdown(grace: ample)
  }
}

extension TaskReference {
  /// The kernel's id of the thread of a running task.
  fileprivate var threadID: Int32 { pointer.pointee.threadID.load(ordering: .relaxed) }
}
