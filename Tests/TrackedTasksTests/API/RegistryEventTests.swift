import Glibc
import Testing

@testable import TrackedTasks

private struct Mishap: Error, CustomStringConvertible {
  var description: String
}

/// The events of a registry.
@Suite struct RegistryEventTests {
  private static func makeRegistry(
    _ events: Locked<[RegistryEvent]>, _ change: (inout RegistryOptions) -> Void = { _ in }
  ) throws -> TaskRegistry {
    var options = RegistryOptions.underTest
    options.log = { event in events.withLock { $0.append(event) } }
    change(&options)
    return try TaskRegistry(options)
  }

  /// **Proves:** a failed task is logged with name, id and message before its completion becomes
  /// observable (O2).
  ///
  /// **Why it matters:** a caller that sees the failure finds the reason in the log.
  /// **Catches:** the event sent after the waiters are woken.
  @Test func aFailureIsLoggedBeforeItIsKnown() throws {
    let events = Locked<[RegistryEvent]>([])
    let registry = try Self.makeRegistry(events)
    for round in 1...20 {
      let task = try registry.spawn("fails", kind: .rpcHandler) { _ in
        throw Mishap(description: "no such host")
      }
      try task.wait(timeout: ample)
      #expect(events.value.count == round)
      let event = try #require(events.value.last)
      #expect(event.event == .taskFailed && event.level == .error)
      #expect(event.task == "fails" && event.taskID == task.id)
      #expect(event.message.contains("no such host"))
    }
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** tasks that return are not worth an event, nor is a shutdown in time (O2).
  ///
  /// **Why it matters:** a log of what goes right hides what goes wrong.
  /// **Catches:** every end logged.
  @Test func whatGoesRightIsNotLogged() throws {
    let events = Locked<[RegistryEvent]>([])
    let registry = try Self.makeRegistry(events)
    for _ in 0..<10 { try registry.spawn("fine", kind: .rpcHandler) { _ in } }
    try registry.spawnSleeper()
    try registry.shutdown(grace: ample)
    #expect(events.value.isEmpty)
  }

  /// **Proves:** each rejected spawn is logged with the name of the task and the reason (O2, S6).
  ///
  /// **Why it matters:** a task that never ran is in no list.
  /// **Catches:** rejections that are reported only to the caller.
  @Test func rejectionsAreLogged() throws {
    let events = Locked<[RegistryEvent]>([])
    let registry = try Self.makeRegistry(events) { $0.maxTasks = 1 }
    let gate = Gate()
    try registry.spawnDeaf(until: gate)
    _ = try? registry.spawn("too many", kind: .rpcHandler) { _ in }
    registry.token.cancel(reason: .fatal)
    _ = try? registry.spawn("too late", kind: .rpcHandler) { _ in }
    gate.open()
    try registry.shutdown(grace: ample)
    #expect(events.value.map(\.event) == [.spawnRejected, .spawnRejected])
    #expect(events.value.map(\.task) == ["too many", "too late"])
    #expect(events.value.allSatisfy { $0.level == .warning && $0.taskID == nil })
    #expect(events.value.first?.message.contains(Status.limit.text.description) == true)
    #expect(events.value.last?.message.contains(Status.closed.text.description) == true)
  }

  /// **Proves:** a missed deadline is logged once, with the number and the names (O2, J8).
  ///
  /// **Why it matters:** the report may never be printed, the log is.
  /// **Catches:** one event for each straggler; the names left out.
  @Test func aMissedDeadlineIsLoggedWithNames() throws {
    let events = Locked<[RegistryEvent]>([])
    let registry = try Self.makeRegistry(events)
    let gate = Gate()
    for number in 1...7 { try registry.spawnDeaf("straggler-\(number)", until: gate) }
    _ = reportOfMissedDeadline { () throws(TaskRegistryError) in
      try registry.joinAll(timeout: .zero)
    }
    #expect(events.value.count == 1)
    let event = try #require(events.value.first)
    #expect(event.event == .deadlineExceeded && event.level == .error)
    #expect(event.task.isEmpty && event.taskID == nil)
    #expect(event.message.contains("7 tasks"))
    #expect((1...7).count { event.message.contains("straggler-\($0)") } == 5)
    gate.open()
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** the log callback may call the library, whatever the event (O2).
  ///
  /// **Why it matters:** it is called under no lock, so a handler may list the tasks.
  /// **Catches:** an event sent with a lock held.
  @Test func theCallbackMayCallTheLibrary() throws {
    let box = Locked<TaskRegistry?>(nil)
    let calls = Counter()
    var options = RegistryOptions.underTest
    options.maxTasks = 3
    options.log = { event in
      guard let registry = box.value else { return }
      _ = registry.snapshot()
      _ = registry.count
      if event.event != .spawnRejected {
        _ = try? registry.spawn("from the log", kind: .maintenance) { _ in }
      }
      calls.add()
    }
    let registry = try TaskRegistry(options)
    box.withLock { $0 = registry }
    let gate = Gate()
    try registry.spawn("fails", kind: .rpcHandler) { _ in
      throw Mishap(description: "x")
    }.wait(timeout: ample)
    try registry.joinAll(timeout: ample)
    for _ in 0..<3 { try registry.spawnDeaf(until: gate) }
    _ = try? registry.spawn("rejected", kind: .rpcHandler) { _ in }
    _ = try? registry.joinAll(timeout: .zero)
    gate.open()
    #expect(calls.value >= 3)
    box.withLock { $0 = nil }
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** numbers that this version does not know make no event (O2).
  ///
  /// **Why it matters:** an event misread is worse than none.
  /// **Catches:** a force-unwrap of the raw value.
  @Test func unknownNumbersMakeNoEvent() throws {
    let registry = try TaskRegistry()
    let text: StaticString = ""
    func event(_ number: UInt32, _ level: UInt32) -> RegistryEvent? {
      RegistryEvent(
        LogRecord(
          level: level, event: number, task: text.utf8Start, message: text.utf8Start,
          registry: registry.core))
    }
    #expect(event(1, 9) == nil && event(10, 1) == nil)
    let known = event(4, 1)
    #expect(known?.level == .info && known?.event == .spawnRejected && known?.taskID == nil)
  }

  /// **Proves:** an event has the group and the kind of its task, and that of a failure the error that
  /// was thrown, of this task and of no other (O2).
  ///
  /// **Why it matters:** a log that takes fields is searched by them, and an error has more to say
  /// than its description.
  /// **Catches:** an error that stays in the thread for the next task.
  @Test func aFailureHasItsErrorAndItsGroup() throws {
    let events = Locked<[RegistryEvent]>([])
    let registry = try Self.makeRegistry(events) { $0.idleThreads = 1 }
    let group = try registry.group(named: "net").group(named: "peers")
    try group.spawn("fails", kind: .peerConnection) { _ in throw Mishap(description: "gone") }
      .wait(timeout: ample)
    try registry.spawn("leaves", kind: .rpcHandler) { _ in pthread_exit(nil) }.wait(timeout: ample)
    try registry.shutdown(grace: ample)
    let (failed, left) = (try #require(events.value.first), try #require(events.value.last))
    #expect(failed.group == "net/peers" && failed.kind == .peerConnection)
    #expect((failed.error as? Mishap)?.description == "gone")
    #expect(left.event == .taskExited && left.group.isEmpty && left.error == nil)
  }

  /// **Proves:** the events of a deadline list the tasks that are alive, and others list none (O2).
  ///
  /// **Why it matters:** the process may end before anybody reads the report.
  /// **Catches:** tasks that have ended in the list; a list in every event.
  @Test func deadlinesListWhoIsAlive() throws {
    let events = Locked<[RegistryEvent]>([])
    let registry = try Self.makeRegistry(events)
    let gate = Gate()
    let task = try registry.group(named: "net").spawnDeaf(until: gate)
    try registry.spawn("fails", kind: .rpcHandler) { _ in throw Mishap(description: "no") }
      .wait(timeout: ample)
    _ = try? registry.shutdown(grace: .milliseconds(20))
    gate.open()
    try registry.wait(timeout: ample)
    for event in events.value where event.event != .taskLate {
      let isDeadline = event.event == .deadlineNear || event.event == .deadlineExceeded
      #expect(event.pending.map(\.id) == (isDeadline ? [task.id] : []))
      #expect(event.pending.allSatisfy { $0.group == "net" })
    }
    #expect(events.value.contains { $0.event == .deadlineExceeded })
  }
}
