import CPlatform
import Synchronization

/// Registries that were orphaned while they had threads, until those are gone.
///
/// The last reference to a registry's memory may be a worker's own, if the program released the
/// registry with tasks alive (G3). Such a thread cannot unmap the stack it runs on. The registry is
/// on this list from the moment it is orphaned; every later creation or release of a registry
/// checks whether the kernel has ended its threads. It is freed when it is neither on this list nor
/// referenced, whichever comes last.
enum DeferredFree {
  // atomic: the registries, linked by `nextBuried`; pushed with release, taken whole with acquire.
  private static let head = Atomic<UInt>(0)
  // atomic: how many there are, including those that a thread has taken off the list to check, or
  // is about to orphan. Sequentially consistent.
  private static let count = Atomic<Int>(0)
  /// The list that `leaveBehind` found.
  ///
  /// atomic: relaxed; not used, only reachable for leak checkers.
  private static let leftBehind = Atomic<UInt>(0)

  /// Whether no thread of an orphaned registry is left.
  static var isEmpty: Bool { count.load(ordering: .sequentiallyConsistent) == 0 }

  /// Counts a registry that may be about to be orphaned, before that can be observed.
  static func expect() { count.wrappingAdd(1, ordering: .sequentiallyConsistent) }

  /// Uncounts a registry that was expected, or that is done with.
  static func expectNoMore() { count.wrappingSubtract(1, ordering: .sequentiallyConsistent) }

  /// Takes in a registry that was expected; the caller has a reference to its memory.
  static func bury(_ registry: RegistryReference) { push(registry) }

  /// Releases the registries whose threads are gone.
  static func tend() {
    if head.load(ordering: .relaxed) == 0 { return }
    var bits = head.exchange(0, ordering: .acquiring)
    while let pointer = UnsafeMutablePointer<RegistryStorage>(bitPattern: bits) {
      let registry = RegistryReference(pointer)
      bits = pointer.pointee.nextBuried
      if registry.hasThreads {
        push(registry)
      } else {
        registry.destroyIfLast()
        expectNoMore()
      }
    }
  }

  /// Gives up the list, in a forked child that starts afresh; its registries are never freed.
  ///
  /// Whether the child's own thread runs on a stack of one of them is unknown; and another thread
  /// of the parent may have taken the list when the process was forked.
  static func leaveBehind() {
    count.store(0, ordering: .relaxed)
    let parents = head.exchange(0, ordering: .relaxed)
    if parents != 0 { leftBehind.store(parents, ordering: .relaxed) }
  }

  private static func push(_ registry: RegistryReference) {
    var old = head.load(ordering: .relaxed)
    while true {
      registry.pointer.pointee.nextBuried = old
      let (done, seen) = head.compareExchange(
        expected: old, desired: UInt(bitPattern: registry.pointer), ordering: .releasing)
      if done { return }
      old = seen
    }
  }
}
