import Testing

@testable import TrackedTasks

/// The stragglers of which a report says the same.
@Suite struct AlikeStragglersTests {
  /// How many stragglers a report of these tests has.
  private static let count = 4_000

  /// Makes a report whose stragglers are copies of one, each changed by `change`, and finds those
  /// that are alike.
  ///
  /// - Returns: how often two were compared, and how many paragraphs there are.
  private func compare(
    _ change: (inout StragglerFacts, Int) -> Void
  ) throws -> (compared: Int, paragraphs: Int) {
    let registry = try TaskRegistry()
    let task = try registry.spawnSleeper()
    let facts = try #require(task.core.facts(in: registry.core))
    let report = try #require(ReportReference.make())
    report.makeRoom(for: UInt64(Self.count))
    for index in 0..<Self.count {
      var straggler = StragglerFacts(facts, task: nil)
      straggler.diagnosis = .blocked
      change(&straggler, index)
      (report.stragglers + index).initialize(to: straggler)
    }
    report.pointer.pointee.stragglerCount = Self.count
    let compared = report.findAlike()
    let firsts = Set((0..<Self.count).map { report.stragglers[$0].alike.first })
    let members = firsts.reduce(0) { $0 + Int(report.stragglers[Int($1)].alike.count) }
    #expect(members == Self.count)
    report.destroy()
    task.cancel()
    _ = try registry.joinAll()
    return (compared, firsts.count)
  }

  private static let changes: [String: @Sendable (inout StragglerFacts, Int) -> Void] = [
    "progress": { $0.facts.activity = ActivityFacts(progress: Progress(at: Int64($1) + 1)) },
    "descriptor": { $0.thread.edge = WaitEdge(kind: .descriptor, descriptor: Int32($1)) },
    "process": { $0.thread.edge = WaitEdge(kind: .child, process: Int32($1)) },
    "holder": { $0.thread.edge = WaitEdge(kind: .mutex, holder: Int32($1) + 1) },
    "address": { $0.thread.edge = WaitEdge(kind: .mutex, address: UInt64($1)) },
    "count": { $0.thread.edge = WaitEdge(kind: .descriptors, count: UInt32($1)) },
    "node": { $0.holder.node = Int32($1) },
    "task": { $0.thread.edge.task = UInt64($1) },
    "wait": { $0.wait = WaitFacts(kind: .task, object: UInt64($1)) },
    "channel": { $0.thread.waitChannel[5] = UInt64($1) },
    "call": { $0.thread.syscall = Int32($1) },
    "failure": { $0.thread.failure = Int32($1) },
    "kind": { $0.facts.kind = UInt32($1) },
    "phase": { $0.facts.activity = ActivityFacts(phase: UInt32($1)) },
  ]

  /// **Proves:** stragglers of which each is different, in whatever, are compared with few others:
  /// less often than there are stragglers (Q6).
  ///
  /// **Why it matters:** with ten thousand connections that report progress, or that wait for ten
  /// thousand descriptors, a report took time in the square of their number, after a shutdown's
  /// deadline.
  ///
  /// **Catches:** something that has to be the same for two to be alike, and is not in their hash;
  /// one that can be like no other in the table.
  @Test(arguments: Self.changes.keys.sorted()) func manyDifferentOnesTakeNoLonger(
    what: String
  ) throws {
    let change = try #require(Self.changes[what])
    let (compared, paragraphs) = try compare(change)
    #expect(paragraphs == Self.count)
    #expect(compared <= Self.count, "\(compared)")
    if what == "progress" { #expect(compared == 0) }
  }

  /// **Proves:** of those that are alike each is compared once, and with few of the other kinds
  /// (Q6).
  ///
  /// **Why it matters:** one table serves a service of one kind of task and one of many.
  ///
  /// **Catches:** a list that is walked to its end; a hash of what may differ.
  @Test(arguments: [1, 40]) func manyAlikeTakeNoLonger(kinds: Int) throws {
    let (compared, paragraphs) = try compare { straggler, index in
      straggler.thread.edge = WaitEdge(kind: .mutex, address: UInt64(index % kinds))
      straggler.facts.id = UInt64(index)
      straggler.facts.spawnedAt += Int64(index)
    }
    #expect(paragraphs == kinds)
    #expect(compared <= 2 * Self.count, "\(compared)")
  }
}
