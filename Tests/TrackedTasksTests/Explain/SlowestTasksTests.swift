import Testing

@testable import TrackedTasks

/// The tasks that took longest to stop.
@Suite struct SlowestTasksTests {
  private static func slowest(of stops: [Int64]) -> SlowestTasks {
    var slowest = SlowestTasks()
    for (number, stop) in stops.enumerated() {
      slowest.add(EndedFacts(id: UInt64(number), stop: stop))
    }
    slowest.sort()
    return slowest
  }

  private static func defect(of stops: [Int64]) -> String? {
    let slowest = slowest(of: stops)
    let kept = (0..<slowest.count).map { slowest[$0] }
    let expected = stops.sorted(by: >).prefix(SlowestTasks.most)
    if kept.map(\.stop) != Array(expected) { return "\(stops): \(kept.map(\.stop))" }
    // Each is one of those that were noted, and none stands there twice.
    if Set(kept.map(\.id)).count != kept.count { return "\(stops): \(kept.map(\.id))" }
    return kept.allSatisfy { stops[Int($0.id)] == $0.stop } ? nil : "\(stops): mixed"
  }

  /// **Proves:** in whatever order tasks end, the 16 that took longest are kept, the slowest first
  /// (E6).
  ///
  /// **Why it matters:** the slowest is the one to mend, and it ends last.
  /// **Catches:** the first that is faster replaced instead of the fastest; an ascending order.
  @Test(arguments: 0...40) func theSlowestAreKept(count: Int) {
    let ascending = (0..<Int64(count)).map { $0 }
    var orders = [ascending, ascending.reversed()]
    for turn in 0..<count { orders.append(Array(ascending[turn...] + ascending[..<turn])) }
    var random = SplitMix(state: UInt64(count))
    for _ in 0..<100 { orders.append(ascending.shuffled(using: &random)) }
    // With some that took equally long.
    for _ in 0..<100 { orders.append(ascending.map { _ in Int64(random.below(5)) }) }
    let defects = orders.compactMap { Self.defect(of: $0) }
    #expect(defects.isEmpty, "\(defects.first ?? "")")
  }

  /// **Proves:** one slow task keeps its place against thousands of fast ones (E6).
  ///
  /// **Why it matters:** in a large service it is one connection of ten thousand.
  /// **Catches:** a ring of the last sixteen.
  @Test func oneSlowTaskAmongThousands() {
    for place in [0, 1, 15, 16, 17, 4_999, 9_999] {
      var stops = (0..<Int64(10_000)).map { $0 % 7 }
      stops[place] = 1_000
      let slowest = Self.slowest(of: stops)
      #expect(slowest[0].stop == 1_000 && slowest[0].id == UInt64(place))
      #expect((1..<16).allSatisfy { slowest[$0].stop == 6 })
    }
  }
}
