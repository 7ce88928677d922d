import Foundation
import Testing

@testable import TrackedTasks

/// Whether code ran on a thread of a registry, and inside a task: noted at the end of its life.
private final class Witness: Sendable {
  struct Sight: Equatable {
    var isWorker: Bool
    var hasTask: Bool
  }

  private let sights: Locked<[Sight]>

  init(_ sights: Locked<[Sight]>) { self.sights = sights }

  deinit {
    let sight = Sight(isWorker: Worker.current != nil, hasTask: TrackedTask.current != nil)
    sights.withLock { $0.append(sight) }
  }

  func look() {}
}

/// Registries inside registries, as a Swift program makes them.
@Suite struct GroupTests {
  /// **Proves:** tasks of a group are the parent's too, counted and listed there with their path,
  /// and the summary survives encoding (T1, T2, T3).
  ///
  /// **Why it matters:** an overview must not need knowledge of the parts.
  /// **Catches:** the path of the registry that lists instead of the task's.
  @Test func tasksOfAGroupAreTheParentsToo() throws {
    let registry = try TaskRegistry()
    let net = try registry.group(named: "net")
    let peers = try net.group(named: "peers")
    let gate = Gate()
    try registry.spawnDeaf("top", until: gate)
    try peers.spawnDeaf("peer", until: gate)
    #expect(registry.count == 2 && net.count == 1 && peers.count == 1)
    let listed = registry.snapshot()
    #expect(Set(listed.map { $0.group + ":" + $0.name }) == [":top", "net/peers:peer"])
    #expect(net.snapshot().map(\.group) == ["net/peers"])
    let data = try JSONEncoder().encode(listed)
    #expect(try JSONDecoder().decode([TaskSummary].self, from: data) == listed)
    gate.open()
    try registry.shutdown(grace: ample)
    #expect(peers.isEmpty)
  }

