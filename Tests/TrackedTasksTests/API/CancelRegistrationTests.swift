import CPlatform
import Glibc
import Testing

@testable import TrackedTasks

/// Closures that run when something is cancelled, and descriptors that report it.
@Suite struct CancelRegistrationTests {
  /// **Proves:** a closure runs once when its token is cancelled, and at once if it is already
  /// (C7).
  ///
  /// **Why it matters:** this is how a Swift program closes what it listens on.
  /// **Catches:** a closure that is only kept; one that runs for each cancel.
  @Test func aClosureRunsOnce() throws {
    let token = try ShutdownToken()
    let calls = Counter()
    let early = try token.onCancel { calls.add() }
    #expect(calls.value == 0)
    token.cancel(reason: .userRequested)
    #expect(calls.value == 1)
    token.cancel(reason: .fatal)
    let late = try token.onCancel { calls.add() }
    #expect(calls.value == 2)
    #expect(early.remove() == .hasRun)
    #expect(early.remove() == nil && late.remove() == nil)
    let other = try ShutdownToken().onCancel { calls.add() }
    #expect(other.remove() == .neverRuns)
    #expect(calls.value == 2)
  }

  /// **Proves:** a handler runs if the task is asked to stop within its scope, and not after it; and
  /// the same of a token, in `async` code as well (C7).
  ///
  /// **Why it matters:** this is how a call that knows no token is ended.
  /// **Catches:** a handler that outlives its scope.
  @Test func aHandlerLastsAsLongAsItsScope() async throws {
    let registry = try TaskRegistry()
    let calls = Counter()
    let task = try registry.spawn("scope", kind: .rpcHandler) { task in
      try task.withCancellationHandler {
      } onCancel: {
        calls.add(100)
      }
      let ended = Gate()
      try task.withCancellationHandler {
        task.cancel()
        ended.wait()
      } onCancel: {
        calls.add()
        ended.open()
      }
      return calls.value
    }
    #expect(try await task.waitForValue(timeout: ample) == 1)
    let token = try ShutdownToken()
    try await token.withCancellationHandler {
      await Task.yield()
    } onCancel: {
      calls.add(100)
    }
    let value = try await token.withCancellationHandler {
      await Task.yield()
      token.cancel(reason: .userRequested)
      return calls.value
    } onCancel: {
      calls.add()
    }
    #expect(value == 2 && calls.value == 2)
    try await registry.shutdown(grace: ample)
  }

  /// **Proves:** a closure does not run once its registration is gone, and what it captured goes
  /// with it, whether it ran or not (C7).
  ///
  /// **Why it matters:** registrations are members of the objects they call.
  /// **Catches:** a registration that outlives its object; a closure that is never released.
  @Test(arguments: [false, true]) func aRegistrationThatGoesTakesItsClosureAlong(runs: Bool) throws
  {
    let token = try ShutdownToken()
    let calls = Counter()
    weak var watched: Counter?
    do {
      let captured = Counter()
      watched = captured
      let registration = try token.onCancel {
        captured.add()
        calls.add()
      }
      if runs { token.cancel(reason: .userRequested) }
      _ = registration
    }
    token.cancel(reason: .userRequested)
    #expect(calls.value == (runs ? 1 : 0))
    #expect(watched == nil)
  }

  /// **Proves:** a closure for the end of a task runs once, after the end and before a shutdown is over, or at once, and
  /// is released (O4).
  ///
  /// **Why it matters:** an `await` of a task that holds no thread is made of it.
  /// **Catches:** a closure that runs before the outcome can be read; one that is never released.
  @Test func aClosureRunsAtTheEndOfATask() throws {
    let registry = try TaskRegistry()
    let calls = Counter()
    weak var watched: Counter?
    let gate = Gate()
    let task = try registry.spawnDeaf(until: gate)
    do {
      let captured = Counter()
      watched = captured
      try task.onEnd {
        captured.add()
        if (try? task.wait(timeout: .zero)) != nil { calls.add() }
      }
    }
    #expect(calls.value == 0 && watched != nil)
    gate.open()
    _ = try registry.shutdown()
    #expect(calls.value == 1 && watched == nil)
    try task.onEnd { calls.add() }
    #expect(calls.value == 2)
  }

  /// **Proves:** a closure may remove itself, and a task's runs when the task is asked to stop
  /// (C7).
  ///
  /// **Why it matters:** the first thing many handlers do is to take themselves out.
  /// **Catches:** a removal that waits for the closure it is called from.
  @Test func aClosureMayRemoveItself() throws {
    let registry = try TaskRegistry()
    let task = try registry.spawnSleeper()
    let calls = Counter()
    let own = Locked<CancelRegistration?>(nil)
    let registration = try task.onCancel {
      own.withLock { $0 }?.remove()
      calls.add()
    }
    own.withLock { $0 = registration }
    task.cancel()
    #expect(calls.value == 1)
    try task.wait(timeout: ample)
    own.withLock { $0 = nil }
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** the descriptors of a token and of a task are readable once they are cancelled, and
  /// a wait for a descriptor ends by the flag (C6, C8).
  ///
  /// **Why it matters:** event loops wait for descriptors.
  /// **Catches:** a descriptor that is not raised; a wait that does not check the flag.
  @Test func descriptorsShowCancellation() throws {
    let registry = try TaskRegistry()
    let token = try registry.token.fileDescriptor()
    #expect(cp_poll(token, Int16(POLLIN), -1, 0) == 0)
    var ends: [Int32] = [0, 0]
    #expect(pipe(&ends) == 0)
    let descriptor = ends[0]
    let ending = Locked<TaskRegistryError?>(nil)
    let task = try registry.spawn("polls", kind: .peerConnection) { task in
      do throws(TaskRegistryError) {
        try task.wait(forDescriptor: descriptor, events: Int16(POLLIN))
      } catch { ending.withLock { $0 = error } }
    }
    let own = try task.fileDescriptor()
    registry.token.cancel(reason: .userRequested)
    try task.wait(timeout: ample)
    #expect(ending.withLock { $0 } == .cancelled)
    #expect(cp_poll(token, Int16(POLLIN), -1, 0) == Int32(CP_POLL_READY))
    #expect(cp_poll(own, Int16(POLLIN), -1, 0) == Int32(CP_POLL_READY))
    close(ends[0])
    close(ends[1])
    try registry.shutdown(grace: ample)
  }
}
