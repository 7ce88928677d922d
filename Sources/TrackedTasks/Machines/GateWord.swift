/// The entry to a registry in one 64-bit word: whether it is open, and how many tasks it has
/// admitted.
///
/// Pure, like `TaskWord`.
///
/// Because the two share a word, "check and insert" is one atomic step (S5): a task is either
/// counted before the gate closes, and then waited for, or rejected.
///
/// The word gives the registry's stage: open; closing once `isClosed`; closed once `isClosed` and
/// as many tasks have ended as were admitted.
///
/// Gate1: bits are only set, and the count only grows.
struct GateWord: Equatable {
  var bits: UInt64

  private static let closedBit: UInt64 = 1 << 63
  private static let cancelledBit: UInt64 = 1 << 62
  private static let overdueBit: UInt64 = 1 << 61
  private static let abortedBit: UInt64 = 1 << 60
  private static let countMask: UInt64 = (1 << 60) - 1

  init(bits: UInt64) { self.bits = bits }

  /// Whether spawns are rejected.
  var isClosed: Bool { bits & Self.closedBit != 0 }
  /// Whether the token is cancelled: ordinary tasks start with their flags up.
  var isCancelled: Bool { bits & Self.cancelledBit != 0 }
  /// Whether the tasks that the token asks to stop are to abort; without `isCancelled` it says
  /// nothing yet.
  var isAborted: Bool { bits & Self.abortedBit != 0 }
  /// Whether a deadline passed after the closing: all tasks, clean-up tasks too, start at level
  /// abort.
  var isOverdue: Bool { bits & Self.overdueBit != 0 }
  /// How many tasks were admitted since the registry was created.
  var admitted: UInt64 { bits & Self.countMask }

  /// The result of an attempt to enter.
  enum Admission: Equatable {
    /// The task is counted once this word is in place.
    case admitted(GateWord)
    /// The registry is closed (S5).
    case closed
    /// As many tasks are alive as are allowed (S6).
    case full
  }

  /// Admits a task, or says why not.
  ///
  /// - Parameters:
  ///   - mayPassClosed: whether it is a clean-up task, spawned by a running task of the same
  ///     registry.
  ///   - ended: how many tasks have ended; a number read earlier is smaller and thus safe.
  ///   - limit: how many may be alive; 0: no limit.
  /// - Returns: the word to put in place, or the reason.
  func admit(mayPassClosed: Bool, ended: UInt64, limit: UInt64) -> Admission {
    if isClosed && !mayPassClosed { return .closed }
    // More tasks have ended than this word admitted: it was read before others came and went, and
    // cannot be replaced any more.
    if limit != 0 && admitted >= ended && admitted - ended >= limit { return .full }
    return .admitted(GateWord(bits: bits &+ 1))
  }

  /// The word that rejects spawns from now on.
  func closed() -> GateWord { GateWord(bits: bits | Self.closedBit) }
  /// The word after the token was cancelled, which also closes.
  func cancelled() -> GateWord { GateWord(bits: bits | Self.closedBit | Self.cancelledBit) }
  /// The word after an abort of the tasks that the token asks; it closes nothing.
  func aborted() -> GateWord { GateWord(bits: bits | Self.abortedBit) }
  /// The word after a join's deadline passed; it matters only once closed.
  func overdue() -> GateWord { isClosed ? GateWord(bits: bits | Self.overdueBit) : self }

  /// The level at which a task starts.
  ///
  /// - Parameter outlastsToken: whether the token does not ask the task to stop.
  /// - Returns: the level; `.none` for almost all tasks.
  @inline(__always)
  func levelOfNewborn(outlastsToken: Bool) -> StopLevel {
    if isOverdue { return .abort }
    if outlastsToken || !isCancelled { return .none }
    return isAborted ? .abort : .drain
  }
}
