import Testing

@testable import TrackedTasks

/// A join at its deadline.
@Suite struct JoinDeadlineTests {
  /// **Proves:** tasks that have ended are not stragglers, even with a timeout of 0 (J2).
  ///
  /// **Why it matters:** a report that blames the finished hides the one that hangs.
  /// **Catches:** the tasks counted without a check once time is up.
  @Test func finishedTasksAreNeverStragglers() throws {
    let registry = try TaskRegistry()
    for _ in 0..<50 {
      let tasks = try (0..<10).map { _ in try registry.spawn("done", kind: .rpcHandler) { _ in } }
      for task in tasks { try task.wait(timeout: ample) }
      let report = try registry.joinAll(timeout: .zero)
      #expect(report.pending == 0)
    }
    let gate = Gate()
    try registry.spawnDeaf("the one", until: gate)
    let report = reportOfMissedDeadline { () throws(TaskRegistryError) in
      try registry.joinAll(timeout: .zero)
    }
    #expect(report?.pending == 1)
    #expect(report?.stragglers.map(\.name) == ["the one"])
    gate.open()
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** stragglers are flagged, counted and named, and stay tracked (J4, J5).
  ///
  /// **Why it matters:** a thread that continues unseen uses what the program tears down.
  /// **Catches:** stragglers taken off the list; their flags left down.
  @Test func stragglersAreFlaggedCountedNamedAndTracked() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let deaf = try registry.spawnDeaf("deaf", kind: .peerConnection, until: gate)
    let started = Gate()
    try registry.spawn("ends in time", kind: .rpcHandler) { _ in started.open() }
    started.wait()
    let report = try #require(
      reportOfMissedDeadline { () throws(TaskRegistryError) in
        try registry.joinAll(timeout: .milliseconds(50))
      })
    #expect(deaf.isCancelled)
    #expect(report.pending == report.aborted + report.abandoned)
    #expect(report.abandoned == 1)
    let straggler = try #require(report.stragglers.first { $0.name == "deaf" })
    #expect(straggler.kind == .peerConnection)
    #expect(straggler.id == deaf.id)
    #expect(straggler.state == .abandoned)
    #expect(straggler.age > .zero)
    #expect(straggler.isCancelRequested)
    #expect(report.elapsed >= .milliseconds(50))

    let listed = registry.snapshot()
    #expect(listed.map(\.id) == [deaf.id])
    #expect(listed.first?.state == .abandoned)
    #expect(listed.first?.threadID ?? 0 != 0)
    #expect(registry.count == 1)

