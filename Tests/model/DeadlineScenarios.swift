import CModel
import CPlatform

/// Phases (E5), and log events about late tasks (E6).
extension Scenario {
  static let phased = [laterPhase, twoPhases, phaseAlone]

  static let laterPhase = Scenario(
    name: "later phase",
    claim: "a spawn in a later phase while a shutdown asks: rejected, or asked (E5, C3)",
    preemptions: 3
  ) {
    Stage.open()
    Stage.host {
      if Stage.spawn(phase: 1, obedient).status == .ok { Stage.add(1, to: .accepted) }
      Stage.hostEnds()
    }
    let (status, _) = Stage.registry.shutdown(Stage.endless) { _, _ in }
    Stage.expect(status == .ok, "a shutdown without a deadline ends well (G4)")
    Stage.close(hosts: 1)
    Stage.expect(Stage.value(.begun) == Stage.value(.accepted), "each body runs once")
  }

  static let twoPhases = Scenario(
    name: "two phases",
    claim: "a spawn in phase 2 while phase 1 is waited for: both are asked, in order (E5)",
    preemptions: 2
  ) {
    Stage.open()
    Stage.spawn(phase: 1) { _, _ in
      Stage.expect(waitUntilCancelled(until: .never) == .cancelled, "a flag ends a wait (C4)")
      Stage.add(1, to: .over)
      return 0
    }
    Stage.host {
      if Stage.spawn(phase: 2, obedient).status == .ok { Stage.add(1, to: .accepted) }
      Stage.hostEnds()
    }
    let (status, tally) = Stage.registry.shutdown(Stage.endless) { _, _ in }
    Stage.expect(status == .ok && tally.pending == 0, "a shutdown waits for all phases (J1)")
    Stage.expect(Stage.value(.over) == 1, "phase 1 was asked (E5)")
    Stage.close(hosts: 1)
    Stage.expect(Stage.value(.begun) == Stage.value(.accepted), "each body runs once")
  }

  static let phaseAlone = Scenario(
    name: "phase alone",
    claim: "a phase ends while it is waited for: the next is asked after it, not before (E5)",
    preemptions: 2
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.spawn { _, _ in
      Stage.add(1, to: .over)
      return 0
    }
    Stage.spawn(phase: 1) { _, _ in
      Stage.expect(waitUntilCancelled(until: .never) == .cancelled, "a flag ends a wait (C4)")
      Stage.expect(Stage.value(.over) == 1, "the phase before has ended (E5)")
      return 0
    }
    let (status, _) = Stage.registry.shutdown(Stage.endless) { _, _ in }
    Stage.expect(status == .ok, "a shutdown without a deadline ends well (G4)")
    Stage.close()
  }

  static let deadlines = [lateReported, gracedCaller, deadlineCallback, spawnAtDeadline]

  // SAFETY: written by the first thread of an execution before it makes others.
  nonisolated(unsafe) private static var group: RegistryReference?

  static let gracedCaller = Scenario(
    name: "graced caller",
    claim:
      "a caller is asked to stop in the abort grace, its straggler ends: one is reported (C4, J4)",
    preemptions: 1, timeouts: 1
  ) {
    Stage.open()
    group = Stage.group { $0.abortGrace = 1_000 }
    Stage.spawn(in: group.unsafelyUnwrapped, obedient)
    Stage.hold { _, _ in
      let (status, tally) = group.unsafelyUnwrapped.joinAll(timeout: 0) { _, _ in }
      switch status {
      case .cancelled: Stage.expect(Stage.task.word.isCancelRequested, "asked to stop (C4)")
      case .ok: Stage.expect(tally.pending == 0, "nobody was left (J4)")
      default:
        Stage.expect(status == .deadline && tally.pending == 1, "there was one straggler (J4)")
        Stage.expect(tally.pending == tally.aborted + tally.abandoned, "they add up (J4)")
      }
      return 0
    }
    Stage.host {
      Stage.task.cancel()
      Stage.hostEnds()
    }
    Stage.expect(Stage.task.wait(until: .never) == .ok, "who is asked to stop does not hang (C4)")
    Stage.waitFor(.hosts, 1)
    Stage.task.unpin()
    group.unsafelyUnwrapped.release()
    Stage.close()
  }

  static let deadlineCallback = Scenario(
    name: "deadline callback",
    claim:
      """
      a deadline asks a task with a callback, which ends: called once if it was asked, before a \
      shutdown is over (C7, J4, G4)
      """,
    preemptions: 2, timeouts: 2
  ) {
    Stage.open()
    Stage.hold(short)
    // SAFETY: this thread alone uses it.
    var registration: CancelCallback.Pointer?
    let status = CancelCallback.register(
      { _ in Stage.add(1, to: .called) }, nil, drop: nil, with: .task(Stage.task)
    ) { registration = $0 }
    Stage.expect(status == .ok, "a callback is registered (C7)")
    let (_, tally) = Stage.registry.joinAll(timeout: 1_000) { _, _ in }
    let asked = Stage.task.word.isCancelRequested
    Stage.expect(asked == (tally.pending == 1), "a straggler is asked (J4)")
    Stage.expect(Stage.task.wait(until: .never) == .ok, "a wait ends with its task (O3)")
    Stage.close {
      Stage.expect(Stage.value(.called) == (asked ? 1 : 0), "called once if it was asked (C7)")
      if let registration { CancelCallback.remove(registration) }
      Stage.task.unpin()
    }
  }

  static let spawnAtDeadline = Scenario(
    name: "spawn at a deadline",
    claim:
      "a task is spawned as a deadline passes: a straggler or none, and the counts add up (J2, J4)",
    preemptions: 1, timeouts: 1
  ) {
    Stage.open { $0.abortGrace = 1_000 }
    Stage.spawn(obedient)
    Stage.host {
      Stage.spawn(short)
      Stage.hostEnds()
    }
    let (status, tally) = Stage.registry.joinAll(timeout: 0) { _, _ in }
    Stage.expect(tally.pending == tally.aborted + tally.abandoned, "stragglers add up (J4)")
    Stage.expect((status == .ok) == (tally.pending == 0), "a straggler is an error (J4)")
    Stage.expect(tally.aborted <= tally.ended, "those that were aborted have ended (J8)")
    Stage.close(hosts: 1)
    Stage.expect(Stage.value(.begun) == 2, "each body runs once")
  }

  static let lateReported = Scenario(
    name: "late reported",
    claim:
      "a deadline passes as a task ends: reported once if it was a straggler, and only then (E6)",
    preemptions: 3, timeouts: 1
  ) {
    Stage.open {
      $0.log = LogSink(
        deliver: { _, _, record in
          let event = record.assumingMemoryBound(to: LogRecord.self).pointee.event
          if event == LogEventNumber.taskLate { Stage.add(1, to: .called) }
        })
    }
    Stage.hold(short)
    let (_, tally) = Stage.registry.joinAll(timeout: 1_000) { _, _ in }
    Stage.expect(Stage.task.wait(until: .never) == .ok, "a wait ends with its task (O3)")
    Stage.expect(
      Stage.value(.called) == Int32(tally.pending),
      "a straggler's end is reported before it is known (E6)")
    Stage.task.unpin()
    Stage.close()
    Stage.expect(Stage.value(.called) == Int32(tally.pending), "and reported once (E6)")
  }
}
