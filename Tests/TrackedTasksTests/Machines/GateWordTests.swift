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
      for step in [
        { $0.aborted() }, { $0.cancelled() }, { $0.overdue() }, { $0.closed() }, { $0.aborted() },
      ]
        as [(GateWord) -> GateWord]
      {
        let next = step(seen)
        #expect(next.bits & seen.bits == seen.bits)
        #expect(next.admitted == count)
        seen = next
      }
      #expect(seen.isClosed && seen.isCancelled && seen.isOverdue && seen.isAborted)
      #expect(open.aborted().isAborted && !open.aborted().isClosed)
    }
  }

  /// **Proves:** ordinary newborns are asked by the token, at the level it has, and all by a
  /// deadline (S5, C3, C15).
  ///
  /// **Why it matters:** clean-up work has to run although everybody else is told to stop; and an
  /// abort that is faster than the cancel must not ask anybody before the token has a reason.
  /// **Catches:** the two conditions of `levelOfNewborn` exchanged; `isAborted` that counts without
  /// `isCancelled`.
  @Test func newbornsStartAtTheLevelOfTheirGate() {
    let open = GateWord(bits: 0)
    let table: [(GateWord, StopLevel, StopLevel)] = [
      (open, .none, .none), (open.closed(), .none, .none), (open.aborted(), .none, .none),
      (open.cancelled(), .drain, .none), (open.cancelled().aborted(), .abort, .none),
      (open.aborted().cancelled(), .abort, .none), (open.closed().overdue(), .abort, .abort),
      (open.cancelled().overdue(), .abort, .abort),
    ]
    for (gate, ordinary, outlasting) in table {
      #expect(gate.levelOfNewborn(outlastsToken: false) == ordinary)
      #expect(gate.levelOfNewborn(outlastsToken: true) == outlasting)
    }
  }

  /// **Proves:** the count and the bits do not touch each other, at very large counts too (S5).
  ///
  /// **Why it matters:** both live in one word.
  /// **Catches:** a count mask one bit too wide.
  @Test func countAndBitsShareTheWordWithoutTouching() {
    let many = GateWord(bits: (1 << 60) - 2)
    #expect(many.admitted == (1 << 60) - 2)
    #expect(!many.isClosed && !many.isCancelled && !many.isOverdue && !many.isAborted)
    let closed = many.cancelled().overdue().aborted()
    #expect(closed.admitted == many.admitted)
    #expect(
      closed.admit(mayPassClosed: true, ended: 0, limit: 0)
        == .admitted(GateWord(bits: closed.bits + 1)))
  }
}
