import Testing

@testable import TrackedTasks

/// The way into a registry, without a thread.
@Suite struct GateWordTests {
  /// A gate put together from its parts by calls alone.
  private static func gate(
    closed: Bool, cancelled: Bool, overdue: Bool, count: UInt64
  ) -> GateWord? {
    var word = GateWord(bits: 0)
    for _ in 0..<count {
      guard case .admitted(let next) = word.admit(mayPassClosed: false, ended: 0, limit: 0) else {
        return nil
      }
      word = next
    }
    if closed { word = word.closed() }
    if cancelled { word = word.cancelled() }
    if overdue { word = word.overdue() }
    return word
  }

  /// **Proves:** admission depends on closing, on the right to pass a closed gate, and on the limit
  /// (S5, S6).
  ///
  /// **Why it matters:** no join waits for a task that is admitted by mistake.
  /// **Catches:** `>=` turned into `>` in the limit; clean-up rejected once closed.
  @Test(arguments: [false, true], [false, true])
  func admissionFollowsTheTable(closed: Bool, cancelled: Bool) throws {
    for count: UInt64 in 0...5 {
      let word = try #require(
        Self.gate(closed: closed, cancelled: cancelled, overdue: false, count: count))
      for ended in 0...count {
        for limit: UInt64 in [0, 1, 2, 3, 5, 6, .max] {
          for mayPass in [false, true] {
            let answer = word.admit(mayPassClosed: mayPass, ended: ended, limit: limit)
            if (closed || cancelled) && !mayPass {
              #expect(answer == .closed)
            } else if limit != 0 && count - ended >= limit {
              #expect(answer == .full)
            } else if case .admitted(let next) = answer {
              #expect(next.admitted == count + 1)
              #expect(next.isClosed == word.isClosed)
              #expect(next.isCancelled == word.isCancelled)
            } else {
              Issue.record("rejected: count \(count), ended \(ended), limit \(limit)")
            }
          }
        }
      }
    }
  }

  /// **Proves:** closing, cancelling and deadlines only add, and leave the count (S5, C3).
  ///
  /// **Why it matters:** a gate that opens again would admit tasks that are never joined.
  /// **Catches:** `cancelled()` that forgets to close; `overdue()` on an open gate.
  @Test func theGateNeverOpensAgain() throws {
    for count: UInt64 in [0, 1, 7] {
      let open = try #require(
        Self.gate(closed: false, cancelled: false, overdue: false, count: count))
      #expect(!open.isClosed && !open.isCancelled && !open.isOverdue)
      #expect(open.overdue() == open)
      #expect(open.closed().isClosed && !open.closed().isCancelled)
      #expect(open.cancelled().isClosed && open.cancelled().isCancelled)
      var seen = open.closed()
      for step in [{ $0.cancelled() }, { $0.overdue() }, { $0.closed() }]
        as [(GateWord) -> GateWord]
      {
        let next = step(seen)
        #expect(next.bits & seen.bits == seen.bits)
        #expect(next.admitted == count)
        seen = next
      }
      #expect(seen.isClosed && seen.isCancelled && seen.isOverdue)
    }
  }

  /// **Proves:** new ordinary tasks are flagged by the token, new clean-up tasks by a deadline (S5,
  /// C3).
  ///
  /// **Why it matters:** clean-up work has to run although all other tasks are asked to stop.
  /// **Catches:** the two conditions of `flagsNewborn` exchanged.
  @Test func onlyTheRightNewbornAreFlagged() {
    let open = GateWord(bits: 0)
    let gates = [
      open, open.closed(), open.cancelled(), open.closed().overdue(),
      open.cancelled().overdue(),
    ]
    let ordinary = [false, false, true, false, true]
    let cleanup = [false, false, false, true, true]
    for (number, gate) in gates.enumerated() {
      #expect(gate.flagsNewborn(cleanup: false) == ordinary[number])
      #expect(gate.flagsNewborn(cleanup: true) == cleanup[number])
    }
  }

  /// **Proves:** the count and the bits do not touch each other, at very large counts too (S5).
  ///
  /// **Why it matters:** both live in one word.
  /// **Catches:** a count mask one bit too wide.
  @Test func countAndBitsShareTheWordWithoutTouching() {
    let many = GateWord(bits: (1 << 61) - 2)
    #expect(many.admitted == (1 << 61) - 2)
    #expect(!many.isClosed && !many.isCancelled && !many.isOverdue)
    let closed = many.cancelled().overdue()
    #expect(closed.admitted == many.admitted)
    #expect(
      closed.admit(mayPassClosed: true, ended: 0, limit: 0)
        == .admitted(GateWord(bits: closed.bits + 1)))
  }
}
