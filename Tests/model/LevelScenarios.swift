import CModel
import CPlatform

/// Drain, abort, deadline, second signal and spawn meeting each other (C15, C16, J4).
extension Scenario {
  static let levels = [
    drainingSleeper, abortedSpawn, twoLevels, earlySignal, abortedPhase, abortedChild,
    deadlineOfDrain, lateGroup, circleOfTwo,
  ]

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

  static let drainingSleeper = Scenario(
    name: "draining sleeper",
    claim: "a task begins to drain and sleeps, one asks it to stop, one to abort: it wakes (C16)",
    preemptions: 2
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.hold(draining)
    Stage.host {
      Stage.task.cancel()
      Stage.hostEnds()
    }
    Stage.task.cancel(.abort)
    Stage.expect(Stage.task.wait(until: .never) == .ok, "a task that was told to abort ends")
    Stage.waitFor(.hosts, 1)
    Stage.task.unpin()
    Stage.close()
  }

  static let abortedSpawn = Scenario(
    name: "aborted spawn",
    claim: "a spawn while a token is aborted: rejected, or told to abort (C15, S5)",
    preemptions: 2
  ) {
    Stage.open()
    Stage.host {
      _ = Stage.token.cancel(reason: 2, message: nil, .abort)
      Stage.hostEnds()
    }
    if Stage.spawn(draining).status == .ok { Stage.add(1, to: .accepted) }
    Stage.close(hosts: 1)
    Stage.expect(Stage.value(.begun) == Stage.value(.accepted), "each body runs once")
  }

  static let twoLevels = Scenario(
    name: "two levels",
    claim: "one cancels a token, one aborts it: both are first once, flags are at abort (C15)",
    preemptions: 2
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.hold(draining)
    Stage.host {
      _ = Stage.token.cancel(reason: 2, message: nil)
      Stage.expect(Stage.task.word.isCancelRequested, "flags are up when a cancel returns (C3)")
      Stage.hostEnds()
    }
    Stage.expect(
      Stage.token.cancel(reason: 3, message: nil, .abort), "the only one that aborts is the first")
    Stage.expect(Stage.task.word.level == .abort, "levels are up when an abort returns (C15)")
    Stage.waitFor(.hosts, 1)
    Stage.expect(Stage.token.level == .abort && Stage.token.reason != 0, "it stays (C1)")
    Stage.task.unpin()
    Stage.close()
  }

  static let earlySignal = Scenario(
    name: "early signal",
    claim: "a second signal is faster than the cancel for the first: abort in the end (C13, C15)",
    preemptions: 2
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.hold(draining)
    Stage.host {
      _ = Stage.token.cancel(reason: 2, message: nil)
      Stage.hostEnds()
    }
    Stage.registry.abortAsked()
    Stage.expect(
      Stage.task.word.level == .none || Stage.token.reason != 0,
      "who sees a level sees the reason (C1)")
    Stage.expect(Stage.task.wait(until: .never) == .ok, "an abort is not lost (C15)")
    Stage.waitFor(.hosts, 1)
    Stage.task.unpin()
    Stage.close()
  }

  static let abortedPhase = Scenario(
    name: "aborted phase",
    claim: "a spawn in a phase that is asked and aborted: rejected, or told to abort (C15, E5)",
    preemptions: 3
  ) {
    Stage.open()
    Stage.host {
      if Stage.spawn(phase: 1, draining).status == .ok { Stage.add(1, to: .accepted) }
      Stage.hostEnds()
    }
    _ = Stage.token.cancel(reason: 2, message: nil)
    Stage.registry.ask(upTo: 1)
    Stage.registry.abortAsked()
    Stage.close(hosts: 1)
    Stage.expect(Stage.value(.begun) == Stage.value(.accepted), "each body runs once")
  }

  static let abortedChild = Scenario(
    name: "aborted child",
    claim: "a child of a cancelled token is made while the token is aborted: it is aborted (C15)"
  ) {
    Stage.open()
    _ = Stage.token.cancel(reason: 2, message: nil)
    Stage.host {
      _ = Stage.token.cancel(reason: 3, message: nil, .abort)
      Stage.hostEnds()
    }
    let (_, made) = TokenReference.create(childOf: Stage.token)
    Stage.expect(made?.isCancelled == true, "a child of a cancelled token is cancelled (C2)")
    Stage.waitFor(.hosts, 1)
    Stage.expect(made?.level == .abort, "an abort reaches every child (C15)")
    made?.release()
    Stage.close()
  }

  static let lateGroup = Scenario(
    name: "late group",
    claim:
      "a registry is aborted; a group is made, and a task in it, while the token is cancelled: rejected, or told to abort (C13, C15)",
    preemptions: 1
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.registry.abortAsked()
    Stage.host {
      _ = Stage.token.cancel(reason: 2, message: nil)
      Stage.hostEnds()
    }
    let group = Stage.group()
    if Stage.spawn(in: group, draining).status == .ok { Stage.add(1, to: .accepted) }
    group.release()
    Stage.close(hosts: 1)
    Stage.expect(Stage.value(.begun) == Stage.value(.accepted), "each body runs once")
  }

  static let circleOfTwo = Scenario(
    name: "circle of two",
    claim: "two tasks wait for each other, and a flag that ends no wait wakes one: refused (J7)",
    preemptions: 1
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.hold { _, _ in
      _ = Worker.currentTask.unsafelyUnwrapped.beginDrain()
      Stage.waitFor(.accepted, 1)
      let status = Stage.other.wait(until: .never)
      Stage.expect(status == .ok || status == .deadlock, "a circle of two is refused (J7)")
      return 0
    }
    Stage.holdOther { _, _ in
      Stage.waitFor(.accepted, 1)
      let status = Stage.task.wait(until: .never)
      Stage.expect(status == .ok || status == .deadlock, "a circle of two is refused (J7)")
      return 0
    }
    Stage.add(1, to: .accepted)
    Stage.task.cancel()
    Stage.expect(Stage.task.wait(until: .never) == .ok, "neither waits indefinitely (J7)")
    Stage.expect(Stage.other.wait(until: .never) == .ok, "neither waits indefinitely (J7)")
    Stage.task.unpin()
    Stage.other.unpin()
    Stage.close()
  }

  static let deadlineOfDrain = Scenario(
    name: "deadline of a drain",
    claim: "a shutdown without time meets a task that begins to drain: it is told to abort (J4)",
    preemptions: 3
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.spawn(draining)
    var request = Stage.endless
    request.grace = 0
    let (status, _) = Stage.registry.shutdown(request) { _, _ in }
    Stage.expect(status == .deadline || status == .ok, "a deadline, or all have ended (J4)")
    Stage.close()
  }
}
