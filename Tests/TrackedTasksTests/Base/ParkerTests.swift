import Testing

@testable import TrackedTasks

/// A place to sleep that threads share.
private final class SharedParker: @unchecked Sendable {
  // SAFETY: a Parker is made to be unparked by any thread.
  private let memory: UnsafeMutableRawPointer
  let parker: Parker

  init() {
    memory = .allocate(byteCount: Parker.byteCount, alignment: 16)
    parker = Parker(at: memory)
  }

  deinit {
    parker.destroy()
    memory.deallocate()
  }
}

/// Sleeping and waking of one thread.
@Suite struct ParkerTests {
  private static let past = Deadline(nanoseconds: 0)

  /// **Proves:** a permit given before the thread sleeps keeps it from sleeping (C4).
  ///
  /// **Why it matters:** the waker may be faster than the sleeper.
  /// **Catches:** `park` that clears the permit before it waits.
  @Test func aPermitGivenEarlyIsKept() {
    let place = SharedParker()
    place.parker.unpark()
    #expect(place.parker.park(until: .after(60_000_000_000)))
  }

  /// **Proves:** permits do not add up, and one is used up by one sleep (C4).
  ///
  /// **Why it matters:** a permit that stays would make every later wait a busy loop.
  /// **Catches:** the permit left up by `park`.
  @Test func aPermitIsUsedUpOnce() {
    let place = SharedParker()
    place.parker.unpark()
    place.parker.unpark()
    #expect(place.parker.park(until: Self.past))
    #expect(!place.parker.park(until: Self.past))
  }

  /// **Proves:** without a permit the sleep lasts until its deadline and not less (J1).
  ///
  /// **Why it matters:** a join that returns early calls tasks stragglers that had time left.
  /// **Catches:** a condition variable on the wall clock.
  @Test func aSleepLastsUntilItsDeadline() {
    let place = SharedParker()
    let deadline = Deadline.after(20_000_000)
    #expect(!place.parker.park(until: deadline))
    #expect(deadline.hasPassed)
  }

  /// **Proves:** a permit wakes a thread that sleeps without a deadline (C4).
  ///
  /// **Why it matters:** that is how every event of the library arrives.
  /// **Catches:** `unpark` that sets the permit and does not signal.
  @Test func aPermitWakesASleeper() {
    let place = SharedParker()
    let turns = 2000
    let other = SharedParker()
    // The two wake each other in turn: each wake-up is needed for the next.
    let thread = PlainThread {
      for _ in 0..<turns {
        while !place.parker.park(until: .never) {}
        other.parker.unpark()
      }
    }
    var returned = 0
    for _ in 0..<turns {
      place.parker.unpark()
      if other.parker.park(until: .after(60_000_000_000)) { returned += 1 }
    }
    #expect(returned == turns)
    thread.join()
  }
}
