import Glibc
import Testing

@testable import TrackedTasks

/// How a shutdown goes, as Swift says it.
@Suite struct ShutdownOptionsTests {
  private static func request(_ options: ShutdownOptions) -> ShutdownRequest? {
    var request = ShutdownRequest(reason: 0, grace: 0)
    return options.apply(to: &request) ? request : nil
  }

  /// **Proves:** the defaults are the core's, and each option arrives in its place (E4, E5, E6).
  ///
  /// **Why it matters:** a program in Swift and one in C that say nothing shut down alike.
  /// **Catches:** a default said twice, differently; a share at the place of another phase.
  @Test func optionsArriveInTheCore() throws {
    let core = ShutdownRequest(reason: 0, grace: 0)
    let plain = try #require(Self.request(ShutdownOptions()))
    #expect(plain.maxGrace == core.maxGrace && plain.warnPercent == core.warnPercent)
    #expect(plain.progressWindow == core.progressWindow)
    #expect((0..<8).allSatisfy { plain.plan.shares[$0] == 0 })
    var options = ShutdownOptions()
    options.maxGrace = .seconds(3)
    options.progressWindow = .milliseconds(2)
    options.warnPercent = nil
    options.phaseShares = [1: 5, 7: 1_000_000, 0: 0]
    options.phaseMaxGrace = [2: .seconds(1), 6: .nanoseconds(7)]
    let request = try #require(Self.request(options))
    #expect(request.maxGrace == 3_000_000_000 && request.progressWindow == 2_000_000)
    #expect(request.warnPercent == 0)
    #expect((0..<8).map { request.plan.shares[$0] } == [0, 5, 0, 0, 0, 0, 0, 1_000_000])
    #expect(
      (0..<8).map { request.plan.mostTime(of: $0) } == [0, 0, 1_000_000_000, 0, 0, 0, 7, 0])
  }

  /// **Proves:** invalid options are rejected, and nothing is changed (E4, E5, E6).
  ///
  /// **Why it matters:** a shutdown with a share of the ninth phase would be one without it.
  /// **Catches:** a check left out; the registry closed before the options are checked.
  @Test func nonsenseIsRejected() throws {
    let registry = try TaskRegistry()
    let changes: [(inout ShutdownOptions) -> Void] = [
      { $0.maxGrace = .nanoseconds(-1) }, { $0.progressWindow = .zero },
      { $0.progressWindow = .seconds(-1) }, { $0.warnPercent = 0 }, { $0.warnPercent = 100 },
      { $0.warnPercent = -1 }, { $0.phaseShares = [8: 1] }, { $0.phaseShares = [-1: 1] },
      { $0.phaseShares = [0: -1] }, { $0.phaseShares = [0: 1_000_001] },
      { $0.phaseMaxGrace = [8: .seconds(1)] }, { $0.phaseMaxGrace = [0: .nanoseconds(-1)] },
    ]
    for change in changes {
      var options = ShutdownOptions()
      change(&options)
      let rejected = options
      #expect(
        errorOf { () throws(TaskRegistryError) in
          try registry.shutdown(grace: .zero, options: rejected, explained: true)
        } == .invalidArgument)
    }
    try registry.spawn("accepted", kind: .rpcHandler) { _ in }
    for percent in [1, 99, nil] {
      var options = ShutdownOptions()
      options.warnPercent = percent
      #expect(try registry.shutdown(grace: ample, options: options).pending == 0)
    }
  }

  /// **Proves:** while a task reports progress the deadline is extended, which is an event, and is
  /// in the report (E4).
  ///
  /// **Why it matters:** a task that is writing its last block loses it otherwise.
  /// **Catches:** `maxGrace` not passed on; the extension reported as 0.
  @Test func progressPutsTheDeadlineOff() throws {
    let moved = Gate()
    let began = Gate()
    var options = RegistryOptions.underTest
    options.log = { if $0.event == .deadlineExtended { moved.open() } }
    let registry = try TaskRegistry(options)
    try registry.spawn("flushes", kind: .maintenance) { task in
      var block: UInt64 = 0
      task.progress(block)
      began.open()
      while !moved.isOpen {
        block += 1
        task.progress(block, unit: "blocks")
      }
    }
    began.wait()
    var shutdown = ShutdownOptions()
    shutdown.maxGrace = .seconds(120)
    shutdown.progressWindow = .seconds(30)
    let report = try registry.shutdown(grace: .milliseconds(20), options: shutdown)
    #expect(report.extended > .zero && report.extended <= .seconds(120))
    #expect(report.ended == 1 && report.pending == 0)
  }

  /// **Proves:** the warning comes before the deadline, once, and not at all if it is switched off
  /// (E6).
  ///
  /// **Why it matters:** it is the last moment at which an operator can inspect the program.
  /// **Catches:** `warnPercent` not passed on.
  @Test(arguments: [1, nil]) func theWarningIsWanted(percent: Int?) throws {
    let warnings = Counter()
    var options = RegistryOptions.underTest
    options.log = { if $0.event == .deadlineNear { warnings.add() } }
    let registry = try TaskRegistry(options)
    let gate = Gate()
    try registry.spawnDeaf(until: gate)
    var shutdown = ShutdownOptions()
    shutdown.warnPercent = percent
    let wanted = shutdown
    #expect(
      reportOfMissedDeadline { () throws(TaskRegistryError) in
        try registry.shutdown(grace: .milliseconds(30), options: wanted)
      }?.pending == 1)
    #expect(warnings.value == (percent == nil ? 0 : 1))
    gate.open()
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** the closure of a shutdown hears of each phase's beginning and end, in order, on the
  /// calling thread, and its time is in the report (E5).
  ///
  /// **Why it matters:** connections are closed after the workers.
  /// **Catches:** a closure that is not passed on; the two kinds of call exchanged.
  @Test func phasesAreReported() throws {
    let registry = try TaskRegistry()
    let started = Gate()
    var options = SpawnOptions()
    options.phase = 3
    try registry.spawn("later", kind: .maintenance, options: options) { task in
      started.open()
      try task.sleep(for: .seconds(3600))
    }
    started.wait()
    var events: [PhaseEvent] = []
    let caller = pthread_self()
    let report = try registry.shutdown(grace: ample, explained: true) { event in
      events.append(event)
      #expect(pthread_equal(pthread_self(), caller) != 0)
      if case .ended(phase: 3, remaining: _) = event { usleep(5_000) }
    }
    let all = (0..<8).flatMap { phase in
      [PhaseEvent.began(phase: phase, tasks: 0), .ended(phase: phase, remaining: 0)]
    }
    // When it was told of the beginning, the task may still have been alive.
    let heard = events.map { event in
      if case .began(let phase, _) = event { return PhaseEvent.began(phase: phase, tasks: 0) }
      return event
    }
    #expect(heard == all)
    #expect(report.callbacks >= .milliseconds(5))
    let phase = try #require(report.explanation?.phases.first { $0.phase == 3 })
    #expect(phase.asked == 1 && phase.callbacks >= .milliseconds(5))
  }

  /// **Proves:** the asynchronous forms pass on every argument of the synchronous ones (E1, E4).
  ///
  /// **Why it matters:** a service in `async` code shuts down by these.
  /// **Catches:** an argument left out of the forwarding.
  @Test func asyncFormsHandOptionsOn() async throws {
    let registry = try TaskRegistry()
    #expect(try await registry.joinAll(timeout: ample, explained: true).explanation != nil)
    #expect(try await registry.joinAll(timeout: ample).explanation == nil)
    var options = ShutdownOptions()
    options.warnPercent = 100
    await #expect(throws: TaskRegistryError.invalidArgument) {
      try await registry.shutdown(grace: ample, options: options)
    }
    let calls = Counter()
    let report = try await registry.shutdown(grace: ample, explained: true) { _ in
      calls.add()
    }
    #expect(calls.value == 16)
    #expect(report.explanation?.occasion == .shutdown)
  }
}
