/// Whether a wait for tasks ends when the deadline of a shutdown is forced (C13): a pure value,
/// like `GraceClock`.
enum WaitPolicy {
  /// Only its own deadline ends it: for a join, and for the time that a phase has even if the
  /// deadline is forced.
  case untilDeadline
  /// A forced deadline ends it: for a shutdown.
  case untilForced

  /// How a wait ends now, before its own deadline.
  ///
  /// - Parameters:
  ///   - isDone: whether the tasks have ended; this takes precedence over a forced deadline.
  ///   - isForced: whether the deadline is forced; read only if it matters.
  /// - Returns: `.ready` or `.timedOut`; nil if the wait goes on.
  func end(isDone: Bool, isForced: @autoclosure () -> Bool) -> WaitEnd? {
    if isDone { return .ready }
    return self == .untilForced && isForced() ? .timedOut : nil
  }
}
