import Testing

@testable import TrackedTasks

/// Tasks that start again after their body has ended.
@Suite struct TaskRestartTests {
  private struct Broken: Error {}

  /// What the runs of a task have in common.
  private final class Runs: Sendable {
    let begun = Counter()
    let released: Gate
    init(_ released: Gate) { self.released = released }
    deinit { released.open() }
  }

  /// **Proves:** a body that throws runs again until it returns, as the same task, and the closure is
  /// released once, after the last run; events and metrics say so (B1, B3, B4).
  ///
  /// **Why it matters:** a closure that is taken by the first run would be gone for the second.
  /// **Catches:** options that do not reach the core.
  @Test func aBodyThatThrowsRunsAgain() throws {
    var registryOptions = RegistryOptions.underTest
    registryOptions.keepsMetrics = true
    let released = Gate()
    let heard = Locked<[RegistryEvent]>([])
    registryOptions.log = { event in heard.withLock { $0.append(event) } }
    let registry = try TaskRegistry(registryOptions)
    var options = SpawnOptions()
    options.restart = TaskRestart(.onFailure)
    options.restart?.shortestDelay = .milliseconds(1)
    let task = try registry.spawn(
      "again", kind: .maintenance, options: options, Self.failingTwice(released))
    #expect(try task.wait().ending == .returned)
    #expect(released.wait())
    #expect(try registry.metrics(of: .maintenance).restarts == 2)
    let events = heard.withLock { $0 }
    #expect(events.map(\.event) == [.taskRestarting, .taskRestarting])
    #expect(events.allSatisfy { $0.taskID == task.id && $0.level == .warning })
    try registry.shutdown(grace: ample)
  }

  /// A body that fails twice; `released` opens once it is released.
  private static func failingTwice(
    _ released: Gate
  ) -> @Sendable (TaskContext) throws -> Void {
    let runs = Runs(released)
    return { _ in
      if runs.begun.add() < 3 { throw Broken() }
      #expect(!runs.released.isOpen)
    }
  }

  /// **Proves:** while it waits a task says so in a snapshot and in a report, and a stop ends it at
  /// once with the outcome of its last run (B2, B3).
  ///
  /// **Why it matters:** Swift's types are made by hand, beside those of C.
  /// **Catches:** a state that has no case; a field that is not filled.
  @Test func whileItWaitsItSaysSo() throws {
    let registry = try TaskRegistry(.underTest)
    var options = SpawnOptions()
    options.restart = TaskRestart(.always)
    options.restart?.shortestDelay = .seconds(3600)
    options.restart?.longestDelay = .seconds(3600)
    let task = try registry.spawn("again", kind: .maintenance, options: options) { _ -> Void in
      throw Broken()
    }
    #expect(eventually { registry.snapshot().first?.state == .waiting })
    let summary = try #require(registry.snapshot().first)
    #expect(summary.threadID == 0)
    #expect(summary.runs?.begun == 1 && summary.runs?.last == .failed(code: 1))
    let startsIn = try #require(summary.runs?.startsIn)
    #expect(startsIn > .seconds(1800) && startsIn <= .seconds(3601))
    let straggler = try #require(try registry.explain().stragglers.first)
    #expect(straggler.diagnosis == .waiting && straggler.state == .waiting)
    #expect(straggler.runs?.begun == 1)
    task.cancel()
    #expect(try task.wait().ending != .returned)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** numbers that make no sense are rejected, with nothing spawned (P4, B1).
  @Test func numbersThatMakeNoSenseAreRejected() throws {
    let registry = try TaskRegistry(.underTest)
    let wrong: [(inout TaskRestart) -> Void] = [
      { $0.shortestDelay = .seconds(-1) }, { $0.longestDelay = .zero }, { $0.factorPercent = 99 },
      { $0.factorPercent = -1 }, { $0.jitterPercent = 101 }, { $0.jitterPercent = -1 },
      { $0.healthyRun = .seconds(-1) }, { $0.mostRestarts = 0 }, { $0.mostRestarts = 65 },
      { $0.window = .seconds(-1) },
    ]
    for change in wrong {
      var restart = TaskRestart(.always)
      change(&restart)
      var options = SpawnOptions()
      options.restart = restart
      let error = errorOf { () throws(TaskRegistryError) in
        try registry.spawn("wrong", kind: .maintenance, options: options) { _ in }
      }
      #expect(error == .invalidArgument)
    }
    #expect(registry.isEmpty)
    try registry.shutdown(grace: ample)
  }

  private struct MemberFailed: Error, CustomStringConvertible { let description: String }

  /// Runs a group once: the first of its two members fails in the first run.
  private static func runGroup(
    in registry: TaskRegistry, as task: TaskContext, _ runs: Counter, _ members: Counter
  ) throws {
    let group = try registry.group(named: "engine")
    defer {
      try? task.beginDrain()
      _ = try? group.shutdown(grace: ample)
      if !group.isEmpty { task.cancel() }
    }
    let (run, options) = (runs.add(), SpawnOptions(essential: .failure))
    do throws(TaskRegistryError) {
      for number in 0..<2 {
        try group.spawn("member", kind: .maintenance, options: options) { member in
          members.add()
          if run == 1 && number == 0 { throw Broken() }
          try member.sleep(for: .seconds(3600))
        }
      }
    } catch .closed {}
    try group.token.wait()
    while registry.token.isCancelled { try task.sleep(for: .seconds(3600)) }
    throw MemberFailed(description: group.token.message)
  }

  /// **Proves:** a task that runs a group starts again as a whole when a member throws, after all of the members have
  /// ended; asked to stop it ends as one that returned, with its members (B7, B2).
  ///
  /// **Why it matters:** it is the form that `docs/swift.md` shows.
  /// **Catches:** a request to stop that is taken for a failure.
  @Test func aGroupStartsAgainAsAWhole() throws {
    let registry = try TaskRegistry(.underTest)
    let (runs, members) = (Counter(), Counter())
    let options = SpawnOptions(
      essential: .failure, restart: TaskRestart(.onFailure, shortestDelay: .milliseconds(1)))
    let task = try registry.spawn("engine", kind: .backgroundLoop, options: options) {
      try Self.runGroup(in: registry, as: $0, runs, members)
    }
    // The first run has one member, or two if the other was spawned before that failed.
    #expect(eventually { runs.value == 2 && registry.count == 3 && members.value >= 3 })
    #expect(!registry.token.isCancelled)
    #expect(members.value <= 4)
    try registry.shutdown(grace: ample)
    #expect(try task.wait().ending == .returned)
    #expect(runs.value == 2)
  }
}
