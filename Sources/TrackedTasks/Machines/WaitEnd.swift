/// How a wait ended.
enum WaitEnd {
  /// The predicate holds.
  case ready
  /// The deadline passed first, or was forced.
  case timedOut
  /// The flag of the calling task was raised first (C4).
  case cancelled
}
