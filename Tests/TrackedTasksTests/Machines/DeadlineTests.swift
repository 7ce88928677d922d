import Testing

@testable import TrackedTasks

/// Absolute moments made of relative timeouts.
@Suite struct DeadlineTests {
  /// **Proves:** a timeout is added to now; 0 has passed already (J1).
  ///
  /// **Why it matters:** 0 means "check, do not wait".
  /// **Catches:** `>=` turned into `>`, or the wall clock used.
  @Test func timeoutsCountFromNow() {
    #expect(Deadline.after(0).hasPassed)
    let before = monotonicNow()
    let deadline = Deadline.after(3_600_000_000_000)
    let after = monotonicNow()
    #expect(deadline.nanoseconds >= before + 3_600_000_000_000)
    #expect(deadline.nanoseconds <= after + 3_600_000_000_000)
    #expect(!deadline.hasPassed && !deadline.isNever)
  }

  /// **Proves:** a negative timeout other than -1 has passed (P4).
  ///
  /// **Why it matters:** it is the rest of a deadline that has passed.
  /// **Catches:** every negative number taken for "never times out".
  @Test(arguments: [-2, -1_000_000, .min] as [Int64])
  func negativeTimeoutsHavePassed(timeout: Int64) {
    #expect(Deadline.after(timeout).hasPassed)
    #expect(!Deadline.after(timeout).isNever)
  }

  /// **Proves:** -1 and times beyond the clock's range never pass (J1, P4).
  ///
  /// **Why it matters:** an overflow would turn "never" into "long ago".
  /// **Catches:** the sum computed with a wrapping operator.
  @Test(arguments: [-1, .max, .max - 1] as [Int64])
  func absurdTimeoutsNeverPass(timeout: Int64) {
    let deadline = Deadline.after(timeout)
    #expect(deadline.isNever)
    #expect(deadline == .never)
    #expect(!deadline.hasPassed)
  }

  /// **Proves:** a deadline can be moved, and never stays never (J4, G4).
  ///
  /// **Why it matters:** the time for joining threads is an extension of the deadline.
  /// **Catches:** an extension that overflows into the past.
  @Test func extendingSaturatesAtNever() {
    #expect(Deadline(nanoseconds: 5).extended(by: 7) == Deadline(nanoseconds: 12))
    #expect(Deadline.never.extended(by: 0).isNever)
    #expect(Deadline.never.extended(by: 1).isNever)
    #expect(Deadline.never.extended(by: .max).isNever)
    #expect(Deadline(nanoseconds: .max - 1).extended(by: 2).isNever)
  }

  /// **Proves:** seconds and nanoseconds are split as the system requires (J1).
  ///
  /// **Why it matters:** a nanosecond part of a second or more fails with EINVAL.
  /// **Catches:** a division by the wrong power of ten.
  @Test(arguments: [0, 1, 999_999_999, 1_000_000_000, 1_000_000_001, .max] as [Int64])
  func theSystemGetsSecondsAndNanoseconds(moment: Int64) {
    let split = Deadline(nanoseconds: moment).timespec
    #expect(split.tv_nsec >= 0 && split.tv_nsec < 1_000_000_000)
    #expect(Int64(split.tv_sec) * 1_000_000_000 + Int64(split.tv_nsec) == moment)
  }

  /// **Proves:** the clock on which the library bases decisions does not run backwards (J1).
  ///
  /// **Why it matters:** ages and elapsed times would be negative.
  /// **Catches:** the wall clock read instead, which can be set.
  @Test func theClockDoesNotRunBackwards() {
    var last = monotonicNow()
    for _ in 0..<1000 {
      let now = monotonicNow()
      #expect(now >= last)
      last = now
    }
  }
}
