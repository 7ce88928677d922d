import CPlatform
import Testing

@testable import TrackedTasks

private struct Mishap: Error, CustomStringConvertible {
  var description: String
}

/// How tasks end, and when the end is observable.
@Suite struct FinishTests {
  /// **Proves:** a thrown error is a failed task with the error's description (O1).
  ///
  /// **Why it matters:** an end that left no trace was the original's worst habit.
  /// **Catches:** the message set after the outcome can be read.
  @Test func aThrownErrorIsAFailureWithItsDescription() throws {
    let registry = try TaskRegistry()
    let task = try registry.spawn("fails", kind: .rpcHandler) { _ in
      throw Mishap(description: "disk on fire")
    }
    let outcome = try task.wait(timeout: ample)
    #expect(outcome.ending == .failed(message: "disk on fire"))
    #expect(!outcome.wasCancelled)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a long description is cut at a character, within 127 bytes (O1).
  ///
  /// **Why it matters:** descriptions come from anywhere and are any length.
  /// **Catches:** the message rejected for its length and lost.
  @Test func aLongDescriptionIsCutAtACharacter() throws {
    let registry = try TaskRegistry()
    let text = String(repeating: "é", count: 500)
    let task = try registry.spawn("fails", kind: .rpcHandler) { _ in
      throw Mishap(description: text)
    }
    let outcome = try task.wait(timeout: ample)
    #expect(outcome.ending == .failed(message: String(repeating: "é", count: 63)))
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** `cancelled` thrown by a task that was asked to stop is a return, else a failure
  /// (O1).
  ///
  /// **Why it matters:** stopping on request is not a failure; the same error without a request is
  /// one.
  /// **Catches:** the check whether it was asked left out.
  @Test func cancelledIsAReturnOnlyForThoseWhoWereAsked() throws {
    let registry = try TaskRegistry()
    let obedient = try registry.spawnSleeper()
    obedient.cancel()
    let first = try obedient.wait(timeout: ample)
    #expect(first.ending == .returned)
    #expect(first.wasCancelled)
    let liar = try registry.spawn("liar", kind: .rpcHandler) { _ in
      throw TaskRegistryError.cancelled
    }
    let second = try liar.wait(timeout: ample)
    #expect(second.ending == .failed(message: TaskRegistryError.cancelled.description))
    #expect(!second.wasCancelled)
    let report = try registry.shutdown(grace: ample)
    #expect(report.failed == 0)
  }

  /// **Proves:** leaving by `pthread_exit` is an end of its own, seen and counted (O1, J8).
  ///
  /// **Why it matters:** C libraries do that, and no `defer` would notice.
  /// **Catches:** the end detected by code behind the call of the body.
  @Test func leavingTheThreadIsAnEnd() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let task = try registry.spawn("leaves", kind: .rpcHandler) { _ in
      gate.wait()
      leaveThread()
    }
    let joiner = PlainThread {
      let report = try? registry.joinAll(timeout: ample)
      #expect(report?.exited == 1)
      #expect(report?.ended == 1)
      #expect(report?.failed == 0)
    }
    #expect(eventually { registry.joinersWaiting == 1 })
    gate.open()
    joiner.join()
    #expect(try task.wait(timeout: ample).ending == .exited)
    #expect(registry.isEmpty)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** what a closure captured is released exactly once, however a Swift closure ends
  /// (S4).
  ///
  /// What its frames retained when the thread leaves in the middle is never released, by the nature
  /// of Swift; the C tests show that `drop` runs then too.
  /// **Why it matters:** a socket that is captured and never released stays open.
  /// **Catches:** `drop` skipped after a failure.
  @Test(arguments: ["returned", "failed", "cancelled"])
  func whatABodyCapturedIsLetGoOnce(way: String) throws {
    let registry = try TaskRegistry()
    let ends = Counter()
    let task = try spawn(way, in: registry, ends)
    if way == "cancelled" { task.cancel() }
    try task.wait(timeout: ample)
    // Code that has observed the end may rely on it.
    #expect(ends.value == 1)
    try registry.shutdown(grace: ample)
    #expect(ends.value == 1)
  }

  private func spawn(
    _ way: String, in registry: TaskRegistry, _ ends: Counter
  ) throws -> TrackedTask {
    let canary = Canary(ends)
    return try registry.spawn("holds a canary", kind: .rpcHandler) { task in
      canary.sing()
      switch way {
      case "failed": throw Mishap(description: "no")
      case "cancelled": try task.sleep(for: .seconds(600))
      default: break
      }
    }
  }

  /// **Proves:** a join sees an end only after the captured objects are gone (S4).
  ///
  /// **Why it matters:** after a join the program tears down what the tasks used.
  /// **Catches:** the end counted before `drop` runs.
  @Test func joinsReturnAfterTheDrop() throws {
    let registry = try TaskRegistry()
    let ends = Counter()
    for round in 1...200 {
      _ = try spawn("returned", in: registry, ends)
      try registry.joinAll(timeout: ample)
      #expect(ends.value == round)
    }
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** many may wait for one task, and all get the same outcome (O3).
  ///
  /// **Why it matters:** an outcome is read, not taken.
  /// **Catches:** only the first of the waiters woken.
  @Test func manyWaitForOneTask() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let task = try registry.spawn("awaited", kind: .rpcHandler) { _ in
      gate.wait()
      throw Mishap(description: "same for all")
    }
    let outcomes = Locked<[TaskOutcome]>([])
    let waiters = (0..<6).map { _ in
      PlainThread {
        if let outcome = try? task.wait(timeout: ample) {
          outcomes.withLock { $0.append(outcome) }
        }
      }
    }
    #expect(eventually { task.core.word.isAwaited })
    gate.open()
    for waiter in waiters { waiter.join() }
    #expect(outcomes.value.count == 6)
    #expect(outcomes.value.allSatisfy { $0.ending == .failed(message: "same for all") })
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a wait that runs out says so and changes nothing (O3).
  ///
  /// **Why it matters:** waiting for a task must not stop it.
  /// **Catches:** a wait that raises the flag when it times out.
  @Test func aWaitThatRunsOutChangesNothing() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let task = try registry.spawnDeaf(until: gate)
    #expect(throws: TaskRegistryError.timedOut) { try task.wait(timeout: .zero) }
    #expect(throws: TaskRegistryError.timedOut) { try task.wait(timeout: .milliseconds(5)) }
    #expect(throws: TaskRegistryError.timedOut) { try task.wait(timeout: .seconds(-5)) }
    #expect(!task.isCancelled)
    gate.open()
    #expect(try task.wait().ending == .returned)
    #expect(try task.wait(timeout: .zero).ending == .returned)
    try registry.shutdown(grace: ample)
  }
}

/// Ends the calling thread from the middle of a body.
@inline(never)
private func leaveThread() { pthread_exit(nil) }
