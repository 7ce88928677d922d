import Synchronization

// LOCKING
// A registry's Monitor guards the list of its groups and their places in it. A group whose last
// reference is gone cannot be taken from the list; it removes itself before it is freed. The tree
// is walked with one lock at a time, and with a reference to the group that is being visited. The
// reference keeps the group's place in the list, and its ancestors alive.

/// Groups: registries inside a registry (T1 to T5).
///
/// A task of a group is also a task of every ancestor. It is admitted at each gate on the way up
/// and counted in each registry when it ends, so counting and joining need no knowledge of groups.
/// It runs in a thread of the root registry, the only one that has threads. A visit of all records
/// walks the tree.
extension RegistryReference {
  /// Creates an open group, or a closed one if this registry's token is cancelled.
  ///
  /// - Parameters:
  ///   - name: the group's name in lists, below the names of its ancestors.
  ///   - options: checked; those for threads are always the root registry's.
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

  /// The root registry, whose threads run the tasks of this one.
  var root: RegistryReference {
    var registry = self
    while let parent = registry.parent { registry = parent }
    return registry
  }

  /// Whether this is `other`, or a group inside it at any depth.
  func isWithin(_ other: RegistryReference) -> Bool {
    var next: RegistryReference? = self
    while let registry = next {
      if registry == other { return true }
      next = registry.parent
    }
    return false
  }

  /// Calls `visit` for this registry and its ancestors, up to, but not including, `end`.
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

  /// Counts the end of a task here and in the ancestors up to, but not including, `end`.
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
      group.isAboutToBeListed()
      state.groups.prepend(group)
      // This comes before anything can be spawned in the group.
      pointer.pointee.groupCount.wrappingAdd(1, ordering: .sequentiallyConsistent)
    }
  }

  func unlink(group: RegistryReference) {
    monitor.withLock { state in
      group.isAboutToBeUnlisted()
      state.groups.remove(group)
      pointer.pointee.groupCount.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    }
  }

  // MARK: Walking the tree

  /// Calls `visit` for this registry and every group inside it, parents first, until it returns
  /// false.
  ///
  /// A group that lives throughout the call is visited once. This is a loop, not a recursion, so
  /// the depth of the tree does not matter.
  @inline(never)
  func forEachInTree(_ visit: (RegistryReference) -> Bool) {
    if !visit(self) { return }
    if pointer.pointee.groupCount.load(ordering: .sequentiallyConsistent) != 0 {
      forEachBelow(visit)
    }
  }

  /// Calls `visit` for every record here and in the groups inside, until it returns false.
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

  /// Returns the group that follows this one in the walk of the tree inside `top`, with a
  /// reference.
  ///
  /// It releases the reference to this one, unless that is `top`.
  func takeSuccessor(within top: RegistryReference) -> RegistryReference? {
    var place = self
    if pointer.pointee.groupCount.load(ordering: .sequentiallyConsistent) == 0 && self == top {
      return nil
    }
    var successor = place.takeGroup(after: nil)
    while successor == nil, place != top, let parent = place.parent {
      successor = parent.takeGroup(after: place)
      // The reference to the group kept its parent alive until now.
      if parent != top { parent.retainStorage() }
      place.releaseStorage()
      place = parent
    }
    if place != top { place.releaseStorage() }
    return successor
  }

  /// Returns the first group that is alive, or the first after `group`, with a reference.
  ///
  /// `group` is on the list.
  private func takeGroup(after group: RegistryReference?) -> RegistryReference? {
    monitor.withLock { state in
      var next = state.groups.element(after: group)
      while let candidate = next {
        if candidate.retainStorageIfAlive() { return candidate }
        next = state.groups.element(after: candidate)
      }
      return nil
    }
  }
}

/// The place of a group among those of its parent.
enum GroupPlace: ListPlace {
  static subscript(element: RegistryReference) -> ListLinks<RegistryReference> {
    get { element.pointer.pointee.groupLinks }
    set { element.pointer.pointee.groupLinks = newValue }
  }
}
