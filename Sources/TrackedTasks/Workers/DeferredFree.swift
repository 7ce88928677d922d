import CPlatform
import Synchronization

/// Registries that were orphaned while threads of theirs were there, until these are gone.
///
/// The last reference to a registry's memory may be a worker's own, in a program that let go of
/// the registry with tasks alive (G3). Such a thread cannot unmap the stack it runs on. The registry
/// is here from the moment it is orphaned, and whoever next creates or releases a registry looks whether
/// the kernel knows its threads no more. It is freed when it is neither here nor has a reference left,
/// whichever comes last.
enum DeferredFree {
  // atomic: the registries, linked by `nextBuried`; pushed with release, taken whole with acquire.
  private static let head = Atomic<UInt>(0)
  // atomic: how many there are, those included that somebody has taken to look at, or is about to orphan.
  // Sequentially consistent.
  private static let count = Atomic<Int>(0)
  /// What `leaveBehind` found.
  ///
  /// atomic: relaxed; nobody uses it, it is merely known to leak checkers.
  private static let leftBehind = Atomic<UInt>(0)

  /// Whether no thread of an orphaned registry is left.
  static var isEmpty: Bool { count.load(ordering: .sequentiallyConsistent) == 0 }

  /// A registry may be about to be orphaned: it counts, before anyone can see that it is.
  static func expect() { count.wrappingAdd(1, ordering: .sequentiallyConsistent) }

  /// One that was expected does not come.
  static func expectNoMore() { count.wrappingSubtract(1, ordering: .sequentiallyConsistent) }

  /// Takes in a registry that was expected; the caller has a reference to its memory.
  static func bury(_ registry: RegistryReference) { push(registry) }

  /// Lets go of those whose threads are gone.
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

  /// In a child of fork that begins anew: what lies here stays there for good.
  ///
  /// Whether anyone stands on a stack of it, the parent's threads being gone, cannot be told; and a thread
  /// may have had the list in its hands.
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
