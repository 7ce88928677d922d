/// The way into a registry in one 64-bit word: whether it is open, and how many tasks it has let
/// in.
///
/// Pure, like `TaskWord`.
///
/// That the two share a word makes "check and insert" one atomic step (S5): a task is either
/// counted before the gate closes, and then waited for, or refused.
///
/// A registry's life is read off it: open; closing once `isClosed`; closed once `isClosed` and as
/// many tasks have ended as were admitted.
///
/// Gate1: the bits only rise, and the count only grows.
struct GateWord: Equatable {
  var bits: UInt64

  private static let closedBit: UInt64 = 1 << 63
  private static let cancelledBit: UInt64 = 1 << 62
  private static let overdueBit: UInt64 = 1 << 61
  private static let countMask: UInt64 = (1 << 61) - 1

  init(bits: UInt64) { self.bits = bits }

  /// Whether spawns are refused.
  var isClosed: Bool { bits & Self.closedBit != 0 }
  /// Whether the token is cancelled: ordinary tasks are born flagged.
  var isCancelled: Bool { bits & Self.cancelledBit != 0 }
  /// Whether a deadline passed after the closing: clean-up tasks are born flagged too.
  var isOverdue: Bool { bits & Self.overdueBit != 0 }
  /// How many tasks were admitted since the registry was made.
  var admitted: UInt64 { bits & Self.countMask }

  /// What an attempt to come in leads to.
  enum Admission: Equatable {
    /// The task is counted once this word is in place.
    case admitted(GateWord)
    /// The registry is closed (S5).
    case closed
    /// As many tasks are alive as may be (S6).
    case full
  }

  /// A task asks to come in.
  ///
  /// - Parameters:
  ///   - mayPassClosed: clean-up work from a running task of the same registry.
  ///   - ended: how many tasks have ended; a number read earlier is smaller and thus safe.
  ///   - limit: how many may be alive; 0 is no limit.
  /// - Returns: the word to put in place, or why not.
  func admit(mayPassClosed: Bool, ended: UInt64, limit: UInt64) -> Admission {
    if isClosed && !mayPassClosed { return .closed }
    // More ended than this word knows of: others came and went since it was read, and it is not
    // going to be replaced.
    if limit != 0 && admitted >= ended && admitted - ended >= limit { return .full }
    return .admitted(GateWord(bits: bits &+ 1))
  }

  /// Refuses spawns from now on.
  func closed() -> GateWord { GateWord(bits: bits | Self.closedBit) }
  /// The token was cancelled, which closes too.
  func cancelled() -> GateWord { GateWord(bits: bits | Self.closedBit | Self.cancelledBit) }
  /// A join's deadline passed; matters only once closed.
  func overdue() -> GateWord { isClosed ? GateWord(bits: bits | Self.overdueBit) : self }

  /// Whether a task is to be born with its flag up.
  func flagsNewborn(cleanup: Bool) -> Bool { cleanup ? isOverdue : isCancelled }
}
