import Testing

@testable import TrackedTasks

/// Heartbeats; the C suite proves the rest.
@Suite struct HeartbeatsTests {
  /// **Proves:** a task that misses its heartbeat is logged as stalled and listed, and logged as
  /// recovered at its next heartbeat (E7, O2).
  ///
  /// **Why it matters:** this is all that a Swift program needs to detect a hang.
  /// **Catches:** the interval lost on the way from the options.
  @Test func aStallAndItsEndAreLogged() throws {
    let events = Locked<[RegistryEvent]>([])
    let stalled = Gate()
    var options = RegistryOptions()
    options.log = { event in
      events.withLock { $0.append(event) }
      if event.event == .taskStalled { stalled.open() }
    }
    let registry = try TaskRegistry(options)
    let seen = Gate()
    var interval = SpawnOptions()
    interval.heartbeat = .milliseconds(20)
    let task = try registry.spawn("stalls", kind: .rpcHandler, options: interval) { task in
      seen.wait()
      task.heartbeat()
    }
    #expect(stalled.wait())
    #expect(!registry.isHealthy)
    #expect(registry.stalledTasks().map(\.id) == [task.id])
    #expect(registry.snapshot().map(\.isStalled) == [true])
    seen.open()
    try task.wait(timeout: ample)
    #expect(registry.isHealthy && registry.stalledTasks().isEmpty)
    // A heartbeat while the stall is being reported is reported by the timer thread, before the
    // end.
    let logged = events.value
    #expect(logged.prefix(2).map(\.event) == [.taskStalled, .taskRecovered])
    #expect(logged.prefix(2).map(\.level) == [.warning, .info])
    #expect(logged.allSatisfy { $0.taskID == task.id && $0.task == "stalls" })
    #expect(logged[0].message.hasSuffix(", heartbeat interval 20.0 ms"))
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a task can set an interval, pause and resume it; so can a thread that is not a
  /// task, until it removes the interval or the registry has been shut down (E7).
  ///
  /// **Why it matters:** this is what a long operation and the loop of main need.
  /// **Catches:** an interval in another unit; a pause that resumes.
  @Test func intervalsAreSetPausedAndEnded() throws {
    let registry = try TaskRegistry()
    let task = try registry.spawn("migrates", kind: .rpcHandler) { task in
      #expect(throws: TaskRegistryError.invalidArgument) { try task.pauseHeartbeats() }
      try task.promiseHeartbeats(every: .milliseconds(1), exceptWaits: true)
      #expect(eventually { !registry.isHealthy })
      try task.pauseHeartbeats()
      #expect(registry.isHealthy)
      try task.resumeHeartbeats()
      #expect(eventually { !registry.isHealthy })
      try task.promiseHeartbeats(every: .zero)
      #expect(registry.isHealthy)
    }
    #expect(try task.wait(timeout: ample).ending == .returned)
    #expect(throws: TaskRegistryError.invalidArgument) { try TaskRegistry.heartbeat() }
    try registry.promiseHeartbeats(every: .milliseconds(1))
    #expect(eventually { !registry.isHealthy })
    #expect(registry.stalledTasks().map(\.id) == [0])
    try TaskRegistry.pauseHeartbeats()
    #expect(registry.isHealthy)
    try TaskRegistry.resumeHeartbeats()
    try TaskRegistry.heartbeat()
    try registry.promiseHeartbeats(every: .zero)
    #expect(throws: TaskRegistryError.invalidArgument) { try TaskRegistry.heartbeat() }
    try registry.promiseHeartbeats(every: .seconds(3600))
    try registry.shutdown(grace: ample)
    #expect(throws: TaskRegistryError.closed) {
      try registry.promiseHeartbeats(every: .seconds(3600))
    }
  }

  /// **Proves:** a task without an interval may report heartbeats, and is healthy without them
  /// (E7).
  ///
  /// **Why it matters:** shared code reports heartbeats without knowing which task runs it.
  /// **Catches:** an error because no interval is set.
  @Test func withoutAnIntervalNothingIsMissed() throws {
    let registry = try TaskRegistry()
    let task = try registry.spawn("free", kind: .rpcHandler) { $0.heartbeat() }
    #expect(try task.wait(timeout: ample).ending == .returned)
    let gate = Gate()
    try registry.spawnDeaf(until: gate)
    #expect(registry.isHealthy && registry.stalledTasks().isEmpty)
    gate.open()
    try registry.shutdown(grace: ample)
  }
}
