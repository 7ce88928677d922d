import CPlatform
import Testing

@testable import TrackedTasks

/// The list of live tasks.
@Suite struct ListingTests {
  /// **Proves:** a listed task shows its id, name, kind, state, times and thread (N2).
  ///
  /// **Why it matters:** that is the table an operator reads.
  /// **Catches:** the thread id of an earlier task; wall time taken from the wrong clock.
  @Test func aTaskIsListedWithAllThatIsKnown() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let started = Gate()
    let thread = Locked(Int32(0))
    let before = SuspendingClock.now
    let wallBefore = Duration.nanoseconds(wallClockNow())
    let task = try registry.spawn("known", kind: .application(7)) { _ in
      thread.withLock { $0 = cp_gettid() }
      started.open()
      gate.wait()
    }
    started.wait()
    let summary = try #require(registry.snapshot().first)
    let after = SuspendingClock.now
    let wallAfter = Duration.nanoseconds(wallClockNow())
    #expect(summary.id == task.id)
    #expect(summary.name == "known")
    #expect(summary.kind == .application(7))
    #expect(summary.state == .running)
    #expect(summary.threadID == thread.value)
    #expect(summary.spawnedAt >= before && summary.spawnedAt <= after)
    #expect(summary.age >= .zero && summary.age <= before.duration(to: after))
    #expect(summary.spawnedAtUnix >= wallBefore - .seconds(60))
    #expect(summary.spawnedAtUnix <= wallAfter + .seconds(60))
    #expect(!summary.isCancelRequested && summary.cancelRequestedAt == nil)
    #expect(!summary.isCleanup)

    task.cancel()
    let asked = try #require(registry.snapshot().first)
    #expect(asked.state == .cancelling)
    #expect(asked.spawnedAt == summary.spawnedAt)
    let requestedAt = try #require(asked.cancelRequestedAt)
    #expect(requestedAt >= after && requestedAt <= SuspendingClock.now)
    gate.open()
    try task.wait(timeout: ample)
    #expect(registry.snapshot().isEmpty)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** an ended task is gone from list and count at once, others stay (N1, N3).
  ///
  /// **Why it matters:** the list is of what runs, not of what ran.
  /// **Catches:** ended tasks kept until the next join.
  @Test func endedTasksAreGoneAtOnce() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let keeper = try registry.spawnDeaf("keeper", until: gate)
    for _ in 0..<200 {
      let brief = try registry.spawn("brief", kind: .rpcHandler) { _ in }
      try brief.wait(timeout: ample)
      #expect(registry.count == 1)
      #expect(registry.snapshot().map(\.id) == [keeper.id])
    }
    gate.open()
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a list taken while a join waits shows the tasks (N3, J6).
  ///
  /// **Why it matters:** that is when an operator needs to know what is still running.
  /// **Catches:** the list moved into the join.
  @Test func theListIsCompleteDuringAJoin() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    for number in 0..<30 { try registry.spawnDeaf("task \(number)", until: gate) }
    let joiner = PlainThread { _ = try? registry.shutdown(grace: ample) }
    #expect(eventually { registry.joinersWaiting == 1 })
    let names = Set(registry.snapshot().map(\.name))
    #expect(names == Set((0..<30).map { "task \($0)" }))
    #expect(registry.count == 30)
    gate.open()
    joiner.join()
    #expect(registry.snapshot().isEmpty)
  }

  /// **Proves:** during churn residents are listed once each, and no entry mixes two tasks (N3).
  ///
  /// **Why it matters:** a snapshot takes no lock while records are recycled under its eyes.
  /// **Catches:** a walk that ends at the first record without a task.
  @Test func listsAreTrueDuringChurn() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    // The residents' records are then behind many without a task.
    let room = Gate()
    for _ in 0..<80 { try registry.spawnDeaf("makes room", until: room) }
    let residents = try (0..<8).map { try registry.spawnDeaf("resident \($0)", until: gate) }
    let residentIDs = Set(residents.map(\.id))
    room.open()
    #expect(eventually { registry.count == residents.count })
    let stop = Gate()
    // Name and kind of each task say the same number, and in more than one word of the name.
    let churn = (0..<2).map { lane in
      PlainThread {
        var number = UInt32(lane)
        while !stop.isOpen {
          number = (number + 2) % 1000
          let text = "\(number)"
          let filler = String(repeating: "-", count: 40)
          _ = try? registry.spawn(text + filler + text, kind: .application(number)) { _ in }
          if number % 50 < 2 { _ = try? residents[0].wait(timeout: .milliseconds(1)) }
        }
      }
    }
    let mixed = Counter()
    for _ in 0..<1500 {
      let list = registry.snapshot()
      let ids = list.map(\.id)
      #expect(Set(ids).count == ids.count, "a task is listed twice")
      #expect(residentIDs.isSubset(of: ids), "a resident is not listed")
      for entry in list where !residentIDs.contains(entry.id) {
        let number = entry.kind.rawValue - 0x100
        let text = "\(number)"
        if entry.name != text + String(repeating: "-", count: 40) + text { mixed.add() }
        if entry.age < .zero || entry.age > ample { mixed.add() }
      }
    }
    stop.open()
    for thread in churn { thread.join() }
    #expect(mixed.value == 0)
    gate.open()
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a task whose wait has returned is in no list made afterwards (N3).
  ///
  /// **Why it matters:** the guarantee is about tasks that are alive throughout.
  /// **Catches:** a list that shows a task whose wait has returned.
  @Test func whatEndedBeforeIsNeverListed() throws {
    let registry = try TaskRegistry()
    onThreads(3) { _ in
      for _ in 0..<200 {
        guard let task = try? registry.spawn("brief", kind: .rpcHandler, { _ in }) else { continue }
        let id = task.id
        _ = try? task.wait(timeout: ample)
        let isListed = registry.snapshot().contains { $0.id == id }
        #expect(!isListed)
      }
    }
    try registry.shutdown(grace: ample)
  }
}
