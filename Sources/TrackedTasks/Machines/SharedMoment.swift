/// Moments at which tasks begin their runs together, so that few wake-ups serve many (B1, B5).
///
/// They are a power of two of nanoseconds apart, so those of a longer interval are moments of a
/// shorter one, too.
enum SharedMoment {
  /// How much later a run may begin that would begin after `interval`, in nanoseconds.
  ///
  /// One less than a power of two: at most a 32nd of the interval, and 67 ms.
  static func slack(of interval: Int64) -> Int64 {
    let most = min(interval / 32, 1 << 26)
    return most < 2 ? 0 : 1 << (63 - Int64(most.leadingZeroBitCount)) - 1
  }

  /// The first such moment that is not before `due`: its last bits are all set.
  static func first(from due: Int64, slack: Int64) -> Int64 { due &+ min(slack & ~due, .max - due) }
}
