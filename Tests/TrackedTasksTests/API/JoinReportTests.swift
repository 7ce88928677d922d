import Foundation
import Testing

@testable import TrackedTasks

/// The result of a join, in words.
@Suite struct JoinReportTests {
  /// **Proves:** the description is one line, with the counts that are not 0 (J8).
  ///
  /// **Why it matters:** it is meant for a log line.
  /// **Catches:** zeros listed; a count under the name of another.
  @Test func theDescriptionNamesWhatIsNotZero() {
    var tally = JoinTally()
    tally.ended = 4
    let plain = JoinReport(tally, stragglers: [])
    #expect(plain.description.hasPrefix("4 ended in "))
    tally.failed = 1
    tally.exited = 2
    tally.pending = 8
    tally.aborted = 3
    tally.abandoned = 5
    tally.rejected = 6
    tally.threadsLeft = 7
    tally.elapsed = 1_000_000
    let full = JoinReport(tally, stragglers: [])
    let text = full.description
    #expect(
      text.hasPrefix(
        "4 ended, 1 failed, 2 exited, 3 aborted, 5 abandoned, 6 rejected, 7 threads left in "))
    #expect(!text.contains("\n"))
    #expect(full.pending == 8 && full.threadsLeft == 7)
    #expect(full.elapsed == .milliseconds(1))
  }
  /// **Proves:** an explanation is not part of a report's value: it is neither encoded nor
  /// compared, and everything else is (J8, E1).
  ///
  /// **Why it matters:** reports are stored and compared, and an explanation is an object of this
  /// process.
  /// **Catches:** a count left out of the encoding; two reports with the same counts unequal.
  @Test func anExplanationIsNoPartOfTheValue() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    try registry.spawnDeaf(until: gate)
    let report = try #require(
      reportOfMissedDeadline { () throws(TaskRegistryError) in
        try registry.joinAll(timeout: .zero, explained: true)
      })
    #expect(report.explanation != nil && report.stragglers.count == 1)
    let coded = try JSONEncoder().encode(report)
    let read = try JSONDecoder().decode(JoinReport.self, from: coded)
    #expect(read == report && read.hashValue == report.hashValue && read.explanation == nil)
    let keys = try #require(JSONSerialization.jsonObject(with: coded) as? [String: Any]).keys
    #expect(
      keys.sorted() == [
        "abandoned", "aborted", "callbacks_ns", "elapsed_ns", "ended", "ended_before", "exited",
        "exited_before", "extended_ns", "failed", "failed_before", "pending", "rejected",
        "stragglers", "threads_left", "unjoined",
      ])
    var tally = JoinTally()
    let plain = JoinReport(tally, stragglers: [])
    let changes: [(inout JoinTally) -> Void] = [
      { $0.ended = 1 }, { $0.failed = 1 }, { $0.exited = 1 }, { $0.pending = 1 },
      { $0.aborted = 1 },
      { $0.abandoned = 1 }, { $0.rejected = 1 }, { $0.elapsed = 1 }, { $0.threadsLeft = 1 },
      { $0.extended = 1 },
    ]
    for change in changes {
      tally = JoinTally()
      change(&tally)
      let other = JoinReport(tally, stragglers: [])
      #expect(other != plain)
      let again = try JSONDecoder().decode(JoinReport.self, from: JSONEncoder().encode(other))
      #expect(again == other)
    }
    gate.open()
    try registry.shutdown(grace: ample)
  }
}
