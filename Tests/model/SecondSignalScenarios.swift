import CModel
import CPlatform

/// A second signal that comes while a shutdown is under way, before it, or after it; it meets tasks
/// that drain, later phases, a deadline, and a spawn (C13, C15, C16, E5, J4).
extension Scenario {
  static let secondSignals = [secondSignal, signalAndSpawn, signalAtDeadline, latePhase]

  /// A body that drains, and ends when it is told to abort.
  private static let draining: TaskBody = { _, _ in
    Stage.add(1, to: .begun)
    let task = Worker.currentTask.unsafelyUnwrapped
    _ = task.beginDrain()
    Stage.expect(
      waitUntilCancelled(until: .never) == .cancelled && task.word.level == .abort,
      "abort, and nothing less, ends a wait of a task that drains (C16)")
    return 0
  }

  /// A thread of the application's that forces the deadline, as a second signal does.
  private static func hostSignal() {
    Stage.host {
      Stage.registry.forceDeadline(bySecond: 15, after: 1, of: 15)
      Stage.hostEnds()
    }
  }

  /// Shuts down, with a deadline that is forced, and waits until all tasks have ended.
  private static func shutDown(grace: Int64 = -1) {
    var request = Stage.endless
    request.grace = grace
    let (status, tally) = Stage.registry.shutdown(request) { _, _ in }
    Stage.expect(status == .ok || status == .deadline, "a deadline, or all have ended (J4)")
    Stage.expect(tally.pending == tally.aborted + tally.abandoned, "stragglers add up (J4)")
    // A shutdown of this registry has no time left, ever: what follows waits for the tasks.
    Stage.expect(
      Stage.registry.waitUntilEmpty(until: .never) == .ok, "each task is told to abort (C13, J4)")
  }

  static let secondSignal = Scenario(
    name: "second signal",
    claim:
      "a second signal in a shutdown: the phase that drains is told to abort, the later one is asked to drain (C13, C15, E5)",
    preemptions: 1
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.spawn(draining)
    Stage.spawn(phase: 1) { _, _ in
      Stage.add(1, to: .begun)
      Stage.expect(waitUntilCancelled(until: .never) == .cancelled, "a flag ends a wait (C4)")
      Stage.expect(
        Worker.currentTask.unsafelyUnwrapped.word.level == .drain,
        "a phase that is asked after a second signal has its time (C13)")
      return 0
    }
    hostSignal()
    shutDown()
    Stage.close(hosts: 1)
    Stage.expect(Stage.value(.begun) == 2, "each body runs once")
  }

  static let signalAndSpawn = Scenario(
    name: "second signal and spawn",
    claim:
      "a spawn in a later phase as a second signal cuts a shutdown short: rejected, or told to abort, by the signal if it was asked before (C13, C15, S5)",
    preemptions: 2
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.host {
      let (status, task) = Stage.spawn(handle: true, phase: 1, draining)
      if status == .ok, let task {
        Stage.add(1, to: .accepted)
        // Not left to the deadline, which tells every task to abort.
        Stage.expect(
          Stage.value(.called) == 0 || Stage.value(.firsts) == 0 || task.word.level == .abort,
          "a task of a phase that was asked is born with the signal's level (C13, C15)")
        task.unpin()
      }
      Stage.hostEnds()
    }
    Stage.host {
      if Stage.registry.wasAsked(1) { Stage.add(1, to: .firsts) }
      Stage.registry.forceDeadline(bySecond: 15, after: 1, of: 15)
      Stage.add(1, to: .called)
      Stage.hostEnds()
    }
    shutDown()
    Stage.close(hosts: 2)
    Stage.expect(Stage.value(.begun) == Stage.value(.accepted), "each body runs once")
  }

  static let latePhase = Scenario(
    name: "late phase",
    claim:
      "a spawn in a later phase as a shutdown looks for the last one: the task is asked, and its phase counts as asked only once it is (C13, E5)",
    preemptions: 2
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.host {
      Stage.add(1, to: .called)
      let status = Stage.spawn(phase: 1) { _, _ in
        Stage.expect(waitUntilCancelled(until: .never) == .cancelled, "a flag ends a wait (C4)")
        return 0
      }.status
      if status == .ok { Stage.add(1, to: .accepted) }
      Stage.hostEnds()
    }
    var request = Stage.endless
    request.phaseCallbacks.begin = { _, phase, tasks in
      if phase == 0 && Stage.registry.wasAsked(1) { Stage.add(1, to: .firsts) }
      Stage.expect(
        phase != 1 || tasks == 0 || Stage.value(.firsts) == 0,
        "a phase that has its turn did not count as asked before (C13, E5)")
    }
    // So the spawn has begun without an interruption, and what is rare needs one less.
    Stage.waitFor(.called, 1)
    let (status, _) = Stage.registry.shutdown(request) { _, _ in }
    Stage.expect(status == .ok, "each task is asked to stop (E5)")
    Stage.close(hosts: 1)
    Stage.expect(Stage.value(.dropped) == Stage.value(.accepted), "each task has run")
  }

  static let signalAtDeadline = Scenario(
    name: "second signal at a deadline",
    claim:
      "a deadline passes in a phase that drains as a second signal comes: it and the later one are told to abort (C13, J4)",
    preemptions: 1, timeouts: 1
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.spawn(draining)
    Stage.spawn(phase: 1, draining)
    hostSignal()
    shutDown(grace: 1_000)
    Stage.close(hosts: 1)
    Stage.expect(Stage.value(.begun) == 2, "each body runs once")
  }
}
