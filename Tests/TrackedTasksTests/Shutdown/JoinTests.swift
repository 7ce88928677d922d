import Testing

@testable import TrackedTasks

/// Waiting until every task has ended.
@Suite struct JoinTests {
  /// **Proves:** a join of nothing succeeds, with any timeout, and closes nothing (J1).
  ///
  /// **Why it matters:** it is also how a program checks whether no task is left.
  /// **Catches:** a join that closes; the deadline checked before the tasks.
  @Test(arguments: [nil, .zero, .seconds(-1), .seconds(5), .seconds(Int64.max)] as [Duration?])
  func joiningNothingSucceeds(timeout: Duration?) throws {
    let registry = try TaskRegistry()
    let report = try registry.joinAll(timeout: timeout)
    #expect(report.ended == 0 && report.pending == 0 && report.stragglers.isEmpty)
    #expect(report.elapsed >= .zero)
    try registry.spawn("still open", kind: .maintenance) { _ in }
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a join waits for the tasks and asks none of them to stop (J1).
  ///
  /// **Why it matters:** waiting for work to be done is not stopping it.
  /// **Catches:** flags raised when the join begins.
  @Test func aJoinAsksNobodyToStop() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let flagged = Counter()
    for _ in 0..<5 {
      try registry.spawn("works", kind: .rpcHandler) { task in
        gate.wait()
        if task.isCancelled { flagged.add() }
      }
    }
    let joiner = PlainThread {
      let report = try? registry.joinAll(timeout: ample)
      #expect(report?.ended == 5)
      #expect(gate.isOpen)
    }
    #expect(eventually { registry.joinersWaiting == 1 })
    gate.open()
    joiner.join()
    #expect(flagged.value == 0)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** tasks spawned while a join waits are waited for, over generations (J3).
  ///
  /// **Why it matters:** a listener accepts connections until the very end.
  /// **Catches:** a join over the list as it was when it began.
  @Test func tasksSpawnedDuringAJoinAreWaitedFor() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let runs = Counter()
    @Sendable func generation(_ number: Int) throws {
      try registry.spawn("generation \(number)", kind: .rpcHandler) { task in
        if number == 0 { gate.wait() }
        runs.add()
        if number < 50 { try generation(number + 1) }
      }
    }
    try generation(0)
    let joiner = PlainThread {
      let report = try? registry.joinAll(timeout: ample)
      #expect(runs.value == 51)
      #expect(report?.ended == 51)
    }
    #expect(eventually { registry.joinersWaiting == 1 })
    gate.open()
    joiner.join()
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** of concurrent joins one may miss its deadline while others succeed (J6).
  ///
  /// **Why it matters:** each has a caller with a time of its own to lose.
  /// **Catches:** the list emptied by the first join; only one joiner woken.
  @Test func concurrentJoinsAreAllCorrect() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    try registry.spawnDeaf("shared", until: gate)
    let reports = Locked<[JoinReport]>([])
    let patient = (0..<4).map { _ in
      PlainThread {
        if let report = try? registry.joinAll(timeout: ample) {
          #expect(gate.isOpen)
          reports.withLock { $0.append(report) }
        }
      }
    }
    #expect(eventually { registry.joinersWaiting == 4 })
    let hasty = reportOfMissedDeadline { () throws(TaskRegistryError) in
      try registry.joinAll(timeout: .milliseconds(1))
    }
    #expect(hasty?.pending == 1)
    #expect(hasty?.stragglers.map(\.name) == ["shared"])
    gate.open()
    for thread in patient { thread.join() }
    #expect(reports.value.count == 4)
    #expect(reports.value.allSatisfy { $0.ended == 1 && $0.pending == 0 })
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** several shutdowns at once all succeed, with the reason of one (J6, C1).
  ///
  /// **Why it matters:** a signal and a remote call may ask for the end at the same time.
  /// **Catches:** the second one returning before the tasks have ended.
  @Test func concurrentShutdownsAllSucceed() throws {
    for _ in 0..<20 {
      let registry = try TaskRegistry()
      for _ in 0..<4 { try registry.spawnSleeper() }
      let successes = Counter()
      onThreads(4) { number in
        let reason = ShutdownReason(rawValue: 100 + UInt32(number))
        let report = try? registry.shutdown(reason: reason, message: "\(number)", grace: ample)
        if report?.pending == 0, report?.threadsLeft == 0, registry.isEmpty { successes.add() }
      }
      #expect(successes.value == 4)
      #expect(registry.token.message == "\(registry.token.reason.rawValue - 100)")
    }
  }

  /// **Proves:** joining or shutting down from inside fails at once and changes nothing (J7).
  ///
  /// **Why it matters:** the task would wait for itself until the deadline.
  /// **Catches:** the registry closed before the check.
  @Test func joiningFromInsideIsRejected() throws {
    let registry = try TaskRegistry()
    let errors = Locked<[TaskRegistryError?]>([])
    let task = try registry.spawn("inside", kind: .backgroundLoop) { task in
      let all = [
        errorOf { () throws(TaskRegistryError) in try registry.joinAll() },
        errorOf { () throws(TaskRegistryError) in try registry.joinAll(timeout: .zero) },
        errorOf { () throws(TaskRegistryError) in try registry.shutdown(grace: ample) },
        errorOf { () throws(TaskRegistryError) in try task.handle.wait() },
      ]
      errors.withLock { $0 = all }
    }
    try task.wait(timeout: ample)
    #expect(errors.value == [.wouldDeadlock, .wouldDeadlock, .wouldDeadlock, .wouldDeadlock])
    #expect(!registry.token.isCancelled)
    #expect(!task.isCancelled)
    try registry.spawn("still open", kind: .maintenance) { _ in }
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a task may join another registry, and wait for another task (J7).
  ///
  /// **Why it matters:** a service that runs another service inside is not a deadlock.
  /// **Catches:** every join from any task rejected.
  @Test func joiningAnotherRegistryFromInsideIsAllowed() throws {
    let outer = try TaskRegistry()
    let inner = try TaskRegistry()
    let ended = Locked<UInt64?>(nil)
    let gate = Gate()
    let sibling = try outer.spawn("sibling", kind: .rpcHandler) { _ in }
    try inner.spawnDeaf(until: gate)
    try outer.spawn("supervisor", kind: .backgroundLoop) { _ in
      try sibling.wait(timeout: ample)
      gate.open()
      let report = try inner.shutdown(grace: ample)
      ended.withLock { $0 = report.ended }
    }
    let report = try outer.joinAll(timeout: ample)
    #expect(report.failed == 0)
    #expect(ended.value != nil)
    try outer.shutdown(grace: ample)
  }

  /// **Proves:** the report counts ends, failures, rejections and the time of the wait (J8).
  ///
  /// **Why it matters:** it is what the operator reads.
  /// **Catches:** failures not counted among the ended; earlier rejections counted again.
  @Test func theReportSaysWhatHappenedMeanwhile() throws {
    let registry = try TaskRegistry()
    for _ in 0..<3 { try registry.spawn("before", kind: .rpcHandler) { _ in } }
    try registry.joinAll(timeout: ample)
    let gate = Gate()
    for number in 0..<6 {
      try registry.spawn("meanwhile", kind: .rpcHandler) { _ in
        gate.wait()
        if number < 2 { throw TaskRegistryError.limitReached }
      }
    }
    let joiner = PlainThread {
      guard let report = try? registry.shutdown(grace: ample) else {
        Issue.record("the shutdown failed")
        return
      }
      #expect(report.ended == 6)
      #expect(report.failed == 2)
      #expect(report.exited == 0)
      #expect(report.pending == 0 && report.aborted == 0 && report.abandoned == 0)
      #expect(report.rejected == 1)
      #expect(report.elapsed > .zero && report.elapsed < ample)
      #expect(report.threadsLeft == 0)
    }
    #expect(eventually { registry.joinersWaiting == 1 })
    #expect(throws: TaskRegistryError.closed) {
      try registry.spawn("rejected", kind: .rpcHandler) { _ in }
    }
    gate.open()
    joiner.join()
    // A task that was counted once is not counted again.
    let again = try registry.shutdown(grace: ample)
    #expect(again.ended == 0 && again.failed == 0 && again.rejected == 0)
  }
}
