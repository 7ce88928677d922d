import Foundation
import Testing

@testable import TrackedTasks

/// Waiting in `async` code.
@Suite struct AsyncFormsTests {
  /// **Proves:** many more waits than cores at once leave the cooperative threads free (O3, C4).
  ///
  /// **Why it matters:** a pool whose threads all block stops the whole program.
  /// **Catches:** the blocking form called in the calling thread.
  @Test func waitsBlockNoCooperativeThread() async throws {
    let token = try ShutdownToken()
    let count = 100
    let returned = try await withThrowingTaskGroup(of: Bool.self) { group in
      for _ in 0..<count {
        group.addTask {
          try await token.wait(timeout: ample)
          return true
        }
      }
      // Needs a cooperative thread while all of those wait.
      group.addTask {
        await Task.yield()
        token.cancel(reason: .userRequested)
        return true
      }
      var returned = 0
      for try await _ in group { returned += 1 }
      return returned
    }
    #expect(returned == count + 1)
  }

  private final class Box: Sendable {
    nonisolated(unsafe) var value = -1
  }

  /// **Proves:** what a blocking call has written is ordered before what its caller does next, also if
  /// the call ends before the caller suspends, and ThreadSanitizer knows it.
  ///
  /// **Why it matters:** users' programs are run under it, and it would report them.
  /// **Catches:** a result that the continuation alone hands on.
  @Test func whatACallHasWrittenIsOrderedBeforeItsCaller() async throws {
    for number in 0..<500 {
      let box = Box()
      let result = await AsyncCall.result { () throws(TaskRegistryError) in
        box.value = number
        return box
      }
      #expect(try result.get().value == number)
    }
  }

  /// **Proves:** thousands of waits for tasks, tokens and registries hold no thread of the library
  /// (O3, C4).
  ///
  /// **Why it matters:** a thread for each would cost a stack for each, and some limit ends them.
  /// **Catches:** a form that makes the blocking call on a thread of its own.
  @Test func thousandsOfWaitsHoldNoThread() async throws {
    let token = try ShutdownToken()
    let registry = try TaskRegistry()
    let gate = Gate()
    let deaf = try registry.spawnDeaf(until: gate)
    let count = 2000
    let waits = await withTaskGroup(of: Bool.self) { group in
      for number in 0..<count {
        group.addTask {
          switch number % 4 {
          case 0: (try? await token.wait()) != nil
          case 1: (try? await token.wait(timeout: ample)) != nil
          case 2: (try? await deaf.wait()) != nil
          default: (try? await registry.wait()) != nil
          }
        }
      }
      // All of them wait once each has a callback: half at the token, half at the task.
      while Self.callbacks(of: .token(token.core)) < count / 4
        || Self.callbacks(of: .end(deaf.core)) < count / 2
      {
        try? await Task.sleep(for: .milliseconds(5))
      }
      // Other tests make a few such calls meanwhile.
      #expect(Self.threadsOfCalls < count / 10)
      token.cancel(reason: .userRequested)
      gate.open()
      var waits = 0
      for await hasEnded in group where hasEnded { waits += 1 }
      return waits
    }
    #expect(waits == count)
    try await registry.shutdown(grace: ample)
  }

  /// How many callbacks are listed with a token or a task.
  private static func callbacks(of owner: CancelCallback.Owner) -> Int {
    owner.withLock { callbacks, _ in
      var count = 0
      var next = CancelCallback.Pointer(bitPattern: callbacks.first.load(ordering: .relaxed))
      while let callback = next {
        count += 1
        next = callback.pointee.next
      }
      return count
    }
  }

  /// How many threads make a blocking call for `async` code.
  private static var threadsOfCalls: Int {
    let threads = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
    return threads.count {
      (try? String(contentsOfFile: "/proc/self/task/\($0)/comm", encoding: .utf8))
        == "taskreg-async\n"
    }
  }

