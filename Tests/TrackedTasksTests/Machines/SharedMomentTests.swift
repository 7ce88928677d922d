import Testing

@testable import TrackedTasks

/// The moments at which runs of many tasks begin together.
@Suite struct SharedMomentTests {
  /// **Proves:** a run begins late by less than a 32nd of its interval and by 67 ms at most, never early,
  /// and at a moment that all intervals of that size share (B1, B5).
  ///
  /// **Why it matters:** 10 000 tasks of a second need a few wake-ups, and a task of a millisecond is not late.
  /// **Catches:** a bound that grows with the interval; moments that tasks do not share; a sum that overflows.
  @Test func beginsAreRoundedUpByLittle() {
    for exponent in 0..<62 as Range<Int64> {
      for interval in [1 << exponent, 1 << exponent + 1, (1 << exponent) * 3 / 2] as [Int64] {
        let slack = SharedMoment.slack(of: interval)
        #expect(slack >= 0 && slack <= max(0, interval / 32 - 1) && slack < 67_200_000)
        #expect(interval < 64 || slack >= min(interval / 64, 1 << 26) - 1)
        #expect(slack & (slack + 1) == 0)
        for due in [0, 1, slack, slack + 1, 1_234_567_890_123, .max - 1, .max] as [Int64] {
          let begin = SharedMoment.first(from: due, slack: slack)
          #expect(begin >= due && begin - due <= slack)
          #expect(begin == .max || begin & slack == slack)
        }
      }
    }
  }
}
