import CModel

/// What is handed from one thread to another; and a store by each of two threads, after which each
/// reads the other's, so that one has to see it.
///
/// The shutdown that ends every scenario asks all tasks again, which would hide that both missed it.
/// So those of the second sort wait for their tasks first.
extension Scenario {
  static let orders = [lastToken, seenSpawn, seenPhase, seenAbort, seenDeadline]

  // SAFETY: written by the first thread of an execution before it makes others.
  nonisolated(unsafe) private static var shared: TokenReference?

  static let lastToken = Scenario(
    name: "last token",
    claim: "two release a token, one of them uses it before: it is freed after that (G3)",
    preemptions: 2
  ) {
    Stage.open()
    let (_, made) = TokenReference.create(childOf: Stage.token)
    shared = made
    shared.unsafelyUnwrapped.retain()
    Stage.host {
      _ = shared.unsafelyUnwrapped.cancel(reason: 2, message: nil)
      shared.unsafelyUnwrapped.release()
      Stage.hostEnds()
    }
    made.unsafelyUnwrapped.release()
    Stage.close(hosts: 1)
  }

  /// A body that ends when it is asked to stop, and says so.
  private static let stopped: TaskBody = { _, _ in
    Stage.expect(waitUntilCancelled(until: .never) == .cancelled, "a flag ends a wait (C4)")
    Stage.add(1, to: .over)
    return 0
  }
  /// A body that drains, and ends when it is told to abort.
  private static let aborted: TaskBody = { _, _ in
    _ = Worker.currentTask.unsafelyUnwrapped.beginDrain()
    Stage.expect(waitUntilCancelled(until: .never) == .cancelled, "an abort ends a wait (C16)")
    Stage.add(1, to: .over)
    return 0
  }

  static let seenSpawn = Scenario(
    name: "seen spawn",
    claim: "a spawn beside a cancel: it sees the closing, or the cancel sees its task (S5, C3)",
    preemptions: 2
  ) {
    Stage.open()
    Stage.host {
      if Stage.spawn(stopped).status == .ok { Stage.add(1, to: .accepted) }
      Stage.hostEnds()
    }
    _ = Stage.token.cancel(reason: 1, message: nil)
    Stage.waitFor(.hosts, 1)
    Stage.waitFor(.over, Stage.value(.accepted))
    Stage.close()
  }

  static let seenPhase = Scenario(
    name: "seen phase",
    claim: "a spawn in a phase that is asked: it sees that, or the asking sees its task (E5)",
    preemptions: 2
  ) {
    Stage.open()
    Stage.host {
      Stage.spawn(phase: 1, stopped)
      Stage.hostEnds()
    }
    Stage.registry.ask(upTo: 1)
    Stage.waitFor(.over, 1)
    Stage.close(hosts: 1)
  }

  static let seenAbort = Scenario(
    name: "seen abort",
    claim: "a spawn in a phase that is told to abort: it sees that, or is seen (C15, E5)",
    preemptions: 2
  ) {
    Stage.open()
    Stage.registry.ask(upTo: 1)
    Stage.host {
      Stage.spawn(phase: 1, aborted)
      Stage.hostEnds()
    }
    Stage.registry.abortAsked()
    Stage.waitFor(.over, 1)
    Stage.close(hosts: 1)
  }

  static let seenDeadline = Scenario(
    name: "seen deadline",
    claim: "a clean-up task is spawned as a deadline passes: it sees that, or is seen (J4)",
    preemptions: 2
  ) {
    Stage.open()
    Stage.spawn { _, _ in
      if Stage.spawn(cleanup: true, stopped).status == .ok { Stage.add(1, to: .accepted) }
      Stage.add(1, to: .begun)
      return 0
    }
    var request = Stage.endless
    request.grace = 0
    _ = Stage.registry.shutdown(request) { _, _ in }
    Stage.waitFor(.begun, 1)
    Stage.waitFor(.over, Stage.value(.accepted))
    Stage.close()
  }
}
