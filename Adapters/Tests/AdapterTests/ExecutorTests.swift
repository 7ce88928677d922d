import Synchronization
import Testing
import TrackedTasks
import TrackedTasksExecutor

/// `async` code on threads of a registry.
@Suite(.timeLimit(.minutes(1))) struct ExecutorTests {
  /// **Proves:** `async` code with the preference runs in tasks of the registry, also after a
  /// suspension, and at most `width` of them at a time.
  ///
  /// **Why it matters:** blocking calls must not take the threads of the cooperative pool.
  /// **Catches:** code that goes on elsewhere after an await; a task for each job.
  @Test func codeStaysOnThreadsOfTheRegistry() async throws {
    let registry = try TaskRegistry()
    let executor = RegistryTaskExecutor(registry, name: "blocking", width: 3)
    let most = Most()
    let names = await withTaskGroup(of: [String?].self) { group in
      for _ in 0..<60 {
        group.addTask(executorPreference: executor) {
          let first = TrackedTask.current?.name
          most.note(registry.count)
          await Task.yield()
          return [first, TrackedTask.current?.name]
        }
      }
      return await group.reduce(into: []) { $0 += $1 }
    }
    #expect(names.count == 120)
    #expect(names.allSatisfy { $0 == "blocking" })
    #expect(most.value <= 3 && most.value > 0)
    try await registry.shutdown(grace: .seconds(60))
  }

  /// **Proves:** no job is lost when the registry is shut down meanwhile: what comes later runs on the
  /// global executor.
  ///
  /// **Why it matters:** a job that is dropped is a Swift task that hangs forever.
  /// **Catches:** a rejected spawn whose jobs stay in the queue.
  @Test func noJobIsLostByAShutdown() async throws {
    for _ in 0..<20 {
      let registry = try TaskRegistry()
      let executor = RegistryTaskExecutor(registry, width: 2)
      let sum = await withTaskGroup(of: Int.self) { group in
        for number in 0..<200 {
          group.addTask(executorPreference: executor) {
            if number == 50 { registry.token.cancel(reason: .userRequested) }
            await Task.yield()
            return 1
          }
        }
        return await group.reduce(0, +)
      }
      #expect(sum == 200)
      try await registry.shutdown(grace: .seconds(60))
    }
  }

  /// **Proves:** a shutdown of the registry does not wait for `async` code that never ends: it goes on
  /// on the global executor.
  ///
  /// **Why it matters:** such code is stopped by its own service, which a group stops later.
  /// **Catches:** a task that runs what is due until nothing is.
  @Test func aShutdownDoesNotWaitForCodeWithoutAnEnd() async throws {
    let registry = try TaskRegistry()
    let executor = RegistryTaskExecutor(registry, width: 2)
    let outside = Most()
    let endless = Task(executorPreference: executor) {
      while !Task.isCancelled {
        if TrackedTask.current == nil { outside.note(1) }
        await Task.yield()
      }
    }
    while registry.count == 0 { await Task.yield() }
    #expect(outside.value == 0)
    try await registry.shutdown(grace: .seconds(60))
    while outside.value == 0 { await Task.yield() }
    endless.cancel()
    await endless.value
  }

  /// **Proves:** jobs that a limit of the registry keeps out run all the same.
  ///
  /// **Why it matters:** as above; a full registry is not the end of the program.
  /// **Catches:** a task that is counted as running though its spawn was rejected.
  @Test func aFullRegistryLosesNoJob() async throws {
    let registry = try TaskRegistry(RegistryOptions(maxTasks: 1))
    let sleeper = try registry.spawn("s", kind: .backgroundLoop) {
      try $0.sleep(for: .seconds(1000))
    }
    let executor = RegistryTaskExecutor(registry, width: 2)
    let outside = await Task(executorPreference: executor) { TrackedTask.current == nil }.value
    #expect(outside)
    sleeper.cancel()
    try await sleeper.wait()
    let inside = await Task(executorPreference: executor) { TrackedTask.current != nil }.value
    #expect(inside)
    try await registry.shutdown(grace: .seconds(60))
  }
}

/// The largest of some numbers.
private final class Most: Sendable {
  private let most = Mutex(0)

  var value: Int { most.withLock { $0 } }

  func note(_ number: Int) { most.withLock { $0 = max($0, number) } }
}
