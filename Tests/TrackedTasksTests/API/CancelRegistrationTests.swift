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

  /// **Proves:** a closure stays registered though nobody keeps its registration: it runs when its
  /// token is cancelled, or its task asked to stop, and is released then (C7).
  ///
  /// **Why it matters:** `_ = try token.onCancel { … }` reads as if it registered something.
  /// **Catches:** a registration that takes its closure along.
  @Test func aRegistrationNeedNotBeKept() throws {
    let token = try ShutdownToken()
    let registry = try TaskRegistry()
    let task = try registry.spawnSleeper()
    let (calls, ends) = (Counter(), Counter())
    for owner in 0..<2 {
      let canary = Canary(ends)
      let closure: @Sendable () -> Void = {
        canary.sing()
        calls.add()
      }
      _ = owner == 0 ? try token.onCancel(closure) : try task.onCancel(closure)
    }
    #expect(calls.value == 0 && ends.value == 0)
    token.cancel(reason: .userRequested)
    #expect(calls.value == 1 && ends.value == 1)
    task.cancel()
    #expect(calls.value == 2 && ends.value == 2)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a closure whose registration nobody keeps is released without having run when its
  /// task has ended; also if the task ends at that very moment (C7).
  ///
  /// **Why it matters:** tasks come and go, and what their closures captured must not stay.
  /// **Catches:** one that stays with a task that has ended.
  @Test func aClosureGoesWithItsTask() throws {
    let (calls, ends) = (Counter(), Counter())
    let registry = try TaskRegistry()
    for round in 0..<200 {
      let gate = Gate()
      let task = try registry.spawnDeaf(until: gate)
      if round % 2 == 0 { gate.open() }
      let canary = Canary(ends)
      try task.onCancel {
        canary.sing()
        calls.add()
      }
      try task.onAbort {
        canary.sing()
        calls.add()
      }
      gate.open()
      try task.wait(timeout: ample)
    }
    let over = try registry.spawn("over", kind: .rpcHandler) { _ in }
    try over.wait(timeout: ample)
    let canary = Canary(ends)
    try over.onCancel {
      canary.sing()
      calls.add()
    }
    try registry.shutdown(grace: ample)
    withExtendedLifetime(over) { #expect(ends.value == 200 && calls.value == 0) }
  }

  /// **Proves:** a closure whose registration nobody keeps is released without having run in the call
  /// that gives up its token, be it a reference to the token, to a child of it, to a registry, or a
  /// registration that was kept for longer (C7).
  ///
  /// **Why it matters:** a token for each request, with a closure each, must not fill the memory.
  /// **Catches:** a closure that keeps its token alive.
  @Test func aClosureGoesWithItsToken() throws {
    let (calls, ends) = (Counter(), Counter())
    func register(with token: ShutdownToken, atAbort: Bool = false) throws -> CancelRegistration {
      let canary = Canary(ends)
      let closure: @Sendable () -> Void = {
        canary.sing()
        calls.add()
      }
      return atAbort ? try token.onAbort(closure) : try token.onCancel(closure)
    }
    do {
      let token = try ShutdownToken()
      for _ in 0..<3 { _ = try register(with: token) }
      withExtendedLifetime(token) { #expect(ends.value == 0) }
    }
    #expect(ends.value == 3)
    var child: ShutdownToken?
    do {
      let parent = try ShutdownToken()
      _ = try register(with: parent)
      child = try parent.child()
    }
    #expect(ends.value == 3)
    _ = try child.map { try register(with: $0) }
    child = nil
    #expect(ends.value == 5)
    do {
      let registry = try TaskRegistry()
      _ = try register(with: registry.token)
      _ = try register(with: registry.token, atAbort: true)
      withExtendedLifetime(registry) { #expect(ends.value == 5) }
    }
    #expect(ends.value == 7 && calls.value == 0)
    var kept: CancelRegistration? = try register(with: ShutdownToken())
    #expect(ends.value == 7 && kept != nil)
    kept = nil
    #expect(ends.value == 8 && calls.value == 0)
    // After a shutdown, what waits for an abort is left.
    do {
      let registry = try TaskRegistry()
      _ = try register(with: registry.token)
      _ = try register(with: registry.token, atAbort: true)
      try registry.spawnSleeper()
      try registry.shutdown(grace: ample)
      withExtendedLifetime(registry) { #expect(ends.value == 9 && calls.value == 1) }
    }
    #expect(ends.value == 10 && calls.value == 1)
  }

  /// **Proves:** a closure whose token was cancelled runs, also if the last reference is given up
  /// before the thread that cancels comes to the closures (C7).
  ///
  /// **Why it matters:** a walk over the children of a token holds each for a moment only.
  /// **Catches:** a closure that is released without having run although its token was cancelled.
  @Test func aClosureThatIsDueRuns() throws {
    let (calls, ends) = (Counter(), Counter())
    do {
      let token = try ShutdownToken()
      for atAbort in [false, true] {
        let canary = Canary(ends)
        let closure: @Sendable () -> Void = {
          canary.sing()
          calls.add()
        }
        _ = atAbort ? try token.onAbort(closure) : try token.onCancel(closure)
      }
      // What a cancel does first.
      #expect(token.core.raiseFlags(reason: 1, message: nil))
      withExtendedLifetime(token) { #expect(calls.value == 0) }
    }
    #expect(calls.value == 1 && ends.value == 2)
  }

  /// **Proves:** where the library may not call the application, in the middle of raising flags or on
  /// its timer thread, the last reference to a token leaves the closures to an event thread (C7).
  ///
  /// **Why it matters:** what a closure captured may do anything when it goes, also wait.
  /// **Catches:** a closure that is released by whoever walks by.
  @Test func noClosureIsReleasedInTheMiddle() throws {
    let name = Locked("")
    let gone = Gate()
    let calls = Counter()
    let (_, made) = TokenReference.create()
    let core = try #require(made)
    do {
      let token = ShutdownToken(takingOver: core)
      core.retain()
      let witness = Witness {
        name.withLock { $0 = kernelNameOfCallingThread() }
        gone.open()
      }
      try token.onCancel {
        withExtendedLifetime(witness) {}
        calls.add()
      }
    }
    core.release()
    #expect(gone.wait())
    #expect(name.value == "taskreg-events" && calls.value == 0)
  }

  /// **Proves:** what a task's own token has registered is released after the end of the task, inside
  /// no task (C7, C18).
  ///
  /// **Why it matters:** while a task ends, joins count on it, and its name is on no list.
  /// **Catches:** a closure that is released between the end of a task and its count.
  @Test func aTasksTokenGoesAfterItsEnd() throws {
    let registry = try TaskRegistry()
    let seen = Locked<(String, Int, Bool)?>(nil)
    let gone = Gate()
    let task = try registry.spawn("own", kind: .rpcHandler) { task in
      let witness = Witness {
        seen.withLock {
          $0 = (kernelNameOfCallingThread(), registry.count, TrackedTask.current == nil)
        }
        gone.open()
      }
      try task.token().onCancel { withExtendedLifetime(witness) {} }
    }
    try task.wait(timeout: ample)
    // A shutdown holds the tokens that it cancels, and would be the one to give this one up.
    #expect(gone.wait())
    try registry.shutdown(grace: ample)
    let (name, count, isOutside) = try #require(seen.value)
    #expect(name == "own" && count == 0 && isOutside)
  }

  /// **Proves:** the last reference to a registration may be given up under a lock for which the
  /// closure waits (C7).
  ///
  /// **Why it matters:** registrations are members of objects, and objects go under locks.
  /// **Catches:** a deinitializer that waits for the closure: a deadlock.
  @Test func givingUpARegistrationDoesNotWait() throws {
    let token = try ShutdownToken()
    let lock = Locked(0)
    let runs = Gate()
    let registration = Locked<CancelRegistration?>(
      try token.onCancel {
        runs.open()
        lock.withLock { $0 += 1 }
      })
    let registry = try TaskRegistry()
    let mayCancel = Gate()
    let canceller = try registry.spawn("cancels", kind: .maintenance) { _ in
      mayCancel.wait()
      token.cancel(reason: .userRequested)
    }
    lock.withLock { _ in
      mayCancel.open()
      runs.wait()
      registration.withLock { $0 = nil }
    }
    try canceller.wait(timeout: ample)
    #expect(lock.value == 1)
    try registry.shutdown(grace: ample)
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

/// Calls a closure when it goes.
private final class Witness: Sendable {
  private let goes: @Sendable () -> Void

  init(_ goes: @escaping @Sendable () -> Void) { self.goes = goes }

  deinit { goes() }
}
