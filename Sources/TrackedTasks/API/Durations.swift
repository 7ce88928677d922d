#if !hasFeature(Embedded)

  extension Duration {
    /// Whole nanoseconds, rounded up so that a wait is never shorter than asked; durations beyond
    /// the range of 64 bits become its ends.
    var wholeNanoseconds: Int64 {
      let (seconds, attoseconds) = components
      let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
      if overflow { return seconds < 0 ? .min : .max }
      let rest = attoseconds / 1_000_000_000 + (attoseconds % 1_000_000_000 > 0 ? 1 : 0)
      let (sum, carry) = scaled.addingReportingOverflow(rest)
      return carry ? (seconds < 0 ? .min : .max) : sum
    }
  }

  /// A timeout as the core wants it: nil is for ever, and a negative duration is "look, do not
  /// wait".
  func timeoutNanoseconds(_ timeout: Duration?) -> Int64 {
    timeout.map { max(0, $0.wholeNanoseconds) } ?? -1
  }

#endif
