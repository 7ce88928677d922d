import CPlatform
import Synchronization

/// A descriptor by which pollers see a cancellation: an eventfd(2), made on first use, readable for
/// good once raised, and never read (C6).
///
/// Making it and raising the flag meet as in Dekker's algorithm: the thread that makes it stores
/// the descriptor and then reads the flag, the cancelling thread raises the flag and then reads the
/// descriptor. All four accesses are sequentially consistent, so one of the two sees the other, and
/// the descriptor is raised; raising it twice does no harm.
struct CancelDescriptor: ~Copyable {
  // atomic: the descriptor + 1; 0 before it exists. Sequentially consistent, as said above.
  private let place = Atomic<Int32>(0)

  /// Returns the descriptor, which is made if there is none.
  ///
  /// - Parameter isCancelled: reads the flag, sequentially consistently.
  /// - Returns: the status, and the descriptor if it is `.ok`.
  func open(_ isCancelled: () -> Bool) -> (Status, Int32) {
    var current = place.load(ordering: .sequentiallyConsistent)
    if current == 0 {
      let made = cp_eventfd()
      if made < 0 { return (cp_errno() == ENOMEM ? .noMemory : .system, -1) }
      let (done, seen) = place.compareExchange(
        expected: 0, desired: made + 1, ordering: .sequentiallyConsistent)
      if !done { cp_close(made) }
      current = done ? made + 1 : seen
    }
    if isCancelled() { cp_eventfd_raise(current - 1) }
    return (.ok, current - 1)
  }

  /// The descriptor, if it has been made.
  var existing: Int32? {
    let current = place.load(ordering: .sequentiallyConsistent)
    return current == 0 ? nil : current - 1
  }

  /// Makes the descriptor readable, if there is one; called after the flag has risen.
  @inline(__always)
  func raise() {
    let current = place.load(ordering: .sequentiallyConsistent)
    if current != 0 { cp_eventfd_raise(current - 1) }
  }

  /// Closes the descriptor, if there is one.
  ///
  /// Requires that no other thread uses it any more.
  @inline(__always)
  func close() {
    if place.load(ordering: .relaxed) == 0 { return }
    cp_close(place.exchange(0, ordering: .acquiringAndReleasing) - 1)
  }
}
