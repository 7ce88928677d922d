/// When the time until the end of the process began, and through what (F1); in 64 bits.
///
/// Pure, like `TaskWord`.
struct ExitStart: Equatable {
  /// 0: it has not begun.
  let bits: Int64

  /// What it began with.
  enum Cause: Int64 {
    /// Nothing: it has not begun.
    case none = 0
    /// The call.
    case call = 1
    /// A signal that asks for a stop.
    case signal = 2
    /// Another request to stop.
    case request = 3

    /// What follows "within 5.00 s".
    var text: StaticString {
      switch self {
      case .none, .call: ""
      case .signal: " of the signal"
      case .request: " of the request to stop"
      }
    }
  }

  /// A beginning.
  ///
  /// - Parameters:
  ///   - cause: through what.
  ///   - time: nanoseconds on `CLOCK_MONOTONIC`, not negative and less than 2^61.
  init(_ cause: Cause, at time: Int64) { bits = time << 2 | cause.rawValue }

  init(bits: Int64) { self.bits = bits }

  var cause: Cause { Cause(rawValue: bits & 3) ?? .none }

  /// Nanoseconds on `CLOCK_MONOTONIC`.
  var time: Int64 { bits >> 2 }
}
