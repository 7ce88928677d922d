/// What a watched signal asks for (C13), with the reason that the token gets; in 64 bits.
///
/// Pure, like `TaskWord`.
struct SignalRole: Equatable {
  var bits: UInt64

  /// What is asked for; the numbers are those of `TR_SIGNAL_…`.
  enum Kind: UInt64 {
    /// A stop: the first cancels, the second aborts, the third ends the process.
    case stop = 0
    /// A stop that counts as the second one.
    case stopNow = 1
    /// A stop in order to start again, which is not counted.
    case reload = 2
    /// A report of the live tasks; nobody is asked to stop.
    case explain = 3
  }

  init(bits: UInt64) { self.bits = bits }

  /// A role.
  ///
  /// - Parameters:
  ///   - kind: what is asked for.
  ///   - reason: the token's; 0: that of the kind.
  init(_ kind: Kind, reason: UInt32 = 0) { bits = kind.rawValue | UInt64(reason) << 32 }

  var kind: Kind { Kind(rawValue: bits & 3) ?? .stop }

  /// The reason that was given; 0 if none was.
  var reason: UInt32 { UInt32(truncatingIfNeeded: bits >> 32) }

  /// Whether signals with this role are counted.
  var isStop: Bool { kind == .stop || kind == .stopNow }
}

/// How many stops have come, up to three, and when the last one came that was counted; in 64 bits.
///
/// The two share a word, so that a handler counts a stop in one step, whatever handlers run in
/// other threads at the same time. Pure, like `TaskWord`.
struct StopCount: Equatable {
  var bits: UInt64

  /// 0 to 3.
  var count: UInt64 { bits & 3 }
  /// Nanoseconds on `CLOCK_MONOTONIC`.
  var time: Int64 { Int64(bits >> 2) }

  /// The count after one more stop.
  ///
  /// A stop within `debounce` nanoseconds of the last one that was counted is the same once more,
  /// unless it asks for more than was asked for.
  ///
  /// - Parameters:
  ///   - role: what the stop asks for.
  ///   - now: when it came, not negative.
  ///   - debounce: see above; 0: every stop counts.
  /// - Returns: the word to put in place; nil if the stop does not count.
  func counting(_ role: SignalRole, at now: Int64, debounce: Int64) -> StopCount? {
    let asksForMore = role.kind == .stopNow && count < 2
    if count != 0 && !asksForMore && max(0, now &- time) < debounce { return nil }
    let next = min(role.kind == .stopNow ? max(count + 1, 2) : count + 1, 3)
    return StopCount(bits: UInt64(max(now, time)) << 2 | next)
  }

  init(bits: UInt64) { self.bits = bits }
}
