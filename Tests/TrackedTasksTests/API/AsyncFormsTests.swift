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
          try await token.waitAsync(timeout: ample)
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

  /// **Proves:** when the waits are over their threads leave, and are joined by one that stays
  /// (G4).
  ///
  /// **Why it matters:** no call shuts down the registry they run in; ThreadSanitizer reports a
  /// thread that was never joined when the process ends.
  /// **Catches:** a registry all of whose threads leave; then no thread is left to join the last.
  @Test func threadsThatWaitedLeave() async throws {
    let token = try ShutdownToken()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<40 { group.addTask { _ = try? await token.waitAsync(timeout: ample) } }
      group.addTask {
        // Until as many threads wait.
        while Self.waitingThreads < 40 { try? await Task.sleep(for: .milliseconds(1)) }
        token.cancel(reason: .userRequested)
      }
    }
    var left = Int.max
    // Other tests wait as well.
    for _ in 0..<6000 where left > 1 {
      try await Task.sleep(for: .milliseconds(100))
      left = Self.waitingThreads
    }
    #expect(left == 1)
  }

  private static var waitingThreads: Int {
    (try? AsyncWait.registry.get().core.monitor.withLock { $0.threadCount }) ?? 0
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
    let outcome = try await task.waitAsync(timeout: ample)
    #expect(outcome.ending == .failed(message: TaskRegistryError.limitReached.description))

    let gate = Gate()
    let deaf = try registry.spawnDeaf("deaf", until: gate)
    await #expect(throws: TaskRegistryError.timedOut) {
      try await deaf.waitAsync(timeout: .milliseconds(1))
    }
    await #expect(throws: TaskRegistryError.timedOut) {
      try await registry.token.waitAsync(timeout: .zero)
    }
    do {
      try await registry.joinAllAsync(timeout: .zero)
      Issue.record("the join did not miss its deadline")
    } catch {
      guard case .deadlineExceeded(let report) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(report.stragglers.map(\.name) == ["deaf"])
    }
    gate.open()
    let report = try await registry.shutdownAsync(reason: .fatal, message: "over", grace: ample)
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
        case 0: try await token.waitAsync()
        case 1: try await deaf.waitAsync()
        default: try await registry.joinAllAsync()
        }
        return nil
      } catch { return error as? TaskRegistryError }
    }
    waiting.cancel()
    let error = await waiting.value
    #expect(error == .cancelled)
    #expect(!deaf.isCancelled)
    gate.open()
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a Swift task cancelled beforehand does not wait at all (C4).
  ///
  /// **Why it matters:** the request may come before the wait has its thread.
  /// **Catches:** a request for cancellation forgotten before the thread exists.
  @Test func aTaskCancelledBeforehandDoesNotWait() async throws {
    let token = try ShutdownToken()
    for _ in 0..<30 {
      let waiting = Task { () -> TaskRegistryError? in
        while !Task.isCancelled { await Task.yield() }
        do {
          try await token.waitAsync()
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
    try task.wait(timeout: ample)
    for _ in 0..<20 {
      let ending = try await task.waitAsync(timeout: .zero).ending
      #expect(ending == .returned)
    }
    let report = try await registry.joinAllAsync(timeout: .zero)
    #expect(report.pending == 0)
    try await registry.shutdownAsync(grace: ample)
  }
}
