import Testing

@testable import TrackedTasks

/// How long things took, in ranges.
@Suite struct DurationHistogramTests {
  private static var last: Int { DurationHistogram.rangeCount - 1 }

  private static func histogram(_ durations: some Sequence<Int64>) -> DurationHistogram {
    var histogram = DurationHistogram()
    for duration in durations { histogram.record(duration) }
    return histogram
  }

  /// Durations of all sizes, evenly over the powers of two.
  private static func random(_ count: Int, seed: UInt64) -> [Int64] {
    var random = SplitMix(state: seed)
    return (0..<count).map { _ in
      Int64(truncatingIfNeeded: random.next() >> UInt64(random.below(60) + 4))
    }
  }

  /// **Proves:** the bounds rise, each by at most a quarter of its power of two; a bound lies in
  /// its own range and one nanosecond more in the next; the last range has none (E8).
  ///
  /// **Why it matters:** a duration that lies in no range, or in one that ends below it, makes a
  /// quantile that is not an upper bound.
  /// **Catches:** bounds that belong to the range above; the first range of a power left out.
  @Test func rangesFollowEachOther() throws {
    #expect(DurationHistogram.range(of: 0) == 0)
    #expect(DurationHistogram.range(of: 1) == 0)
    #expect(DurationHistogram.bound(ofRange: 0) == 1024)
    #expect(DurationHistogram.bound(ofRange: Self.last - 1) == 1 << 46)
    #expect(DurationHistogram.bound(ofRange: Self.last) == nil)
    #expect(DurationHistogram.range(of: .max) == Self.last)
    var before: Int64 = 1024
    for range in 1..<Self.last {
      let bound = try #require(DurationHistogram.bound(ofRange: range))
      #expect(bound > before)
      #expect(bound - before <= before / 4)
      #expect(DurationHistogram.range(of: before) == range - 1)
      #expect(DurationHistogram.range(of: before + 1) == range)
      #expect(DurationHistogram.range(of: bound) == range)
      before = bound
    }
    #expect(DurationHistogram.range(of: before + 1) == Self.last)
  }

  /// **Proves:** the ranges after which a bucket is written end with the powers of two from 2^10 to
  /// 2^46, and nothing lies between the last of them and the range without a bound (E9).
  ///
  /// **Why it matters:** cumulative counts of other ranges are those of another bound.
  /// **Catches:** a power that begins one range too early.
  @Test func powersAreComplete() {
    let bounds = DurationHistogram.powers.map { DurationHistogram.bound(ofRange: $0) }
    #expect(bounds == (10...46).map { 1 << Int64($0) })
    #expect(DurationHistogram.powers.map(\.self).last == Self.last - 1)
  }

  /// **Proves:** whatever was recorded, a quantile is not below the true one, at most a quarter
  /// above it or the first bound, and not above the longest, which is exact; they rise with the
  /// percentage (E8).
  ///
  /// **Why it matters:** a grace is chosen by them.
  /// **Catches:** the lower bound of the range; a rank that is rounded down; a quantile above the
  /// longest.
  @Test(arguments: 1...40)
  func quantilesAreUpperBounds(seed: UInt64) {
    let durations = Self.random(Int(seed * seed), seed: seed).filter { $0 <= 1 << 46 }
    if durations.isEmpty { return }
    let histogram = Self.histogram(durations)
    let sorted = durations.sorted()
    var before: Int64 = 0
    for percent in 1...100 {
      let exact = sorted[(sorted.count * percent + 99) / 100 - 1]
      let estimate = histogram.quantile(percent: UInt64(percent))
      #expect(estimate >= exact)
      #expect(estimate <= max(1024, exact + exact / 4))
      #expect(estimate <= sorted[sorted.count - 1])
      #expect(estimate >= before)
      before = estimate
    }
    #expect(histogram.quantile(percent: 100) == sorted.last)
    #expect(histogram.maximum == sorted.last)
  }

  /// **Proves:** an empty histogram has no quantiles and no longest; a single duration is all of
  /// them; a duration beyond the last bound is reported as the longest; a negative duration is 0
  /// (E8).
  ///
  /// **Why it matters:** in a service that has just started no task has ended.
  /// **Catches:** 0 for "none"; a bound for the range that has none.
  @Test func edgesOfQuantiles() {
    let empty = DurationHistogram()
    #expect(empty.quantile(percent: 50) == -1)
    #expect(empty.maximum == -1)
    for single: Int64 in [0, 1, 1023, 1024, 1025, 5_000_000, 1 << 46, 1 << 46 + 1, .max] {
      let histogram = Self.histogram([single])
      for percent: UInt64 in [1, 50, 99, 100] {
        #expect(histogram.quantile(percent: percent) == single)
      }
    }
    let long = Self.histogram([10_000, 1 << 50, 1 << 55])
    #expect(long.quantile(percent: 33) == 10_240)
    #expect(long.quantile(percent: 50) == 1 << 55)
    #expect(Self.histogram([-5]).maximum == 0)
    #expect(Self.histogram([-5]).sum == 0)
  }

  /// **Proves:** durations recorded in parts and merged are as if recorded at once: each range, the
  /// number, the sum and the longest; and the number is the sum of the ranges (E8).
  ///
  /// **Why it matters:** the quantiles of all kinds are computed from the histograms of each.
  /// **Catches:** a field that is not merged.
  @Test(arguments: 1...20)
  func partsMergeToTheWhole(seed: UInt64) {
    let durations = Self.random(300, seed: seed)
    let whole = Self.histogram(durations)
    var merged = DurationHistogram()
    merged.merge(Self.histogram(durations[..<100]))
    merged.merge(DurationHistogram())
    merged.merge(Self.histogram(durations[100...]))
    var sum: UInt64 = 0
    for range in 0...Self.last {
      #expect(merged[range] == whole[range])
      #expect(
        whole[range]
          == UInt64(durations.count { DurationHistogram.range(of: $0) == range }))
      sum += whole[range]
    }
    #expect(sum == 300)
    #expect(merged.count == 300)
    #expect(merged.sum == whole.sum)
    #expect(merged.sum == durations.reduce(UInt64(0)) { $0 &+ UInt64($1) })
    #expect(merged.maximum == durations.max())
  }
}
