import Testing

@testable import TaskRegistry

/// What a join came to, in words.
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
}