  /// **Proves:** a group is shut down alone; its parent continues, and can have another group of
  /// that name; the parent's shutdown stops what is in its groups (T1, T2).
  ///
  /// **Why it matters:** one part is restarted while the others serve.
  /// **Catches:** a group that is linked to its parent's token.
  @Test func aGroupIsShutDownAlone() throws {
    let registry = try TaskRegistry()
    let net = try registry.group(named: "net")
    let inside = try net.spawnSleeper()
    let outside = try registry.spawnSleeper()
    let report = try net.shutdown(reason: .reloadRequested, message: "again", grace: ample)
    #expect(report.ended == 1 && inside.isCancelled)
    #expect(!outside.isCancelled && !registry.token.isCancelled)
    #expect(throws: TaskRegistryError.closed) {
      try net.spawn("late", kind: .maintenance) { _ in }
    }
    let again = try registry.group(named: "net")
    let late = try again.spawnSleeper()
    #expect(!late.isCancelled)
    try registry.shutdown(reason: .userRequested, grace: ample)
    #expect(late.isCancelled && again.token.reason == .userRequested)
    #expect(net.token.reason == .reloadRequested)
  }

  /// **Proves:** from inside a task, joining or shutting down its group or what that is in would
  /// deadlock; joining a group beside it does not (T5).
  ///
  /// **Why it matters:** it would wait for itself.
  /// **Catches:** a check of the task's own group alone.
  @Test func joiningFromInsideWouldDeadlock() throws {
    let registry = try TaskRegistry()
    let net = try registry.group(named: "net")
    let beside = try registry.group(named: "beside")
    let errors = Locked<[TaskRegistryError?]>([])
    try net.spawn("joins", kind: .maintenance) { _ in
      for place in [net, registry, beside] {
        let error = errorOf { () throws(TaskRegistryError) in try place.joinAll(timeout: ample) }
        errors.withLock { $0.append(error) }
      }
      let error = errorOf { () throws(TaskRegistryError) in try registry.shutdown(grace: ample) }
      errors.withLock { $0.append(error) }
    }
    try registry.joinAll(timeout: ample)
    #expect(errors.value == [.wouldDeadlock, .wouldDeadlock, nil, .wouldDeadlock])
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a report lists the stragglers of groups with their path, in words as well (T3,
  /// J8).
  ///
  /// **Why it matters:** "reader" alone does not identify the task.
  /// **Catches:** a description of names without groups.
  @Test func stragglersAreNamedWithTheirGroups() throws {
    let registry = try TaskRegistry()
    let peers = try registry.group(named: "net").group(named: "peers")
    let gate = Gate()
    let task = try peers.spawnDeaf("reader", until: gate)
    let report = try #require(
      reportOfMissedDeadline { () throws(TaskRegistryError) in
        try registry.joinAll(timeout: .zero)
      })
    #expect(report.stragglers.map(\.group) == ["net/peers"])
    #expect(report.stragglers.map(\.id) == [task.id])
    #expect(report.description.contains("stragglers: net/peers/reader ("))
    gate.open()
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** wrong names and options are rejected, and what a log closure captured is released
  /// (P4, T1).
  ///
  /// **Why it matters:** an error has to leave nothing behind.
  /// **Catches:** the name cut at a NUL; a token that is silently ignored.
  @Test func wrongNamesAndOptionsAreRejected() throws {
    let registry = try TaskRegistry()
    for name in ["", "/", "a/b", "a\0b", "\0"] {
      #expect(throws: TaskRegistryError.invalidArgument) { try registry.group(named: name) }
    }
    let ends = Counter()
    var options = RegistryOptions()
    options.log = { [canary = Canary(ends)] _ in canary.sing() }
    options.token = try ShutdownToken()
    #expect(throws: TaskRegistryError.invalidArgument) { try registry.group(named: "g", options) }
    options.token = nil
    options.abortGrace = .seconds(-1)
    #expect(throws: TaskRegistryError.invalidArgument) { try registry.group(named: "g", options) }
    options.log = nil
    #expect(ends.value == 1)
    #expect(registry.isEmpty)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a group logs to its parent's closure, or to its own, which is let go of with the
  /// group; the parent's is not (T1, O2).
  ///
  /// **Why it matters:** a closure that is freed twice, or early, is a crash far from here.
  /// **Catches:** an inherited closure that the group frees.
  @Test func logsAreInheritedAndFreedOnce() throws {
    let ends = Counter()
    let heard = Counter()
    let heardInside = Counter()
    func failOnce(in group: TaskRegistry) throws {
      _ = try group.spawn("fails", kind: .rpcHandler) { _ in throw TaskRegistryError.limitReached }
        .wait(timeout: ample)
    }
    do {
      var options = RegistryOptions.underTest
      options.log = { [canary = Canary(ends)] _ in
        canary.sing()
        heard.add()
      }
      let registry = try TaskRegistry(options)
      options.log = nil
      for round in 1...3 { try failOnce(in: registry.group(named: "round \(round)")) }
      try registry.joinAll(timeout: ample)
      #expect(heard.value == 3 && ends.value == 0)
      let endsInside = Counter()
      do {
        var own = RegistryOptions()
        own.log = { [canary = Canary(endsInside)] _ in
          canary.sing()
          heardInside.add()
        }
        try failOnce(in: registry.group(named: "own", own))
      }
      #expect(eventually { endsInside.value == 1 })
      #expect(heard.value == 3 && heardInside.value == 1 && ends.value == 0)
      try registry.shutdown(grace: ample)
    }
    #expect(eventuallyFreed { ends.value == 1 })
  }

  /// **Proves:** what is freed with a group by the end of its last task is freed outside that task,
  /// by the task's thread (T6).
  ///
  /// **Why it matters:** code that runs then would find itself in a task whose memory is gone.
  /// **Catches:** a thread that keeps its task until everything is freed.
  @Test func whatAGroupHeldIsFreedOutsideItsLastTask() throws {
    let sights = Locked<[Witness.Sight]>([])
    let registry = try TaskRegistry()
    for round in 1...20 {
      let gate = Gate()
      do {
        var options = RegistryOptions()
        options.log = { [witness = Witness(sights)] _ in witness.look() }
        let group = try registry.group(named: "short-lived", options)
        options.log = nil
        try group.spawnDeaf(until: gate)
      }
      #expect(sights.value.count == round - 1)
      gate.open()
      #expect(eventually { sights.value.count == round })
    }
    #expect(sights.value.allSatisfy { $0 == Witness.Sight(isWorker: true, hasTask: false) })
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a group keeps its ancestors alive, and works without other references to them
  /// (T6).
  ///
  /// **Why it matters:** the code that created the parent may pass only the group on.
  /// **Catches:** a group that does not hold its parent.
  @Test func aGroupKeepsThoseAboveItAlive() throws {
    let peers = try TaskRegistry().group(named: "net").group(named: "peers")
    let task = try peers.spawnSleeper("peer")
    #expect(peers.snapshot().map(\.group) == ["net/peers"])
    #expect(peers.count == 1 && !task.isCancelled)
    let report = try peers.shutdown(grace: ample)
    #expect(report.ended == 1)
  }
}
