import Testing

@testable import TrackedTasks

/// The initializers of the options: one argument for each property, with a default.
@Suite struct OptionInitializersTests {
  /// **Proves:** each argument of an initializer is the property of its name, and the defaults are those
  /// that the guide names (E4, P4).
  ///
  /// **Why it matters:** `SpawnOptions(phase: 1)` is what people write; a wrong default is a wrong
  /// program.
  /// **Catches:** two properties that are exchanged, or one that is forgotten.
  @Test func argumentsArePropertiesOfShutdowns() {
    var shutdown = ShutdownOptions()
    #expect(shutdown == ShutdownOptions(progressWindow: .seconds(1), warnPercent: 80))
    #expect(shutdown.maxGrace == nil && shutdown.phaseShares.isEmpty)
    shutdown.maxGrace = .seconds(9)
    shutdown.progressWindow = .seconds(2)
    shutdown.warnPercent = nil
    shutdown.phaseShares = [0: 3]
    shutdown.phaseMaxGrace = [1: .seconds(4)]
    #expect(
      shutdown
        == ShutdownOptions(
          maxGrace: .seconds(9), progressWindow: .seconds(2), warnPercent: nil,
          phaseShares: [0: 3], phaseMaxGrace: [1: .seconds(4)]))
    var service = ServiceOptions()
    #expect(service.grace == .seconds(5) && service.reportDescriptor == 2)
    #expect(service.debounce == .milliseconds(100) && service.notifiesSystemd)
    service.signals = [1]
    service.hangUpReloads = true
    service.grace = nil
    service.shutdown = shutdown
    service.notifiesSystemd = false
    service.exitAfter = .seconds(8)
    service.reportFile = "report"
    #expect(
      service
        == ServiceOptions(
          signals: [1], hangUpReloads: true, grace: nil, shutdown: shutdown,
          notifiesSystemd: false, exitAfter: .seconds(8), reportFile: "report"))
  }

  /// **Proves:** the same of what says how tasks run again, how they are scheduled, and what is done
  /// about a stall (E4, P4).
  ///
  /// **Why it matters:** as above.
  /// **Catches:** as above.
  @Test func argumentsArePropertiesOfTasks() {
    var restart = TaskRestart(.always)
    #expect(restart.shortestDelay == .milliseconds(100) && restart.longestDelay == .seconds(30))
    restart.shortestDelay = .seconds(1)
    restart.longestDelay = .seconds(2)
    restart.factorPercent = 300
    restart.jitterPercent = 4
    restart.healthyRun = .seconds(5)
    restart.mostRestarts = 6
    restart.window = .seconds(7)
    #expect(
      restart
        == TaskRestart(
          .always, shortestDelay: .seconds(1), longestDelay: .seconds(2), factorPercent: 300,
          jitterPercent: 4, healthyRun: .seconds(5), mostRestarts: 6, window: .seconds(7)))
    var schedule = TaskSchedule(every: .seconds(1))
    schedule.firstDelay = .seconds(2)
    schedule.jitterPercent = 3
    schedule.countsFromEnd = true
    schedule.missed = .burst
    schedule.endsOnFailure = true
    #expect(
      schedule
        == TaskSchedule(
          every: .seconds(1), firstDelay: .seconds(2), jitterPercent: 3, countsFromEnd: true,
          missed: .burst, endsOnFailure: true))
    var ladder = HeartbeatLadder()
    ladder.explainAfter = .seconds(1)
    ladder.lastAfter = .seconds(2)
    ladder.last = .abortTask
    ladder.descriptor = 3
    #expect(
      ladder
        == HeartbeatLadder(
          explainAfter: .seconds(1), lastAfter: .seconds(2), last: .abortTask, descriptor: 3))
    var scheduling = TaskScheduling()
    scheduling.policy = .batch
    scheduling.niceAdded = 1
    scheduling.cpus = [2]
    #expect(scheduling == TaskScheduling(policy: .batch, niceAdded: 1, cpus: [2]))
    let spawn = SpawnOptions(isUnjoined: true, phase: 3, heartbeat: .seconds(4), threadName: "t")
    #expect(spawn.isUnjoined && !spawn.isCleanup && !spawn.wantsFreshThread)
    #expect(spawn.phase == 3 && spawn.heartbeat == .seconds(4) && spawn.threadName == "t")
    #expect(spawn.essential == .no && spawn.whenFull == .fail)
    let registry = RegistryOptions(name: "n", maxTasks: 5, abortGrace: .seconds(6))
    #expect(registry.name == "n" && registry.maxTasks == 5 && registry.abortGrace == .seconds(6))
    #expect(registry.stackSize == 1 << 20 && registry.idleThreads == 16)
    #expect(registry.reportsDescriptors && !registry.keepsMetrics && !registry.reportsThreads)
  }
}
