import CModel
import CPlatform

/// Phases (E5), and what a log hears of those that are late (E6).
extension Scenario {
  static let phased = [laterPhase, twoPhases, phaseAlone]

  static let laterPhase = Scenario(
    name: "later phase",
    claim: "a spawn in a later phase while a shutdown asks: refused, or asked (E5, C3)",
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

  static let told = [lateTold]

  static let lateTold = Scenario(
    name: "late told",
    claim: "a deadline passes as a task ends: told once if it was a straggler, and only then (E6)",
    preemptions: 2, timeouts: 1
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
      "a straggler's end is told before it is known (E6)")
    Stage.task.unpin()
    Stage.close()
    Stage.expect(Stage.value(.called) == Int32(tally.pending), "and told once (E6)")
  }
}
