import Testing

@testable import TrackedTasks

/// Periodic tasks.
@Suite struct TaskScheduleTests {
  private struct Broken: Error {}

  /// **Proves:** a task with a schedule runs again and again as one task, until it is asked to stop;
  /// trigger, pause, resume and another period reach it (B5, B6).
  ///
  /// **Why it matters:** the schedule of Swift is made by hand, beside that of C.
  /// **Catches:** options that do not reach the core; a pause that is a resume.
  @Test func aPeriodicTaskRunsAgainAndAgain() throws {
    let registry = try TaskRegistry(.underTest)
    let runs = Counter()
    var options = SpawnOptions()
    options.schedule = TaskSchedule(every: .milliseconds(5))
    options.schedule?.firstDelay = .milliseconds(1)
    let task = try registry.spawn("beat", kind: .maintenance, options: options) { _ in
      runs.add()
      if runs.value == 2 { throw Broken() }
    }
    #expect(eventually { runs.value >= 4 })
    try task.pause()
    #expect(eventually { registry.snapshot().first?.runs?.isPaused == true })
    let before = runs.value
    try task.trigger()
    #expect(eventually { runs.value == before + 1 })
    try task.setPeriod(.milliseconds(1))
    try task.resume()
    #expect(eventually { runs.value > before + 4 })
    #expect(registry.count == 1)
    task.cancel()
    #expect(try task.wait().ending == .returned)
    #expect(errorOf { () throws(TaskRegistryError) in try task.trigger() } == .closed)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** before its first run a task waits and says so, and one with a schedule that ends on
  /// failure ends so (B2, B3, B5).
  @Test func itWaitsForItsFirstRunAndEndsOnFailureIfAsked() throws {
    let registry = try TaskRegistry(.underTest)
    var options = SpawnOptions()
    options.schedule = TaskSchedule(every: .seconds(3600))
    options.schedule?.firstDelay = .seconds(1800)
    options.schedule?.endsOnFailure = true
    let task = try registry.spawn("beat", kind: .maintenance, options: options) { _ -> Void in
      throw Broken()
    }
    let runs = try #require(registry.snapshot().first?.runs)
    #expect(runs.begun == 0 && runs.last == nil && !runs.isPaused)
    #expect(try #require(runs.startsIn) > .seconds(900))
    try task.trigger()
    #expect(try task.wait().ending != .returned)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a schedule that makes no sense, or one beside a restart, is rejected; a task that is
  /// not periodic has no schedule to change (P4, B5, B6).
  @Test func whatMakesNoSenseIsRejected() throws {
    let registry = try TaskRegistry(.underTest)
    let wrong: [(inout SpawnOptions) -> Void] = [
      { $0.schedule?.period = .zero }, { $0.schedule?.firstDelay = .seconds(-1) },
      { $0.schedule?.jitterPercent = 101 }, { $0.schedule?.jitterPercent = -1 },
      { $0.restart = TaskRestart(.always) },
    ]
    for change in wrong {
      var options = SpawnOptions()
      options.schedule = TaskSchedule(every: .seconds(1))
      change(&options)
      let error = errorOf { () throws(TaskRegistryError) in
        try registry.spawn("wrong", kind: .maintenance, options: options) { _ in }
      }
      #expect(error == .invalidArgument)
    }
    #expect(registry.isEmpty)
    let task = try registry.spawnSleeper()
    #expect(errorOf { () throws(TaskRegistryError) in try task.trigger() } == .invalidArgument)
    #expect(errorOf { () throws(TaskRegistryError) in try task.pause() } == .invalidArgument)
    #expect(errorOf { () throws(TaskRegistryError) in try task.resume() } == .invalidArgument)
    #expect(
      errorOf { () throws(TaskRegistryError) in try task.setPeriod(.seconds(1)) }
        == .invalidArgument)
    try registry.shutdown(grace: ample)
  }
}
