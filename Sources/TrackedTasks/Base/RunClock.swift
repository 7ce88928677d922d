import CPlatform
import Synchronization

// LOCKING
// None. The timer thread alone writes, into the slot that readers do not look at; a reader who finds another count
// afterwards begins anew, and waits for nobody, wherever the timer thread is stopped.

/// `CLOCK_MONOTONIC` less the time in which the process did not run: stopped by a signal or a debugger, frozen, or
/// suspended with its machine.
///
/// Nothing tells a process that it was stopped. But the timer thread says when it will be back, and while anybody has
/// promised heartbeats it comes back often: from the moment at which it is late this clock stands still, until it
/// is back. On a busy machine it is late for want of a processor, and so are those who are to beat.
///
/// It goes back, by no more than the sleep that the timer thread was woken from, only for who reads it while that
/// thread is between reading the time and telling of it.
enum RunClock {
  /// What is known at one moment.
  private struct Slot: ~Copyable {
    // atomic: relaxed, see `count`. Nanoseconds in which the process did not run.
    let stopped = Atomic<Int64>(0)
    // atomic: likewise. When the timer thread will be back, on `CLOCK_MONOTONIC`; `.max` while nobody needs it.
    let backAt = Atomic<Int64>(.max)
  }

  private static let even = Slot()
  private static let odd = Slot()
  // atomic: how often something was stored; the last is in the slot of its lowest bit. Released by the timer
  // thread after the slot, acquired by readers.
  private static let count = Atomic<UInt64>(0)

  /// How long the timer thread is awake at the most, if it runs: microseconds, as a rule.
  private static var longestStep: Int64 { 10_000_000 }

  /// The time now, in nanoseconds.
  static func now() -> Int64 {
    var count = self.count.load(ordering: .acquiring)
    while true {
      let (stopped, backAt) = last(count)
      let now = monotonicNow()
      atomicMemoryFence(ordering: .acquiring)
      let countAfter = self.count.load(ordering: .relaxed)
      if countAfter == count { return min(now, backAt) &- stopped }
      count = countAfter
    }
  }

  /// What `CLOCK_MONOTONIC` says when this clock says `time`, should the process run until then.
  static func monotonic(at time: Int64) -> Int64 {
    let (sum, overflow) = time.addingReportingOverflow(monotonicNow() &- now())
    return overflow ? .max : sum
  }

  // MARK: The timer thread

  /// It is about to sleep.
  static func willSleep(until deadline: Deadline) { willBeBack(at: deadline.nanoseconds) }

  /// It has woken.
  static func hasWoken() { willBeBack(at: monotonicNow() &+ longestStep) }

  /// It leaves, as nobody has promised anything; or it is the parent's, in a child of fork that begins anew.
  static func hasLeft() { willBeBack(at: .max) }

  private static func willBeBack(at backAt: Int64) {
    let count = self.count.load(ordering: .relaxed)
    let before = last(count)
    let late = max(0, monotonicNow() &- before.backAt)
    // A reader that sees a field of this slot as it will be sees that the one it began with is not the last.
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
