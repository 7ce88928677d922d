/// A histogram of durations, whose ranges are at most a quarter as wide as the durations in them
/// (E8).
///
/// Pure, and only integers: all zero bytes are an empty histogram. The first range is up to 1.024
/// µs; each power of two from there to 19.5 hours has four; the last has all longer durations. A
/// range includes its upper bound and not its lower one, as OpenMetrics requires.
struct DurationHistogram {
  /// D1: `count` == the sum of these.
  private var counts = InlineArray<146, UInt64>(repeating: 0)
  /// How many durations were recorded.
  private(set) var count: UInt64 = 0
  /// The sum of all, in nanoseconds.
  ///
  /// It is valid as long as it fits; `sumSeconds` and `sumRest` never overflow.
  var sum: UInt64 { sumSeconds &* 1_000_000_000 &+ sumRest }
  /// The whole seconds of the sum: nanoseconds alone would overflow within weeks at ten thousand
  /// connections.
  private(set) var sumSeconds: UInt64 = 0
  /// The nanoseconds of the sum beyond that.
  private(set) var sumRest: UInt64 = 0
  /// The longest, in nanoseconds; 0 while there is none.
  private(set) var longest: Int64 = 0

  private static var firstPower: Int { 10 }
  private static var lastPower: Int { 46 }
  private static var perPower: Int { 4 }

  /// The number of ranges, the last one without an upper bound.
  static var rangeCount: Int { (lastPower - firstPower) * perPower + 2 }

  /// The ranges after which a power of two is complete; the last of them is the last with a bound.
  static var powers: StrideThrough<Int> {
    stride(from: 0, through: rangeCount - 2, by: perPower)
  }

  /// The range that contains a duration, in nanoseconds.
  static func range(of duration: Int64) -> Int {
    if duration <= 1 << firstPower { return 0 }
    // An upper bound belongs to the range below it.
    let below = duration - 1
    let power = Int64.bitWidth - 1 - below.leadingZeroBitCount
    if power >= lastPower { return rangeCount - 1 }
    let quarter = Int(below >> Int64(power - 2)) & 3
    return (power - firstPower) * perPower + quarter + 1
  }

  /// The longest duration in a range, in nanoseconds; nil for the last range.
  static func bound(ofRange range: Int) -> Int64? {
    if range >= rangeCount - 1 { return nil }
    let (power, quarter) = (firstPower + range / perPower, Int64(range % perPower))
    return (4 + quarter) << Int64(power - 2)
  }

  /// How many durations are in a range.
  subscript(range: Int) -> UInt64 { counts[range] }

  /// Records a duration, in nanoseconds; a negative one counts as 0.
  mutating func record(_ duration: Int64) {
    let duration = max(0, duration)
    counts[Self.range(of: duration)] &+= 1
    count &+= 1
    addToSum(seconds: UInt64(duration) / 1_000_000_000, rest: UInt64(duration) % 1_000_000_000)
    if duration > longest { longest = duration }
  }

  private mutating func addToSum(seconds: UInt64, rest: UInt64) {
    sumRest &+= rest
    sumSeconds &+= seconds &+ sumRest / 1_000_000_000
    sumRest %= 1_000_000_000
  }

  /// Adds the durations that another histogram has recorded.
  mutating func merge(_ other: borrowing DurationHistogram) {
    for range in 0..<Self.rangeCount { counts[range] &+= other.counts[range] }
    count &+= other.count
    addToSum(seconds: other.sumSeconds, rest: other.sumRest)
    if other.longest > longest { longest = other.longest }
  }

  /// A duration, in nanoseconds, that `percent` in a hundred do not exceed; -1 while there is none.
  ///
  /// It is the upper bound of the range where they are complete, or the longest duration if that is
  /// less.
  func quantile(percent: UInt64) -> Int64 {
    if count == 0 { return -1 }
    // Rounded up, and in two steps, so that nothing overflows.
    let wanted = count / 100 * percent + (count % 100 * percent + 99) / 100
    var seen: UInt64 = 0
    for range in 0..<Self.rangeCount - 1 {
      seen &+= counts[range]
      if seen >= wanted, let bound = Self.bound(ofRange: range) { return min(bound, longest) }
    }
    return longest
  }

  /// The longest duration, in nanoseconds, exactly; -1 while there is none.
  var maximum: Int64 { count == 0 ? -1 : longest }
}
