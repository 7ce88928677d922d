import CModel
import CPlatform

/// Threads of the application's that are tasks for a time (A1 to A5): adopted, leaving, joined, shut down
/// and ended in every order.
extension Scenario {
  static let adopted = [
    adoptClosing, adoptAgain, adoptEnding, adoptJoining, adoptPhase, adoptRelease,
  ]

  static let adoptClosing = Scenario(
    name: "adopt closing",
    claim:
      "a thread is adopted while the registry shuts down: rejected, or asked and waited for (A1, A3)",
    preemptions: 3
  ) {
    Stage.open()
    Stage.host {
      let (status, _) = Stage.adopt()
      if status == .ok {
        Stage.add(1, to: .live)
        Stage.expect(
          waitUntilCancelled(until: .never) == .cancelled, "a flag ends a wait of its own (A1)")
        Stage.add(-1, to: .live)
        Stage.leave()
      } else {
        Stage.expect(status == .closed, "a closed registry adopts nobody (A3)")
      }
      Stage.hostEnds()
    }
    let (status, _) = Stage.registry.shutdown(Stage.endless) { _, _ in }
    Stage.expect(
      status == .ok && Stage.value(.live) == 0, "a shutdown waits for an adopted thread (A1)")
    Stage.close(hosts: 1)
  }

  static let adoptAgain = Scenario(
    name: "adopt again",
    claim:
      "a thread leaves and is adopted again beside a spawn and a join: each is waited for (A1)",
    preemptions: 2
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.host {
      for _ in 0..<2 {
        Stage.expect(Stage.adopt().status == .ok, "an open registry adopts a thread (A1)")
        Stage.add(1, to: .live)
        Stage.add(-1, to: .live)
        Stage.leave()
      }
      Stage.hostEnds()
    }
    Stage.spawn(short)
    let (status, tally) = Stage.registry.joinAll(timeout: -1) { _, _ in }
    Stage.expect(status == .ok && tally.ended <= 3, "no end is counted twice (A1)")
    Stage.close(hosts: 1)
    Stage.expect(Stage.value(.begun) == 1, "each body runs once")
  }

  static let adoptEnding = Scenario(
    name: "adopt ending",
    claim:
      "an adopted thread ends without leaving, or leaves, while others wait: it has ended once (A5)",
    preemptions: 3
  ) {
    Stage.open()
    Stage.host {
      Stage.adoptHeld()
      Stage.add(1, to: .accepted)
      // The destructor of the thread-specific key does the rest.
      Stage.hostEnds()
    }
    Stage.waitFor(.accepted, 1)
    Stage.expect(Stage.task.wait(until: .never) == .ok, "a wait ends with its task (A5)")
    Stage.expect(Stage.task.word.ending == .exited, "an end without leave is an exit (A5)")
    Stage.task.unpin()
    Stage.close(hosts: 1)
  }

  static let adoptJoining = Scenario(
    name: "adopt joining",
    claim:
      "an adopted thread shuts down while another joins: it waits for all others, that one for it too (A4)",
    preemptions: 2
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.expect(Stage.adopt(joinsOthers: true).status == .ok, "an open registry adopts (A1)")
    Stage.spawn(short)
    Stage.host {
      let (status, _) = Stage.registry.joinAll(timeout: -1) { _, _ in }
      Stage.expect(status == .ok && Stage.value(.over) == 1, "a join waits for the thread (A4)")
      Stage.hostEnds()
    }
    let (status, tally) = Stage.registry.shutdown(Stage.endless) { _, _ in }
    Stage.expect(status == .ok && tally.threadsLeft == 0, "it does not wait for itself (A4)")
    Stage.expect(Stage.value(.begun) == 1, "it waits for all others (A4)")
    Stage.expect(Stage.registry.count == 1, "it is a task until it leaves (A4)")
    Stage.add(1, to: .over)
    Stage.leave()
    Stage.close(hosts: 1)
  }

  static let adoptPhase = Scenario(
    name: "adopt phase",
    claim:
      "the same within a later phase, in which a task is asked: the phase ends without it (A4, E5)",
    preemptions: 2
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.expect(
      Stage.adopt(joinsOthers: true, phase: 2).status == .ok, "an open registry adopts (A1)")
    Stage.spawn(phase: 2, obedient)
    let (status, _) = Stage.registry.shutdown(Stage.endless) { _, _ in }
    Stage.expect(status == .ok && Stage.value(.begun) == 1, "it waits for all others (A4)")
    Stage.expect(
      Worker.currentTask?.word.level == .drain, "its own flag rises with its phase (A4)")
    Stage.leave()
    Stage.close()
  }

  static let adoptRelease = Scenario(
    name: "adopt release",
    claim:
      "the last reference goes while an adopted thread leaves: the memory is freed once (A5, G3)",
    preemptions: 3
  ) {
    Stage.open()
    Stage.host {
      Stage.expect(Stage.adopt().status == .ok, "an open registry adopts a thread (A1)")
      Stage.add(1, to: .accepted)
      Stage.leave()
      Stage.hostEnds()
    }
    Stage.waitFor(.accepted, 1)
    Stage.registry.release()
    Stage.waitFor(.hosts, 1)
    model_await_others()
    DeferredFree.tend()
  }
}

extension Stage {
  /// Makes the calling thread a task.
  static func adopt(
    joinsOthers: Bool = false, phase: UInt32 = 0, handle: Bool = false
  ) -> (status: Status, task: TaskReference?) {
    var request = SpawnRequest(name: TaskName(), kind: 1)
    request.name.words[0] = 1
    request.traits = .phase(phase)
    if joinsOthers { request.traits.insert(.joinsOthers) }
    request.wantsHandle = handle
    return registry.adopt(request)
  }

  /// Makes the calling thread a task, whose handle is `task` from now on.
  static func adoptHeld() { hold(adopt(handle: true)) }

  static func leave() {
    expect(Worker.leave(code: 0, "leave") == .ok, "an adopted thread leaves (A1)")
  }
}
