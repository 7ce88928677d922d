import CModel
import CPlatform

/// Tasks that no join waits for: neither they nor their threads hold up a join, all others do (S9).
extension Scenario {
  static let unjoined = [unjoinedClosing, unjoinedJoining, unjoinedPhase]

  static let unjoinedClosing = Scenario(
    name: "unjoined closing",
    claim:
      "a shutdown beside a task that hangs and is not waited for: other threads have left, the memory stays (S9, G3)",
    preemptions: 2
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.spawn(unjoined: true, hanging)
    Stage.spawn(counted)
    let (status, tally) = Stage.registry.shutdown(Stage.endless) { _, _ in }
    Stage.expect(
      status == .ok && tally.pending == 0 && tally.unjoined == 1, "it is not waited for (S9)")
    Stage.expect(Stage.value(.live) == 1 && Stage.value(.dropped) == 1, "all others are (S9)")
    Stage.add(1, to: .over)
    Stage.registry.release()
    model_await_others()
    DeferredFree.tend()
    Stage.expect(Stage.value(.dropped) == 2, "its context is dropped at its end (S4)")
  }

  static let unjoinedJoining = Scenario(
    name: "unjoined joining",
    claim:
      "a task that hangs and is not waited for begins beside a join and another task's end: the join returns after that (S9, J3)",
    preemptions: 2
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.spawn(counted)
    Stage.host {
      Stage.spawn(unjoined: true, hanging)
      Stage.hostEnds()
    }
    let (status, _) = Stage.registry.joinAll(timeout: -1) { _, _ in }
    Stage.expect(status == .ok && Stage.value(.live) == 1, "the others are waited for (S9)")
    Stage.add(1, to: .over)
    Stage.waitFor(.hosts, 1)
    Stage.registry.release()
    model_await_others()
    DeferredFree.tend()
  }

  static let unjoinedPhase = Scenario(
    name: "unjoined phase",
    claim:
      "one that ends begins in the phase of another while the shutdown waits there: it ends after that other (S9, E5)",
    preemptions: 2
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.spawn(phase: 2, obedient)
    Stage.host {
      Stage.spawn(phase: 2, unjoined: true, quick)
      Stage.hostEnds()
    }
    let (status, _) = Stage.registry.shutdown(Stage.endless) { _, _ in }
    Stage.expect(status == .ok && Stage.value(.begun) == 1, "the phase is waited for (S9)")
    Stage.waitFor(.hosts, 1)
    Stage.registry.release()
    model_await_others()
    DeferredFree.tend()
  }

  /// A body that ends when the scenario lets it.
  private static let hanging: TaskBody = { _, _ in
    Stage.waitFor(.over, 1)
    return 0
  }
  /// One that is counted when it ends.
  private static let counted: TaskBody = { _, _ in
    Stage.add(1, to: .live)
    return 0
  }
  /// One that is not.
  private static let quick: TaskBody = { _, _ in 0 }
}
