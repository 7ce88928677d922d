import CPlatform
import Testing

@testable import TrackedTasks

/// Drain, abort, shields and what tokens and registries offer for them, from Swift.
@Suite struct StopLevelsTests {
  /// **Proves:** levels rise one by one or at once, are shown by the task and by a list, and never
  /// fall (C15).
  ///
  /// **Why it matters:** a server tells the two apart.
  /// **Catches:** `abort` that is another name of `cancel`.
  @Test func levelsRise() throws {
    let registry = try TaskRegistry(.underTest)
    let gate = Gate()
    let task = try registry.spawnDeaf(until: gate)
    #expect(task.stopLevel == .none)
    task.cancel()
    #expect(task.stopLevel == .drain)
    task.abort()
    task.cancel()
    #expect(task.stopLevel == .abort && task.isCancelled)
    let summary = try #require(registry.snapshot().first { $0.id == task.id })
    #expect(summary.stopLevel == .abort && summary.drainingFor == nil)
    #expect(StopLevel.none < .drain && StopLevel.drain < .abort)
    gate.open()
    try task.wait(timeout: ample)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a task that drains waits again, until it is told to abort; lists say that it
  /// drains (C16).
  ///
  /// **Why it matters:** finishing work takes waits.
  /// **Catches:** a draining task whose sleep still ends by its flag.
  @Test func aDrainingTaskWaitsAgain() throws {
    let registry = try TaskRegistry(.underTest)
    let drains = Gate()
    let task = try registry.spawn("drains", kind: .peerConnection) { task in
      #expect(isCancelled { () throws(CancellationError) in try task.sleep(for: ample) })
      try task.beginDrain()
      try task.sleep(for: .milliseconds(1))
      drains.open()
      #expect(isCancelled { () throws(CancellationError) in try task.sleep(for: ample) })
      #expect(
        isCancelled { () throws(CancellationError) in try task.beginDrain() })
    }
    task.cancel()
    drains.wait()
    let summary = try #require(registry.snapshot().first { $0.id == task.id })
    #expect(summary.stopLevel == .drain && summary.drainingFor != nil)
    task.abort()
    #expect(try task.wait(timeout: ample).ending == .returned)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** in a shield no level ends a wait; the shield ends with its closure, also when that
  /// throws (C17).
  ///
  /// **Why it matters:** clean-up in a cancelled task waits for its children.
  /// **Catches:** a shield that is left open by an error.
  @Test func aShieldHoldsOffBothLevels() throws {
    let registry = try TaskRegistry(.underTest)
    let task = try registry.spawn("shielded", kind: .maintenance) { task in
      task.handle.abort()
      try task.withShield { try task.sleep(for: .milliseconds(1)) }
      #expect(throws: TaskRegistryError.timedOut) {
        try task.withShield { throw TaskRegistryError.timedOut }
      }
      #expect(isCancelled { () throws(CancellationError) in try task.sleep(for: ample) })
    }
    #expect(try task.wait(timeout: ample).ending == .returned)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** callbacks and descriptors for abort tell of abort alone (C15, C6, C7).
  ///
  /// **Why it matters:** a connection that drains polls for the abort.
  /// **Catches:** `onAbort` that runs at drain.
  @Test func eachLevelHasItsCallbacksAndItsDescriptor() throws {
    let registry = try TaskRegistry(.underTest)
    let gate = Gate()
    let task = try registry.spawnDeaf(until: gate)
    let calls = Locked(0)
    let registration = try task.onAbort { calls.withLock { $0 += 1 } }
    let descriptor = try task.abortFileDescriptor()
    #expect(try descriptor != task.fileDescriptor())
    task.cancel()
    #expect(calls.value == 0)
    task.abort()
    #expect(calls.value == 1)
    #expect(registration.remove() == .hasRun)
    var one = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    #expect(poll(&one, 1, 0) == 1)
    gate.open()
    try task.wait(timeout: ample)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** an aborted token tells its tasks to abort, and those of children made after its
  /// cancel; a root token may have a timeout; the first of several tokens ends a wait (C15, C18).
  ///
  /// **Why it matters:** a request belongs to a client and to the program.
  /// **Catches:** a child that only hears of the cancel.
  @Test func tokensHaveLevelsTimeoutsAndWaitsForAny() throws {
    let token = try ShutdownToken()
    #expect(token.cancel(reason: .fatal, message: "first"))
    let child = try token.child()
    #expect(child.stopLevel == .drain)
    #expect(token.abort(reason: .userRequested) && !token.abort(reason: .userRequested))
    #expect(child.stopLevel == .abort && child.reason == .fatal)
    let timed = try ShutdownToken(timeout: .milliseconds(1))
    let never = try ShutdownToken()
    #expect(try ShutdownToken.waitForAny([never, timed]) == 1)
    #expect(timed.reason == .deadline)
    #expect(
      errorOf { () throws(TaskRegistryError) in
        try ShutdownToken.waitForAny([never], timeout: .milliseconds(1))
      } == .timedOut)
    #expect(
      errorOf { () throws(TaskRegistryError) in try ShutdownToken.waitForAny([]) }
        == .invalidArgument)
  }

