import CPlatform
import Synchronization

// LOCKING
// None. Only the timer thread writes, into the slot that readers do not use. A reader that finds
// another count afterwards starts again, so it never waits, wherever the timer thread is stopped.

/// `CLOCK_MONOTONIC` without the time in which the process did not run.
///
/// The process does not run while it is stopped by a signal or a debugger, frozen, or suspended
/// with its machine, and nothing reports that to it. But the timer thread publishes when it will
/// wake, and wakes often while any heartbeat interval is set. From the moment at which it is late,
/// this clock stands still until it wakes. On a busy machine it is late because it gets no CPU, and
/// the tasks that are to send heartbeats are late as well.
///
/// The clock goes back, by at most the sleep that the timer thread was woken from, and only for a
/// thread that reads it between the timer thread's reading of the time and its publishing it.
enum RunClock {
  /// The state at one moment.
  private struct Slot: ~Copyable {
    // atomic: relaxed, see `count`. Nanoseconds in which the process did not run.
    let stopped = Atomic<Int64>(0)
    // atomic: likewise. When the timer thread will wake, on `CLOCK_MONOTONIC`; `.max` while it is
    // not needed.
    let backAt = Atomic<Int64>(.max)
  }

  private static let even = Slot()
  private static let odd = Slot()
  // atomic: how often a slot was stored; the last is in the slot of its lowest bit. Released by the
  // timer thread after the slot, acquired by readers.
  private static let count = Atomic<UInt64>(0)

  /// The longest time that the timer thread is awake, if it runs; usually it takes microseconds.
  private static var longestStep: Int64 { 10_000_000 }

  /// The time now, in nanoseconds.
  static func now() -> Int64 {
    var count = self.count.load(ordering: .acquiring)
    while true {
      let (stopped, backAt) = last(count)
      let now = monotonicNow()
      atomicMemoryFence(ordering: .acquiring)
      let countAfter = self.count.load(ordering: .relaxed)
      if countAfter == count { return reading(at: now, stopped, backAt) }
      count = countAfter
    }
  }

  /// What the clock reads, by `CLOCK_MONOTONIC` and a slot.
  static func reading(at now: Int64, _ stopped: Int64, _ backAt: Int64) -> Int64 {
    min(now, backAt) &- stopped
  }

  /// Where a reader outside finds these (`ReaderTable`).
  static var places: (count: UInt, even: UInt, odd: UInt) {
    (addressOf(count), addressOf(even), addressOf(odd))
  }

  /// The time on `CLOCK_MONOTONIC` when this clock reads `time`, if the process runs until then.
  static func monotonic(at time: Int64) -> Int64 {
    let (sum, overflow) = time.addingReportingOverflow(monotonicNow() &- now())
    return overflow ? .max : sum
  }

  // MARK: The timer thread

  /// The timer thread is about to sleep.
  static func willSleep(until deadline: Deadline) { willBeBack(at: deadline.nanoseconds) }

  /// The timer thread has woken.
  static func hasWoken() { willBeBack(at: monotonicNow() &+ longestStep) }

  /// The timer thread ends, because no interval is set; or this is a child of fork that starts
  /// anew.
  static func hasLeft() { willBeBack(at: .max) }

  private static func willBeBack(at backAt: Int64) {
    let count = self.count.load(ordering: .relaxed)
    let before = last(count)
    let late = max(0, monotonicNow() &- before.backAt)
    // A reader that sees a field of this slot's new state also sees that its first count is not the
    // last.
    atomicMemoryFence(ordering: .releasing)
    store(before.stopped &+ late, backAt, count &+ 1)
    self.count.store(count &+ 1, ordering: .releasing)
  }

  private static func last(_ count: UInt64) -> (stopped: Int64, backAt: Int64) {
    count & 1 == 0
      ? (even.stopped.load(ordering: .relaxed), even.backAt.load(ordering: .relaxed))
      : (odd.stopped.load(ordering: .relaxed), odd.backAt.load(ordering: .relaxed))
  }

  private static func store(_ stopped: Int64, _ backAt: Int64, _ count: UInt64) {
    if count & 1 == 0 {
      even.stopped.store(stopped, ordering: .relaxed)
      even.backAt.store(backAt, ordering: .relaxed)
    } else {
      odd.stopped.store(stopped, ordering: .relaxed)
      odd.backAt.store(backAt, ordering: .relaxed)
    }
  }
}