    gate.open()
    let later = try registry.joinAll(timeout: ample)
    #expect(later.pending == 0)
    #expect(registry.snapshot().isEmpty)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** tasks that end within the abort grace count as aborted, the rest as abandoned
  /// (J4).
  ///
  /// **Why it matters:** an aborted task needs no attention, an abandoned one does.
  /// **Catches:** aborted counted as abandoned; a straggler that ended reported as alive.
  @Test func theGraceSeparatesAbortedFromAbandoned() throws {
    let registry = try makeRegistry(grace: .milliseconds(400))
    let gate = Gate()
    for _ in 0..<3 { try registry.spawnSleeper("obeys") }
    for _ in 0..<2 { try registry.spawnDeaf("deaf", until: gate) }
    #expect(eventually { registry.snapshot().allSatisfy { $0.state == .running } })
    let report = try #require(
      reportOfMissedDeadline { () throws(TaskRegistryError) in
        try registry.joinAll(timeout: .zero)
      })
    #expect(report.pending == 5)
    #expect(report.aborted == 3)
    #expect(report.abandoned == 2)
    // Those that were aborted ended while the call waited.
    #expect(report.ended == 3)
    #expect(report.stragglers.count == 5)
    for straggler in report.stragglers {
      #expect(straggler.state == (straggler.name == "obeys" ? .ended : .abandoned))
    }
    gate.open()
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a straggler whose body was not entered yet is abandoned as well (J4, J8).
  ///
  /// **Why it matters:** a report is about the tasks that are left, and "starting" suggests that
  /// all is well.
  /// **Catches:** the state of a straggler taken from its phase alone.
  @Test func aStragglerThatHasHardlyStartedIsReportedAsAbandoned() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    var wrong = 0
    for _ in 0..<30 {
      try registry.spawnDeaf(until: gate)
      let report = try #require(
        reportOfMissedDeadline { () throws(TaskRegistryError) in
          try registry.joinAll(timeout: .zero)
        })
      wrong += report.stragglers.count { $0.state != .abandoned }
    }
    #expect(wrong == 0)
    gate.open()
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** the call returns at once when the last straggler ends within the grace (J4).
  ///
  /// **Why it matters:** a generous grace costs nothing when everybody obeys.
  /// **Catches:** a sleep of the length of the grace.
  @Test func theGraceEndsWithTheLastStraggler() throws {
    let registry = try makeRegistry(grace: .seconds(600))
    for _ in 0..<4 { try registry.spawnSleeper() }
    let report = try #require(
      reportOfMissedDeadline { () throws(TaskRegistryError) in
        try registry.joinAll(timeout: .milliseconds(1))
      })
    #expect(report.aborted == 4)
    #expect(report.elapsed < .seconds(300))
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** without a grace every straggler is abandoned at once (J4).
  ///
  /// **Why it matters:** the caller said how long it can afford to wait.
  /// **Catches:** a call that waits for tasks that do not respond.
  @Test func withoutAGraceNobodyIsWaitedFor() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    for _ in 0..<10 { try registry.spawnDeaf(until: gate) }
    let report = try #require(
      reportOfMissedDeadline { () throws(TaskRegistryError) in
        try registry.joinAll(timeout: .zero)
      })
    #expect(report.abandoned == 10 && report.aborted == 0)
    #expect(report.elapsed < .seconds(30))
    gate.open()
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a straggler of one join is one of the next too, until it ends (J5).
  ///
  /// **Why it matters:** it is still running, and every join has to say so.
  /// **Catches:** those already overdue left out of the count.
  @Test func aStragglerStaysOneUntilItEnds() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let deaf = try registry.spawnDeaf(until: gate)
    for _ in 0..<3 {
      let report = reportOfMissedDeadline { () throws(TaskRegistryError) in
        try registry.joinAll(timeout: .zero)
      }
      #expect(report?.stragglers.map(\.id) == [deaf.id])
    }
    // A join does not close: the registry serves on.
    try registry.spawn("new", kind: .rpcHandler) { _ in }.wait(timeout: ample)
    gate.open()
    try registry.joinAll(timeout: ample)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a shutdown that missed its deadline can be called again and succeeds (J5, G4).
  ///
  /// **Why it matters:** the last straggler may end a second later.
  /// **Catches:** a registry that is "shut down" only once.
  @Test func aSecondShutdownJoinsWhatIsLeft() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    try registry.spawnDeaf(until: gate)
    let first = reportOfMissedDeadline { () throws(TaskRegistryError) in
      try registry.shutdown(reason: .fatal, message: "first", grace: .milliseconds(1))
    }
    #expect(first?.abandoned == 1)
    gate.open()
    let second = try registry.shutdown(reason: .userRequested, message: "second", grace: ample)
    #expect(second.pending == 0 && second.threadsLeft == 0)
    #expect(registry.token.reason == .fatal)
    #expect(registry.token.message == "first")
  }

  /// **Proves:** around the deadline each task is ended in time or pending, never both (J2, J4).
  ///
  /// **Why it matters:** the moment of the deadline is when everything ends at once.
  /// **Catches:** a task counted before its flag is raised, which ended in between.
  @Test(arguments: 0..<15) func aroundTheDeadlineNothingIsCountedTwice(round: Int) throws {
    let registry = try makeRegistry(grace: ample)
    let total = 60
    for number in 0..<total {
      try registry.spawn("crowd", kind: .rpcHandler) { task in
        try task.sleep(for: .microseconds(500 + number * 40))
      }
    }
    do throws(TaskRegistryError) {
      let report = try registry.joinAll(timeout: .milliseconds(1))
      #expect(report.pending == 0)
    } catch {
      guard case .deadlineExceeded(let report) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(report.pending > 0)
      #expect(report.aborted == report.pending && report.abandoned == 0)
      #expect(report.ended >= report.aborted)
      #expect(report.ended <= UInt64(total))
      #expect(report.stragglers.count == Int(report.pending))
      #expect(Set(report.stragglers.map(\.id)).count == report.stragglers.count)
      #expect(report.stragglers.allSatisfy { $0.state == .ended && $0.isCancelRequested })
    }
    #expect(registry.isEmpty)
    try registry.shutdown(grace: ample)
  }
}
