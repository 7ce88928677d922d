/// How the time of a shutdown is divided among its phases (E5): pure, like `GraceClock`.
struct PhasePlan {
  /// The shares; all 0: equal shares.
  var shares = InlineArray<8, UInt32>(repeating: 0)
  /// For each phase, nanoseconds from its beginning to the latest end that progress in it may bring
  /// about (E4); 0: as for the call as a whole.
  var mostTimes = InlineArray<8, Int64>(repeating: 0)

  /// How many phases there are.
  static var count: UInt32 { 8 }
  /// The largest share.
  static var largestShare: UInt32 { 1_000_000 }

  /// Nanoseconds from the beginning of a phase to the latest end that progress in it may bring
  /// about; 0: as for the call as a whole.
  func mostTime(of phase: UInt32) -> Int64 { mostTimes[Int(phase)] }

  /// The time of a phase.
  ///
  /// - Parameters:
  ///   - phase: its number.
  ///   - later: the phases after it that have tasks, a bit each.
  ///   - left: nanoseconds to the deadline.
  /// - Returns: nanoseconds, at most `left`.
  func time(of phase: UInt32, before later: UInt32, of left: Int64) -> Int64 {
    var areEqual = true
    for number in shares.indices where shares[number] != 0 { areEqual = false }
    let own: Int64 = areEqual ? 1 : Int64(shares[Int(phase)])
    var sum = own
    for number in 0..<Self.count where later & (1 << number) != 0 {
      sum += areEqual ? 1 : Int64(shares[Int(number)])
    }
    // None of them reserves time: the first gets all of it.
    if sum == 0 { return left }
    return left / sum * own + left % sum * own / sum
  }
}
