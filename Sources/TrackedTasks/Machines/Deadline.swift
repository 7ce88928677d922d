/// An absolute moment on `CLOCK_MONOTONIC`, or never.
///
/// Timeouts are relative only at the boundary of the library. Inside it there are deadlines, so
/// that a wait that is interrupted and resumed does not become longer (nsync does the same).
struct Deadline: Equatable {
  /// Nanoseconds on `CLOCK_MONOTONIC`; `Int64.max` is never.
  let nanoseconds: Int64

  static var never: Deadline { Deadline(nanoseconds: .max) }

  /// This deadline moved by `duration` nanoseconds, which is not negative.
  func extended(by duration: Int64) -> Deadline {
    let (sum, overflow) = nanoseconds.addingReportingOverflow(duration)
    return overflow ? .never : Deadline(nanoseconds: sum)
  }

  var isNever: Bool { nanoseconds == .max }
}