  /// **Proves:** closing rejects spawns and asks nobody to stop (C18, S5).
  ///
  /// **Why it matters:** the first step of a drain.
  /// **Catches:** `close` that cancels the token.
  @Test func closingAsksNobodyToStop() throws {
    let registry = try TaskRegistry(.underTest)
    let gate = Gate()
    let task = try registry.spawnDeaf(until: gate)
    #expect(!registry.isClosed)
    registry.close()
    #expect(registry.isClosed && !registry.token.isCancelled && task.stopLevel == .none)
    #expect(
      errorOf { () throws(TaskRegistryError) in try registry.spawnSleeper() } == .closed)
    gate.open()
    try task.wait(timeout: ample)
    try registry.shutdown(grace: ample)
  }

  /// A Swift task begins behind all tests that are due, which takes a minute under a sanitizer.
  private var patient: Duration { .seconds(600) }

  /// **Proves:** cancelling an async shutdown tells the tasks to abort, joins all the same, and
  /// throws the report (C15, J4).
  ///
  /// **Why it matters:** a shutdown that returns while tasks run is a join that was skipped.
  /// **Catches:** a cancellation that throws `cancelled`; one that does nothing; a grace that is
  /// not cut short.
  @Test func cancellingAnAsyncShutdownMeansAbortNow() async throws {
    let registry = try TaskRegistry(.underTest)
    let drains = Gate()
    let gate = Gate()
    let task = try registry.spawn("drains", kind: .peerConnection) { task in
      try task.beginDrain()
      drains.open()
      try? task.sleep(for: patient)
    }
    let deaf = try registry.spawnDeaf(until: gate)
    drains.wait()
    let stop = Task {
      do throws(TaskRegistryError) {
        _ = try await registry.shutdown(grace: patient)
        return TaskRegistryError.timedOut
      } catch { return error }
    }
    try await registry.token.wait(timeout: patient)
    stop.cancel()
    guard case .deadlineExceeded(let report) = await stop.value else {
      Issue.record("the shutdown did not throw its report")
      return
    }
    #expect(report.abandoned >= 1 && report.stragglers.contains { $0.name == "deaf" })
    #expect(report.elapsed < patient)
    #expect(task.stopLevel == .abort && deaf.stopLevel == .abort)
    gate.open()
    try await task.wait(timeout: patient)
    try await deaf.wait(timeout: patient)
    while errorOf({ () throws(TaskRegistryError) in try registry.shutdown(grace: ample) }) != nil {}
  }

  /// **Proves:** an async shutdown that is cancelled, meanwhile or beforehand, has waited for the
  /// tasks that it told to abort when it returns, within their grace (C15, J4).
  ///
  /// **Why it matters:** what the tasks use is freed after the shutdown.
  /// **Catches:** a shutdown that is left out, or given up, because its Swift task is cancelled.
  @Test(arguments: [false, true])
  func aCancelledAsyncShutdownWaitsForTheAborted(beforehand: Bool) async throws {
    let registry = try makeRegistry(grace: patient)
    let gate = Gate()
    let hasReturned = Locked(false)
    let task = try registry.spawn("drains", kind: .peerConnection) { task in
      try task.beginDrain()
      try? task.sleep(for: patient)
      #expect(task.stopLevel == .abort)
      gate.wait()
    }
    let stop = Task {
      while beforehand && !Task.isCancelled { await Task.yield() }
      defer { hasReturned.withLock { $0 = true } }
      do throws(TaskRegistryError) {
        _ = try await registry.shutdown(grace: patient)
        return TaskRegistryError.timedOut
      } catch { return error }
    }
    if !beforehand { try await registry.token.wait(timeout: patient) }
    stop.cancel()
    while registry.snapshot().first?.state != .abandoned, !hasReturned.value {
      try await Task.sleep(for: .milliseconds(1))
    }
    #expect(!hasReturned.value)
    gate.open()
    guard case .deadlineExceeded(let report) = await stop.value else {
      Issue.record("the shutdown did not throw its report")
      return
    }
    #expect(report.pending == 1 && report.aborted == 1 && report.elapsed < patient)
    #expect(errorOf { () throws(TaskRegistryError) in try task.wait(timeout: .zero) } == nil)
    while errorOf({ () throws(TaskRegistryError) in try registry.shutdown(grace: ample) }) != nil {}
  }
}
