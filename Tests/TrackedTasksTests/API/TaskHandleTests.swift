import Glibc
import Testing

@testable import TrackedTasks

/// Tasks with values, and what their bodies receive.
@Suite struct TaskHandleTests {
  /// **Proves:** what the body returns is the value, for callers that block and for `async` ones
  /// (O1).
  ///
  /// **Why it matters:** most work is done for a result.
  /// **Catches:** a value that is read before the task has ended.
  @Test func theValueIsWhatTheBodyReturns() async throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let task = try registry.spawn("counts", kind: .rpcHandler) { task in
      gate.wait()
      return "value of \(task.name)"
    }
    await #expect(throws: TaskRegistryError.timedOut) {
      try await task.waitForValue(timeout: .milliseconds(1))
    }
    let early = Task { try await task.value }
    gate.open()
    #expect(try await early.value == "value of counts")
    #expect(try await task.value == "value of counts")
    let read = { try task.waitForValue(timeout: ample) }
    #expect(try read() == "value of counts")
    try await registry.shutdown(grace: ample)
  }

  /// **Proves:** what the body throws is thrown to those who ask for the value, whether or not it
  /// is a failure; a body that was left has none (O1, C4).
  ///
  /// **Why it matters:** the caller handles the error, and the registry counts it.
  /// **Catches:** an error that becomes a text; `CancellationError` counted as a failure.
  @Test func theErrorIsWhatTheBodyThrows() async throws {
    struct Broken: Error, Equatable { let number: Int }
    let registry = try TaskRegistry()
    let broken = try registry.spawn("breaks", kind: .rpcHandler) { _ -> Int in
      throw Broken(number: 4711)
    }
    await #expect(throws: Broken(number: 4711)) { try await broken.value }
    let brokenEnding = try await broken.wait().ending
    #expect(brokenEnding == .failed(message: "Broken(number: 4711)"))

    let stopped = try registry.spawn("is stopped", kind: .rpcHandler) { task -> Int in
      while true { try task.sleep(for: ample) }
    }
    stopped.cancel()
    await #expect(throws: CancellationError.self) { try await stopped.value }
    let stoppedEnding = try await stopped.wait().ending
    #expect(stoppedEnding == .returned)

    // Nobody asked this one to stop: then the same error is a failure.
    let resigned = try registry.spawn("resigns", kind: .rpcHandler) { _ -> Int in
      throw CancellationError()
    }
    await #expect(throws: CancellationError.self) { try await resigned.value }
    let resignedEnding = try await resigned.wait().ending
    #expect(resignedEnding != .returned)

    let left = try registry.spawn("is left", kind: .rpcHandler) { _ -> Int in pthread_exit(nil) }
    await #expect(throws: TaskRegistryError.exited) { try await left.value }
    try await registry.shutdown(grace: ample)
  }

  /// **Proves:** a body may use what is not `Sendable`, if it is handed over (S1).
  ///
  /// **Why it matters:** `Task` and `Thread` take such closures.
  /// **Catches:** nothing at run time: it is compiled.
  @Test func aBodyTakesOverWhatIsNotSendable() throws {
    final class Connection {
      var bytes = 0
    }
    let registry = try TaskRegistry()
    let connection = Connection()
    let task = try registry.spawn("uses it", kind: .peerConnection) { _ in
      connection.bytes += 1
      return connection.bytes
    }
    #expect(try task.waitForValue(timeout: ample) == 1)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** references to one task are equal, whatever their type, and others are not (O3).
  ///
  /// **Why it matters:** tasks are kept in sets, and looked up by the one that is current.
  /// **Catches:** equality by the object.
  @Test func referencesToOneTaskAreEqual() throws {
    let registry = try TaskRegistry()
    let seen = Locked<TrackedTask?>(nil)
    let task = try registry.spawn("one", kind: .rpcHandler) { task in
      #expect(TaskContext.current?.id == task.id && TrackedTask.current == task.handle)
      seen.withLock { $0 = TrackedTask.current }
      return 7
    }
    let other = try registry.spawn("other", kind: .rpcHandler) { _ in }
    #expect(try task.waitForValue(timeout: ample) == 7)
    let current = try #require(seen.value)
    #expect(current == task && current !== task && current != other)
    #expect(Set([current, task, other]).count == 2)
    #expect(TaskContext.current == nil)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a check for cancellation throws once the task is asked to stop, and only then
  /// (C2).
  ///
  /// **Why it matters:** a loop without waits ends by it.
  /// **Catches:** a check that always throws, or never.
  @Test func aCheckThrowsOnceTheTaskIsAskedToStop() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let task = try registry.spawn("checks", kind: .rpcHandler) { task in
      let before = isCancelled { () throws(CancellationError) in try task.checkCancellation() }
      task.cancel()
      let after = isCancelled { () throws(CancellationError) in try task.checkCancellation() }
      gate.open()
      return [before, after]
    }
    gate.wait()
    #expect(try task.waitForValue(timeout: ample) == [false, true])
    try registry.shutdown(grace: ample)
  }
}
