import CPlatform
import Testing

@testable import TrackedTasks

/// Claim: however spawns and a closing interleave, each spawn is either rejected or its task sees
/// its flag, ends, and is counted by the join; never both and never neither.
@Suite struct SpawnRaceTests {
  /// **Proves:** check and insert are one step: no task is admitted after a shutdown (S5, J3).
  ///
  /// **Why it matters:** a task that is admitted and not joined continues in a program that has
  /// stopped.
  /// **Catches:** the second read of the gate, after the record is published, left out.
  @Test func everyTaskAdmittedIsJoined() throws {
    var generator = SplitMix(state: 5)
    for _ in 0..<150 {
      let registry = try TaskRegistry()
      let admitted = Counter()
      let ended = Counter()
      let spawners = (0..<2).map { _ in
        PlainThread {
          while true {
            let error = errorOf { () throws(TaskRegistryError) in
              try registry.spawn("raced", kind: .rpcHandler) { task in
                // Only the flag ends this task: one that missed it is a straggler.
                do { try task.sleep(for: ample) } catch { ended.add() }
              }
            }
            if error != nil { break }
            if admitted.add() > 400 { break }
          }
        }
      }
      while admitted.value == 0 { sched_yield() }
      for _ in 0..<generator.below(300) { cp_spin_hint() }
      let error = errorOf { () throws(TaskRegistryError) in
        try registry.shutdown(grace: .seconds(30))
      }
      let letIn = registry.core.gate.admitted
      #expect(error == nil, "a task did not see its flag")
      for thread in spawners { thread.join() }
      // No task was admitted after the shutdown had returned.
      #expect(registry.core.gate.admitted == letIn)
      #expect(ended.value == admitted.value)
      #expect(registry.isEmpty)
      if error != nil { break }
    }
  }

  /// **Proves:** tasks spawned while the token is cancelled see their flag, all of them (C3, S5).
  ///
  /// **Why it matters:** a task admitted just before, with its flag down, would run indefinitely.
  /// **Catches:** a cancellation that closes the gate and raises no flag.
  @Test func everyTaskAdmittedSeesItsFlag() throws {
    var generator = SplitMix(state: 6)
    var missed = 0
    for _ in 0..<1200 where missed == 0 {
      let registry = try TaskRegistry()
      let token = registry.token
      let tasks = Locked<[TrackedTask]>([])
      let begun = Counter()
      let spawner = PlainThread {
        for _ in 0..<12 {
          begun.add()
          guard let task = try? registry.spawn("raced", kind: .rpcHandler, waitForFlag) else {
            break
          }
          tasks.withLock { $0.append(task) }
        }
      }
      let moment = 1 + generator.below(4)
      while begun.value < moment { cp_spin_hint() }
      for _ in 0..<generator.below(120) { cp_spin_hint() }
      token.cancel(reason: .userRequested)
      spawner.join()
      missed += tasks.value.count { !$0.isCancelled }
      for task in tasks.value { task.cancel() }
      try registry.joinAll(timeout: ample)
    }
    #expect(missed == 0)
  }
}

/// A body that ends by its flag alone.
private func waitForFlag(_ task: TaskContext) throws { try task.sleep(for: .seconds(600)) }
