import Glibc
import Synchronization
import Testing
import TrackedTasks

/// Every function of tasks, contexts and tokens, called as a consumer calls it.
///
/// What they do is proven by the tests of the library; here it is that they can be called from outside, and that no
/// sanitizer has anything to say of it.
@Suite(.serialized) struct TaskTests {
  @Test func aBodyDoesWhatItCan() async throws {
    let registry = try TaskRegistry(RegistryOptions(name: "consumer", keepsMetrics: true))
    try TaskKind.setName("import", of: .application(3))
    let options = SpawnOptions(phase: 2, heartbeat: .seconds(60), threadName: "body")
    let task = try registry.spawn("body", kind: .application(3), options: options) { task in
      task.label("label")
      task.checkpoint("checkpoint")
      task.progress(1, of: 2, unit: "steps")
      task.heartbeat()
      try task.promiseHeartbeats(every: .seconds(60))
      try task.pauseHeartbeats()
      try task.resumeHeartbeats()
      task.acknowledgeCancel()
      unsafe task.setData(nil)
      try task.checkCancellation()
      try task.sleep(for: .milliseconds(1))
      let own = try task.token()
      let calls = Atomic(0)
      try withExtendedLifetime(own) {
        try task.withCancellationHandler {
          task.withShield { task.cancel() }
        } onCancel: {
        }
        _ = calls.wrappingAdd(1, ordering: .relaxed)
      }
      try? task.beginDrain()
      let isOwn = unsafe task.data == nil
      return task.isCancelled && own.isCancelled && TaskContext.current != nil && isOwn
    }
    #expect(try await task.value)
    #expect(try await task.waitForValue(timeout: .seconds(60)))
    #expect(try await task.wait(timeout: .seconds(60)).wasCancelled)
    #expect(Set([task as TrackedTask, task as TrackedTask]).count == 1)
    #expect(try registry.recentTasks().count == 1)
    #expect(try registry.metrics(of: .application()).ended == 1)
    #expect(try registry.metricsText().hasSuffix("# EOF\n"))
    try await registry.shutdown(grace: .seconds(60))
  }

  @Test func waitsEndAndCallbacksRun() async throws {
    let registry = try TaskRegistry()
    let count = Mutex(0)
    let ended = Box()
    let task = try registry.spawn("waits", kind: .rpcHandler) { task in
      var ends: [Int32] = [0, 0]
      guard unsafe pipe(&ends) == 0 else { return }
      defer { for end in ends { close(end) } }
      try task.wait(forDescriptor: ends[0], events: Int16(POLLIN))
    }
    try task.onCancel { ended.add() }
    try task.onAbort { ended.add() }
    try task.onEnd { ended.add() }
    _ = try task.fileDescriptor()
    _ = try task.abortFileDescriptor()
    task.abort()
    try await task.wait(timeout: .seconds(60))
    try await registry.wait(timeout: .seconds(60))
    try await registry.joinAll(timeout: .seconds(60), explained: true)
    try await registry.shutdown(grace: .seconds(60))
    #expect(ended.value == 3)
    #expect(count.withLock { $0 } == 0)
  }

  @Test func tasksRunAgain() async throws {
    let registry = try TaskRegistry(RegistryOptions(maxTasks: 8))
    let runs = Box()
    let schedule = TaskSchedule(every: .seconds(1000), firstDelay: .seconds(1000))
    let task = try registry.spawn(
      "periodic", kind: .maintenance, options: SpawnOptions(schedule: schedule)
    ) { _ in runs.add() }
    try task.pause()
    try task.resume()
    try task.setPeriod(.seconds(500))
    try task.trigger()
    while runs.value == 0 { await Task.yield() }
    let again = SpawnOptions(restart: TaskRestart(.onFailure, shortestDelay: .milliseconds(1)))
    let failing = try registry.spawn("fails once", kind: .maintenance, options: again) { _ in
      if runs.add() == 2 { throw CancellationError() }
      return runs.value
    }
    #expect(try await failing.value == 3)
    task.cancel()
    try registry.setMaxTasks(4)
    try await registry.shutdown(grace: .seconds(60))
  }

  @Test func tokensAreCancelled() async throws {
    let token = try ShutdownToken()
    let (child, late) = (try token.child(), try token.child(timeout: .seconds(600)))
    let timed = try ShutdownToken(timeout: .milliseconds(1))
    try await timed.wait(timeout: .seconds(60))
    let calls = Box()
    let kept = try token.onCancel { calls.add() }
    #expect(kept.remove() == .neverRuns)
    try token.onAbort { calls.add() }
    _ = try token.fileDescriptor()
    _ = try token.abortFileDescriptor()
    let waiting = Task { try await ShutdownToken.waitForAny([child, late], timeout: .seconds(60)) }
    try await token.withCancellationHandler {
      await Task.yield()
      token.cancel(reason: .userRequested, message: "enough")
    } onCancel: {
      calls.add()
    }
    // Both are below the token.
    #expect([0, 1].contains(try await waiting.value))
    token.abort(reason: .fatal)
    #expect(token.stopLevel == .abort && calls.value == 2)
    #expect(token.reason == .userRequested && token.message == "enough")
    for _ in 0..<200 { try ShutdownToken().onCancel { calls.add() } }
    #expect(calls.value == 2)
  }

  @Test func manyWaitAtOnce() async throws {
    let registry = try TaskRegistry()
    let sum = try await withThrowingTaskGroup(of: Int.self) { group in
      for number in 0..<300 {
        group.addTask {
          try await registry.spawn("n", kind: .rpcHandler) { task in
            try task.sleep(for: .microseconds(100))
            return number
          }.value
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(sum == 300 * 299 / 2)
    try await registry.shutdown(grace: .seconds(60))
    try await TaskRegistry.quiesce(timeout: .seconds(60))
  }
}

/// A number that threads count up.
final class Box: Sendable {
  private let number = Atomic(0)

  var value: Int { number.load(ordering: .sequentiallyConsistent) }

  @discardableResult
  func add() -> Int { number.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue }
}
