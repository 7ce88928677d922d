import CPlatform

extension Deadline {
  /// The moment `timeout` nanoseconds from now.
  ///
  /// -1 means never, and so does a timeout that overflows the clock. Any other negative timeout has
  /// passed: it is the value of `deadline - now` once the deadline has passed, and must not become
  /// an unlimited wait.
  static func after(_ timeout: Int64) -> Deadline {
    if timeout == -1 { return .never }
    if timeout < 0 { return Deadline(nanoseconds: 0) }
    let (sum, overflow) = monotonicNow().addingReportingOverflow(timeout)
    return overflow ? .never : Deadline(nanoseconds: sum)
  }

  var hasPassed: Bool { !isNever && monotonicNow() >= nanoseconds }

  var timespec: CPlatform.timespec {
    CPlatform.timespec(
      tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
  }
}

/// Nanoseconds on `CLOCK_MONOTONIC`, the only clock on which the library bases decisions.
@inline(__always)
func monotonicNow() -> Int64 { readClock(cp_clock_monotonic()) }

/// Nanoseconds on `CLOCK_REALTIME`, read only to show people when something happened.
func wallClockNow() -> Int64 { readClock(cp_clock_realtime()) }

@inline(__always)
private func readClock(_ clock: clockid_t) -> Int64 {
  var now = timespec()
  clock_gettime(clock, &now)
  return Int64(now.tv_sec) &* 1_000_000_000 &+ Int64(now.tv_nsec)
}
