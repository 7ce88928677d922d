import CPlatform
import Synchronization

// LOCKING
// Nothing here takes a lock. The owner of a shared Monitor keeps its address, as bits, in an atomic
// that is 0 before it is made: stored with release, loaded with acquire. Of several threads that
// make one at the same time, the first to store it wins, and the others destroy theirs.

/// A Monitor of which the process has one: made at its first use, and never freed.
extension Monitor {
  /// The Monitor at `place`; nil if it was not made yet.
  @inline(__always)
  static func shared(at place: borrowing Atomic<UInt>) -> Monitor? {
    Monitor(bits: place.load(ordering: .acquiring))
  }

  /// The Monitor at `place`, made with `initial` if there is none; nil if there is no memory.
  static func shared(
    at place: borrowing Atomic<UInt>, orMadeOf initial: @autoclosure () -> State
  ) -> Monitor? {
    if let existing = shared(at: place) { return existing }
    guard let made = Monitor(initial()) else { return nil }
    let (isMine, seen) = place.compareExchange(
      expected: 0, desired: made.bits, ordering: .acquiringAndReleasing)
    if isMine { return made }
    // Another thread was faster.
    made.destroy()
    return Monitor(bits: seen)
  }
}
