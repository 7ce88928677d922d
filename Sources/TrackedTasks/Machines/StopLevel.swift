/// How urgently a task was asked to stop (C15).
///
/// The numbers are those of `TR_STOP_…`. Pure, like `TaskWord`.
public enum StopLevel: UInt32, Sendable {
  /// It was not asked.
  case none = 0
  /// Take nothing new, and finish what is under way.
  case drain = 1
  /// Drop what is under way, now.
  case abort = 2

  /// Whether `left` is less urgent.
  public static func < (left: StopLevel, right: StopLevel) -> Bool {
    left.rawValue < right.rawValue
  }

  /// Whether `left` is at least as urgent.
  public static func >= (left: StopLevel, right: StopLevel) -> Bool {
    left.rawValue >= right.rawValue
  }
}
