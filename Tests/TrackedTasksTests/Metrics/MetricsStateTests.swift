import Testing

@testable import TrackedTasks

/// The counters and the ring, without threads.
@Suite struct MetricsStateTests {
  private static func facts(
    _ id: UInt64, kind: UInt32 = 3, how: UInt32 = 1, ran: Int64 = 5_000, stop: Int64 = -1
  ) -> EndedFacts {
    EndedFacts(id: id, kind: kind, how: how, ran: ran, stop: stop)
  }

  /// **Proves:** each kind of the library's is counted separately, and all of the application's
  /// together; a caller may read only these five (E8).
  ///
  /// **Why it matters:** a number between is not a kind and has no place in a table.
  /// **Catches:** 0x101 answered with all of the application's; 5 taken for it.
  @Test func kindsHaveTheirPlaces() {
    #expect((1...4).map { KindSlot(of: $0).index } == [0, 1, 2, 3])
    #expect([0x100, 0x101, .max].map { KindSlot(of: $0).index } == [4, 4, 4])
    for kind: UInt32 in [0, 5, 0xFF, 0x101, .max] { #expect(KindSlot(asked: kind) == nil) }
    #expect(KindSlot(asked: 0x100) == .application)
    let names = (0..<KindSlot.count).map { KindSlot(index: $0).name.description }
    #expect(names == [1, 2, 3, 4, 0x100].map { TaskKind(rawValue: $0).description })
  }

  /// **Proves:** after any sequence of spawns, withdrawals, rejections and ends the counters of
  /// each kind and of all are those of a model, the peaks included (E8).
  ///
  /// **Why it matters:** as of all counters.
  /// **Catches:** a withdrawn spawn that stays counted; a peak that is not of its kind.
  @Test(arguments: 1...20)
  func countersAreThoseOfAModel(seed: UInt64) throws {
    var random = SplitMix(state: seed)
    var state = try #require(MetricsState.make())
    defer { state.destroy() }
    var (spawned, ended, rejected, peak) = (
      [0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]
    )
    var peakOfAll = 0
    for id in 0..<2000 {
      let place = random.below(5)
      let slot = KindSlot(index: place)
      let live = spawned[place] - ended[place]
      switch random.below(6) {
      case 0 where live > 0:
        state.uncountSpawn(slot)
        spawned[place] -= 1
      case 1, 2:
        guard live > 0 else { continue }
        state.countEnd(
          Self.facts(
            UInt64(id), kind: place == 4 ? 0x200 : UInt32(place + 1), how: UInt32(1 + id % 3)))
        ended[place] += 1
      case 3:
        state.countRejection(slot)
        rejected[place] += 1
      default:
        state.countSpawn(slot)
        spawned[place] += 1
        peak[place] = max(peak[place], live + 1)
        peakOfAll = max(peakOfAll, spawned.reduce(0, +) - ended.reduce(0, +))
      }
      state.checkInvariants()
    }
    for place in 0..<5 {
      let counters = state.kinds[place].counters
      #expect(counters.spawned == spawned[place])
      #expect(counters.ended == ended[place])
      #expect(counters.rejected == rejected[place])
      #expect(counters.peak == peak[place])
    }
    #expect(state.all.spawned == spawned.reduce(0, +))
    #expect(state.all.ended == ended.reduce(0, +))
    #expect(state.all.rejected == rejected.reduce(0, +))
    #expect(state.all.peak == peakOfAll)
    #expect(state.all.failed > 0 && state.all.exited > 0)
  }

  /// **Proves:** the last 64 tasks that ended are remembered, the latest first, however many there
  /// were (E8).
  ///
  /// **Why it matters:** the tasks that ended last are the interesting ones.
  /// **Catches:** a ring that is read from its beginning.
  @Test func theRingHasTheLast() throws {
    var state = try #require(MetricsState.make())
    defer { state.destroy() }
    #expect(state.recentCount == 0)
    for id in 1...200 as ClosedRange<UInt64> {
      state.countSpawn(KindSlot(of: 3))
      state.countEnd(Self.facts(id))
      #expect(state.recentCount == min(Int(id), 64))
      for index in 0..<state.recentCount {
        #expect(state.recent(index).pointee.id == id - UInt64(index))
      }
    }
  }

  /// **Proves:** the tables take no more than the header says, 28 KiB (E8).
  ///
  /// **Why it matters:** groups come and go by the thousand.
  /// **Catches:** a path, or a bucket, too many.
  @Test func tablesAreAsLargeAsDocumented() {
    let size = MetricsState.kindsSize + MetricsState.recentMost * MemoryLayout<EndedFacts>.stride
    #expect(size <= 28 << 10)
    #expect(size > 27 << 10)
  }
}
