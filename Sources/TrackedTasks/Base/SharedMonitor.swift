import CPlatform
import Synchronization

/// A Monitor of which the process has one: made at its first use, and never freed.
///
/// Its owner keeps the address, as bits, in an atomic that is 0 before: stored with release, loaded
/// with acquire.
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
