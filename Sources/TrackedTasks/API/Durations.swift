#if !hasFeature(Embedded)

  extension Duration {
    /// Whole nanoseconds, rounded up, so that a wait is never shorter than requested.
    ///
    /// Durations beyond the range of 64 bits become the largest or smallest number.
    var wholeNanoseconds: Int64 {
      let (seconds, attoseconds) = components
      let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
      if overflow { return seconds < 0 ? .min : .max }
      let rest = attoseconds / 1_000_000_000 + (attoseconds % 1_000_000_000 > 0 ? 1 : 0)
      let (sum, carry) = scaled.addingReportingOverflow(rest)
      return carry ? (seconds < 0 ? .min : .max) : sum
    }
  }

  extension SuspendingClock.Instant {
    /// The moment at which `CLOCK_MONOTONIC`, the clock of this library, showed `nanoseconds`.
    ///
    /// `SuspendingClock` reads the same clock on Linux.
    static func monotonic(_ nanoseconds: Int64) -> SuspendingClock.Instant {
      SuspendingClock().systemEpoch.advanced(by: .nanoseconds(nanoseconds))
    }
  }

  /// A timeout in nanoseconds, as the core takes it.
  ///
  /// nil becomes -1, which never times out. A negative duration becomes 0: check once, do not wait.
  func timeoutNanoseconds(_ timeout: Duration?) -> Int64 {
    timeout.map { max(0, $0.wholeNanoseconds) } ?? -1
  }

#endif