  /// **Proves:** a wait that is over, whatever ended it, leaves nothing with what it waited for
  /// (O4, C7).
  ///
  /// **Why it matters:** a loop of bounded waits for a task that runs for months would collect a
  /// callback for each.
  /// **Catches:** a registration that is left to run.
  @Test func aWaitThatIsOverLeavesNothing() async throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let deaf = try registry.spawnDeaf(until: gate)
    let token = try ShutdownToken()
    for _ in 0..<10 {
      await #expect(throws: TaskRegistryError.timedOut) {
        try await deaf.wait(timeout: .nanoseconds(1))
      }
      await #expect(throws: TaskRegistryError.timedOut) {
        try await token.wait(timeout: .nanoseconds(1))
      }
      await #expect(throws: TaskRegistryError.timedOut) {
        _ = try await ShutdownToken.waitForAny([token], timeout: .nanoseconds(1))
      }
      let waiting = Task { _ = try? await deaf.wait() }
      waiting.cancel()
      await waiting.value
    }
    #expect(Self.callbacks(of: .end(deaf.core)) == 0)
    #expect(Self.callbacks(of: .token(token.core)) == 0)
    gate.open()
    try await registry.shutdown(grace: ample)
  }

  /// **Proves:** a wait for a registry includes the tasks spawned meanwhile, of groups too, and a
  /// join counts all that ended in it (J1, J8, J9).
  ///
  /// **Why it matters:** the async forms wait for one task after the other, and count at the end.
  /// **Catches:** a wait that is over with the tasks that it found; a count that begins when the
  /// last has ended.
  @Test func waitsIncludeTheTasksSpawnedMeanwhile() async throws {
    let registry = try TaskRegistry()
    let group = try registry.group(named: "inside")
    let gate = Gate()
    let last = Locked(false)
    for _ in 0..<100 { try registry.spawnDeaf(until: gate) }
    try registry.spawn("spawner", kind: .backgroundLoop) { _ in
      gate.wait()
      try group.spawn("heir", kind: .backgroundLoop) { _ in
        try group.spawn("heir of the heir", kind: .backgroundLoop) { task in
          try task.sleep(for: .milliseconds(20))
          last.withLock { $0 = true }
        }
      }
    }
    let join = Task { try await registry.joinAll(timeout: ample) }
    let wait = Task { try await registry.wait(timeout: ample) }
    // The join waits once the first of the tasks it found has a callback.
    while registry.core.pointer.pointee.endCallbacks.load(ordering: .relaxed) < 2 {
      await Task.yield()
    }
    gate.open()
    let report = try await join.value
    #expect(last.value && report.ended == 103 && report.pending == 0)
    try await wait.value
    try await registry.shutdown(grace: ample)
  }

  /// **Proves:** `endGracePeriod` ends a shutdown that waits, with its report (C13).
  ///
  /// **Why it matters:** a program that gets its signals from elsewhere has no second signal.
  /// **Catches:** a call that moves no deadline.
  @Test func theGracePeriodCanBeEnded() async throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let deaf = try registry.spawnDeaf(until: gate)
    let stop = Task { () -> TaskRegistryError? in
      do throws(TaskRegistryError) {
        _ = try await registry.shutdown(grace: ample)
        return nil
      } catch { return error }
    }
    try await registry.token.wait(timeout: ample)
    registry.endGracePeriod()
    guard case .deadlineExceeded(let report) = await stop.value else {
      Issue.record("the shutdown did not throw its report")
      return
    }
    #expect(report.stragglers.map(\.name) == ["deaf"] && deaf.stopLevel == .abort)
    gate.open()
    try await registry.wait(timeout: ample)
  }

  /// **Proves:** the first of several tokens ends a wait for any (C18).
  ///
  /// **Why it matters:** a task waits for its own end or its client's.
  /// **Catches:** a wait for the first token alone; an index that is not its.
  @Test func anyOfSeveralTokensEndsAWait() async throws {
    let tokens = try (0..<3).map { _ in try ShutdownToken() }
    let waiting = Task { try await ShutdownToken.waitForAny(tokens, timeout: ample) }
    while Self.callbacks(of: .token(tokens[2].core)) == 0 { await Task.yield() }
    tokens[1].cancel(reason: .userRequested)
    let index = try await waiting.value
    #expect(index == 1)
    #expect(Self.callbacks(of: .token(tokens[2].core)) == 0)
    await #expect(throws: TaskRegistryError.invalidArgument) {
      _ = try await ShutdownToken.waitForAny([])
    }
  }

  /// **Proves:** the async forms give what the blocking ones give (O3, J1, J8).
  ///
  /// **Why it matters:** they are the same calls in another form.
  /// **Catches:** a form that loses the result or the error.
  @Test func resultsAndErrorsComeThrough() async throws {
    let registry = try TaskRegistry()
    let task = try registry.spawn("fails", kind: .rpcHandler) { _ in
      throw TaskRegistryError.limitReached
    }
    let outcome = try await task.wait(timeout: ample)
    #expect(outcome.ending == .failed(message: TaskRegistryError.limitReached.description))

    let gate = Gate()
    let deaf = try registry.spawnDeaf("deaf", until: gate)
    await #expect(throws: TaskRegistryError.timedOut) {
      try await deaf.wait(timeout: .milliseconds(1))
    }
    await #expect(throws: TaskRegistryError.timedOut) {
      try await registry.token.wait(timeout: .zero)
    }
    do {
      try await registry.joinAll(timeout: .zero)
      Issue.record("the join did not miss its deadline")
    } catch {
      guard case .deadlineExceeded(let report) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(report.stragglers.map(\.name) == ["deaf"])
    }
    gate.open()
    let report = try await registry.shutdown(reason: .fatal, message: "over", grace: ample)
    #expect(report.pending == 0 && report.threadsLeft == 0)
    #expect(registry.token.reason == .fatal && registry.token.message == "over")
  }

  /// **Proves:** cancelling the Swift task around it ends each kind of wait, but for a shutdown
  /// (C4).
  ///
  /// **Why it matters:** structured concurrency waits for its children, these included.
  /// **Catches:** the cancellation handler left out.
  @Test(arguments: 0..<3) func swiftCancellationEndsAWait(kind: Int) async throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let deaf = try registry.spawnDeaf(until: gate)
    let token = try ShutdownToken()
    let waiting = Task { () -> TaskRegistryError? in
      do {
        switch kind {
        case 0: try await token.wait()
        case 1: try await deaf.wait()
        default: try await registry.joinAll()
        }
        return nil
      } catch { return error as? TaskRegistryError }
    }
    waiting.cancel()
    let error = await waiting.value
    #expect(error == .cancelled)
    #expect(!deaf.isCancelled)
    gate.open()
    try await registry.shutdown(grace: ample)
  }

  /// **Proves:** a Swift task cancelled beforehand does not wait at all (C4).
  ///
  /// **Why it matters:** the request may come before the wait is suspended.
  /// **Catches:** a request for cancellation forgotten before there is a continuation.
  @Test func aTaskCancelledBeforehandDoesNotWait() async throws {
    let token = try ShutdownToken()
    for _ in 0..<30 {
      let waiting = Task { () -> TaskRegistryError? in
        while !Task.isCancelled { await Task.yield() }
        do {
          try await token.wait()
          return nil
        } catch { return error as? TaskRegistryError }
      }
      waiting.cancel()
      let error = await waiting.value
      #expect(error == .cancelled)
    }
    #expect(!token.isCancelled)
  }

  /// **Proves:** a result that exists already is returned, cancelled or not (J2, O3).
  ///
  /// **Why it matters:** an outcome that exists should not be discarded.
  /// **Catches:** a wait that ends before it has checked.
  @Test func whatHasHappenedIsReturned() async throws {
    let registry = try TaskRegistry()
    let task = try registry.spawn("done", kind: .rpcHandler) { _ in }
    try await task.wait(timeout: ample)
    for _ in 0..<20 {
      let ending = try await task.wait(timeout: .zero).ending
      #expect(ending == .returned)
    }
    let report = try await registry.joinAll(timeout: .zero)
    #expect(report.pending == 0)
    try await registry.shutdown(grace: ample)
  }

  /// **Proves:** a wait for all tasks that has found one to which the system then refuses its thread is
  /// over, and functions for the end of that task run once, outside no other task (O4, S6).
  ///
  /// **Why it matters:** the spawn says that there is no task, and the wait for it would never end.
  /// **Catches:** an end that only a task's own thread tells.
  @Test func aWaitMayFindATaskThatGetsNoThread() async throws {
    let root = try TaskRegistry()
    let registry = try root.group(named: "group")
    let waits = Task { try await registry.wait(timeout: ample) }
    try await waits.value
    let waiting = Locked<Task<Void, any Error>?>(nil)
    let status = try await root.spawn("spawner", kind: .maintenance) { task in
      let request = SpawnRequest(
        name: TaskName(), kind: 1, body: { _, _ in 0 }, context: nil, drop: nil)
      let (status, _) = registry.core.enter(request) { _, _ in
        waiting.withLock {
          $0 = Task { try await registry.wait(timeout: ample) }
        }
        #expect(
          eventually { registry.core.pointer.pointee.endCallbacks.load(ordering: .relaxed) != 0 })
        return .again
      }
      #expect(TrackedTask.current?.name == "spawner")
      return status == .again
    }.value
    #expect(status)
    try await waiting.value?.value
    try await root.shutdown(grace: ample)
  }
}
