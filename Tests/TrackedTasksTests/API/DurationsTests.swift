import Testing

@testable import TrackedTasks

/// Durations as the core counts them.
@Suite struct DurationsTests {
  /// **Proves:** durations are rounded up to nanoseconds, and cut at the ends of 64 bits (J1, P4).
  ///
  /// **Why it matters:** a wait must not be shorter than asked, nor trap when it is absurd.
  /// **Catches:** rounding down; a multiplication that overflows.
  @Test func durationsAreRoundedUpAndCut() {
    let table: [(Duration, Int64)] = [
      (.zero, 0), (.nanoseconds(1), 1), (.seconds(1), 1_000_000_000),
      (.seconds(-1), -1_000_000_000), (.nanoseconds(Int64.max), .max),
      (.nanoseconds(Int64.min), .min), (.seconds(Int64.max), .max), (.seconds(Int64.min), .min),
      (Duration(secondsComponent: 0, attosecondsComponent: 1), 1),
      (Duration(secondsComponent: 0, attosecondsComponent: 1_000_000_001), 2),
      (Duration(secondsComponent: 0, attosecondsComponent: -1), 0),
      (Duration(secondsComponent: 0, attosecondsComponent: -1_000_000_000), -1),
      (.nanoseconds(Int64.max) + .nanoseconds(1), .max),
      (.nanoseconds(Int64.min) - .nanoseconds(1), .min),
    ]
    for (duration, nanoseconds) in table {
      #expect(duration.wholeNanoseconds == nanoseconds, "\(duration)")
    }
  }

  /// **Proves:** a nil timeout never times out, and a negative one is "check, do not wait" (J1).
  ///
  /// **Why it matters:** a computed timeout that has run out must not become unlimited.
  /// **Catches:** the negative number passed on to the core, where it means indefinitely.
  @Test func negativeTimeoutsDoNotWait() {
    #expect(timeoutNanoseconds(nil) == -1)
    #expect(timeoutNanoseconds(.seconds(-1)) == 0)
    #expect(timeoutNanoseconds(.zero) == 0)
    #expect(timeoutNanoseconds(.milliseconds(2)) == 2_000_000)
    #expect(timeoutNanoseconds(.seconds(Int64.max)) == .max)
  }
}
