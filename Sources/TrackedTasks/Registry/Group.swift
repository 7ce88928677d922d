import Synchronization

// LOCKING
// A registry's Monitor guards the list of its groups and their places in it. A group whose last
// reference is gone cannot be taken from it; it takes itself off before it is freed. The tree is
// walked with one lock at a time, and with a reference to the group that is being visited: it keeps
// its own place in the list, and those above it alive.

/// Groups: registries inside a registry (T1 to T5).
///
/// A task of a group is a task of every registry above it: it is admitted at each gate on the way up
/// and counted in each when it ends, so that whoever counts or joins need not know of groups. It
/// runs in a thread of the topmost registry, which alone has any. Whoever visits records walks the tree.
extension RegistryReference {
  /// Creates an open group, or a closed one if this registry's token is cancelled.
  ///
  /// - Parameters:
  ///   - name: how the group is listed, below the names of those above it.
  ///   - options: checked; those of threads are the topmost registry's whatever they say.
  /// - Returns: the status, and the group, with one reference, if it is `.ok`.
  func createGroup(
    named name: TaskName, _ options: RegistryOptionsCore
  ) -> (Status, RegistryReference?) {
    let (status, made) = TokenReference.create(childOf: token)
    guard let made else { return (status, nil) }
    let created = Self.create(
      options, token: made, parent: self, path: GroupPath(below: pointer.pointee.path, name))
    made.release()
    return created
  }

  var parent: RegistryReference? { pointer.pointee.parent }

  /// The registry whose threads run the tasks of this one.
  var topmost: RegistryReference {
    var registry = self
    while let parent = registry.parent { registry = parent }
    return registry
  }

  /// Whether this is `other`, or a group of it, or of one of its groups.
  func isWithin(_ other: RegistryReference) -> Bool {
    var next: RegistryReference? = self
    while let registry = next {
      if registry == other { return true }
      next = registry.parent
    }
    return false
  }

  /// Calls `visit` for this registry and those above it, up to, and without, `end`.
  @inline(__always)
  func forEachUpwards(
    until end: RegistryReference? = nil, _ visit: (RegistryReference) -> Void
  ) {
    var next: RegistryReference? = self
    while let registry = next, registry != end {
      next = registry.parent
      visit(registry)
    }
  }

  /// Counts an end of a task of this registry, here and in those above up to, and without, `end`.
  func countUpwards(_ ending: TaskWord.Ending, until end: RegistryReference? = nil) {
    forEachUpwards(until: end) { $0.pointer.pointee.endings.count(ending) }
    if parent == nil { return }
    forEachUpwards(until: end) {
      $0.pointer.pointee.endedInAncestors.wrappingAdd(1, ordering: .sequentiallyConsistent)
    }
  }

  // MARK: The list of groups

  func link(group: RegistryReference) {
    monitor.withLock { state in
      group.pointer.pointee.nextGroup = state.firstGroup
      state.firstGroup?.pointer.pointee.previousGroup = group
      state.firstGroup = group
      // Before anything can be spawned there.
      pointer.pointee.groupCount.wrappingAdd(1, ordering: .sequentiallyConsistent)
    }
  }

  func unlink(group: RegistryReference) {
    monitor.withLock { state in
      let previous = group.pointer.pointee.previousGroup
      let next = group.pointer.pointee.nextGroup
      if let previous {
        previous.pointer.pointee.nextGroup = next
      } else {
        state.firstGroup = next
      }
      next?.pointer.pointee.previousGroup = previous
      pointer.pointee.groupCount.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    }
  }

  // MARK: Walking the tree

  /// Calls `visit` for this registry and every group below it, parents first, until it returns false.
  ///
  /// A group that lives throughout the call is visited once. A loop, not a recursion, however deep the
  /// tree.
  @inline(never)
  func forEachInTree(_ visit: (RegistryReference) -> Bool) {
    if !visit(self) { return }
    if pointer.pointee.groupCount.load(ordering: .sequentiallyConsistent) != 0 {
      forEachBelow(visit)
    }
  }

  /// Calls `visit` for every record here and in the groups below, until it returns false.
  @inline(never)
  func forEachTask(_ visit: (TaskReference, _ registry: RegistryReference) -> Bool) {
    forEachInTree { registry in
      var goesOn = true
      registry.pointer.pointee.records.forEach { task in
        goesOn = visit(task, registry)
        return goesOn
      }
      return goesOn
    }
  }

  private func forEachBelow(_ visit: (RegistryReference) -> Bool) {
    var place: RegistryReference? = takeGroup(after: nil)
    while let group = place {
      if !visit(group) {
        if !ProcessState.isForkedChild { group.releaseStorage() }
        return
      }
      place = group.takeSuccessor(within: self)
    }
  }

  /// The group that comes after this one in the walk of the tree below `top`, with a reference.
  ///
  /// Gives back the reference to this one.
  private func takeSuccessor(within top: RegistryReference) -> RegistryReference? {
    var place = self
    var successor = place.takeGroup(after: nil)
    while successor == nil, place != top, let parent = place.parent {
      successor = parent.takeGroup(after: place)
      // The reference to the group kept its parent alive so far.
      if parent != top { parent.retainStorage() }
      place.releaseStorage()
      place = parent
    }
    if place != top { place.releaseStorage() }
    return successor
  }

  /// The first group that is alive, or the first after `group`, which is on the list; with a
  /// reference.
  private func takeGroup(after group: RegistryReference?) -> RegistryReference? {
    monitor.withLock { state in
      var next = group.map { $0.pointer.pointee.nextGroup } ?? state.firstGroup
      while let candidate = next {
        if candidate.retainStorageIfAlive() { return candidate }
        next = candidate.pointer.pointee.nextGroup
      }
      return nil
    }
  }
}
