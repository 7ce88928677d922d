import CPlatform
import Synchronization

/// Registries whose last reference is gone while a thread of theirs still stands on its stack.
///
/// The last reference to a registry's memory may be a worker's own, in a program that let go of
/// the registry with tasks alive (G3). Such a thread cannot unmap the stack it runs on. It leaves
/// the registry here, and whoever next creates or releases a registry frees it once the kernel
/// knows its threads no more.
enum Graveyard {
  // atomic: the registries, linked by `nextBuried`; pushed with release, taken whole with acquire.
  private static let head = Atomic<UInt>(0)

  /// What `leaveBehind` found.
  ///
  /// atomic: relaxed; nobody uses it, it is merely known to leak checkers.
  private static let leftBehind = Atomic<UInt>(0)

  /// Frees the registry now or later.
  ///
  /// Nobody holds a reference to it.
  static func bury(_ registry: RegistryReference) {
    if registry.hasThreads { push(registry) } else { registry.destroy() }
  }

  /// In a child of fork that begins anew: what lies here stays there for good.
  ///
  /// Whether anyone stands on a stack of it, the parent's threads being gone, cannot be told; and a thread
  /// may have had the list in its hands.
  static func leaveBehind() {
    let parents = head.exchange(0, ordering: .relaxed)
    if parents != 0 { leftBehind.store(parents, ordering: .relaxed) }
  }

  /// Frees what can be freed.
  static func tend() {
    if head.load(ordering: .relaxed) == 0 { return }
    var bits = head.exchange(0, ordering: .acquiring)
    while let pointer = UnsafeMutablePointer<RegistryStorage>(bitPattern: bits) {
      bits = pointer.pointee.nextBuried
      bury(RegistryReference(pointer))
    }
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
