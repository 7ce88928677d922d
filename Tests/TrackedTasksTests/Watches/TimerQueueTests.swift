import Testing

@testable import TrackedTasks

/// The queue of timers, without a thread.
@Suite struct TimerQueueTests {
  /// Timers in memory of the test's own; their actions are never carried out.
  private struct Timers {
    let base: UnsafeMutablePointer<Timer>
    let count: Int

    init(_ count: Int) throws {
      let token = try #require(TokenReference.create().1)
      base = .allocate(capacity: count)
      base.initialize(repeating: Timer(.cancel(token)), count: count)
      self.count = count
      token.release()
    }

    func free() { base.deallocate() }

    subscript(number: Int) -> Timer.Pointer { base + number }
  }

  /// **Proves:** after any sequence of insertions and removals the first timer is the one that is
  /// due first, as in a sorted array, and a timer that is not queued is not found (C11).
  ///
  /// **Why it matters:** one link that is wrong is a timeout that never passes.
  /// **Catches:** the children of a removed timer dropped; a link to the left not repaired; those that
  /// are due at the same moment lost with the one that stands for them.
  @Test(arguments: 0..<20, [5, 500]) func theFirstIsTheOneDueFirst(
    seed: UInt64, moments: Int
  ) throws {
    let timers = try Timers(200)
    defer { timers.free() }
    var random = SplitMix(state: seed)
    var queue = TimerQueue()
    var model: [(due: Int64, number: Int)] = []
    for _ in 0..<20_000 {
      let number = random.below(timers.count)
      switch random.below(3) {
      case 0 where !timers[number].pointee.isQueued:
        // Few moments, so that many are due at once, or most.
        let due = Int64(random.below(moments))
        queue.insert(timers[number], due: due)
        model.insert((due, number), at: model.firstIndex { $0.due > due } ?? model.count)
      case 1:
        queue.remove(timers[number])
        model.removeAll { $0.number == number }
      default:
        guard let first = queue.first else { continue }
        queue.remove(first)
        model.removeAll { $0.number == first - timers.base }
      }
      try #require(queue.isEmpty == model.isEmpty)
      try #require(queue.nextDue.nanoseconds == model.first?.due ?? .max)
      try #require(queue.first.map { $0.pointee.due } == model.first?.due)
    }
    for number in 0..<timers.count {
      #expect(timers[number].pointee.isQueued == model.contains { $0.number == number })
    }
  }

  /// **Proves:** 100 000 timers come out in order, inserted in ascending, descending or no order, or
  /// due at few moments, with a third of them removed before, and none is left (C11).
  ///
  /// **Why it matters:** a server has a timeout for each connection, and they share one stack.
  /// **Catches:** a recursion over the siblings; a pass that takes the square of their number.
  @Test(arguments: 0..<4) func manyComeOutInOrder(shape: Int) throws {
    let count = 100_000
    let timers = try Timers(count)
    defer { timers.free() }
    var random = SplitMix(state: 7)
    var queue = TimerQueue()
    for number in 0..<count {
      let due =
        switch shape {
        case 0: number
        case 1: count - number
        case 2: number % 7
        default: random.below(1_000_000)
        }
      queue.insert(timers[number], due: Int64(due))
    }
    var expected = count
    for number in stride(from: 0, to: count, by: 3) {
      queue.remove(timers[number])
      expected -= 1
    }
    var last = Int64.min
    var seen = 0
    while let first = queue.first {
      #expect(first.pointee.due >= last)
      last = first.pointee.due
      queue.remove(first)
      seen += 1
    }
    #expect(seen == expected)
  }

  /// **Proves:** a timer that is not queued may be removed any number of times, and queued again
  /// (C11).
  ///
  /// **Why it matters:** cancelling a token removes its timer, and so does its last release.
  /// **Catches:** a removal that follows links left over from the last time.
  @Test func removingWhatIsNotThereDoesNothing() throws {
    let timers = try Timers(3)
    defer { timers.free() }
    var queue = TimerQueue()
    queue.remove(timers[0])
    for _ in 0..<3 {
      for number in 0..<3 { queue.insert(timers[number], due: Int64(number)) }
      queue.remove(timers[0])
      queue.remove(timers[0])
      #expect(queue.first == timers[1])
      queue.remove(timers[2])
      queue.remove(timers[1])
      queue.remove(timers[2])
      #expect(queue.isEmpty && queue.nextDue.isNever)
    }
  }
}
