import CPlatform
import Synchronization

// STATES and LOCKING: see `RegistryStorage.swift`.

/// A pointer to a registry; copying it does not count a reference.
struct RegistryReference: Equatable {
  let pointer: UnsafeMutablePointer<RegistryStorage>

  init(_ pointer: UnsafeMutablePointer<RegistryStorage>) { self.pointer = pointer }
  init(_ handle: OpaquePointer) { pointer = UnsafeMutablePointer(handle) }

  var opaque: OpaquePointer { OpaquePointer(pointer) }

  var options: RegistryOptionsCore { pointer.pointee.options }
  var monitor: Monitor<RegistryState> { pointer.pointee.monitor }
  var taskMask: SignalMask { pointer.pointee.taskMask }

  /// The signals that the library's own threads block while they call functions for this registry
  /// (S7).
  var callbackMask: SignalMask { root.taskMask }
  var token: TokenReference { pointer.pointee.token }

  @inline(__always)
  var gate: GateWord {
    GateWord(bits: pointer.pointee.gate.load(ordering: .sequentiallyConsistent))
  }

  /// Creates an open registry with one reference, linked to `token` or to a token of its own.
  ///
  /// With a `parent` it is a group inside that.
  static func create(
    _ options: RegistryOptionsCore, token given: TokenReference?,
    parent: RegistryReference? = nil, path: GroupPath = GroupPath()
  ) -> (Status, RegistryReference?) {
    let prepared = ProcessState.prepare()
    if prepared != .ok { return (prepared, nil) }
    DeferredFree.tend()
    ThreadBirth.begin()
    let (status, made) = given == nil ? TokenReference.create() : (.ok, nil)
    guard let token = given ?? made else { return (status, nil) }
    guard let monitor = Monitor(RegistryState()) else {
      made?.release()
      return (.noMemory, nil)
    }
    let metrics = options.keepsMetrics ? Metrics.make() : nil
    var memory: UnsafeMutableRawPointer?
    guard options.keepsMetrics == (metrics != nil),
      posix_memalign(&memory, 64, MemoryLayout<RegistryStorage>.size) == 0, let memory
    else {
      metrics?.destroy()
      monitor.destroy()
      made?.release()
      return (.noMemory, nil)
    }
    if given != nil { token.retain() }
    let pointer = memory.bindMemory(to: RegistryStorage.self, capacity: 1)
    pointer.initialize(
      to: RegistryStorage(
        options: options, monitor: monitor, token: token, parent: parent, path: path,
        metrics: metrics))
    let registry = RegistryReference(pointer)
    pointer.pointee.maxTasks.store(options.maxTasks, ordering: .relaxed)
    ProcessState.objectIsMade()
    // For a group that can be reached (R3), and for the group's memory.
    parent?.retain()
    parent?.retainStorage()
    parent?.link(group: registry)
    // An abort sets the bit of the parent, and then visits the groups on its list: it may have done
    // so before this one was there.
    if parent?.isAborted == true { registry.advanceGate { $0.aborted() } }
    token.link(registry)
    if parent == nil {
      ReaderTable.fill(by: registry)
      MainThread.link(registry)
    }
    return (.ok, registry)
  }

  // MARK: References

  /// Adds a reference of the application's.
  ///
  /// A live task, of this registry or of a group inside it, may do so after the last one was
  /// released (R2).
  func retain() {
    let count = pointer.pointee.handleRefs.wrappingAdd(1, ordering: .relaxed)
    if count.oldValue == 0 { retainStorage() }
  }

  /// Releases a reference of the application's; neither waits nor cancels (G3).
  ///
  /// - Parameter callsApplication: as in `TokenReference.release`.
  func release(callsApplication: Bool = false) {
    let left = pointer.pointee.handleRefs.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    if left.newValue != 0 { return }
    endIfUnreachable()
    releaseStorage(callsApplication: callsApplication)
    DeferredFree.tend()
  }

  /// Releases the threads once nothing can be spawned any more (G3).
  ///
  /// That is the case when there are no references, no group can be reached, and no task is alive
  /// that could spawn another or take a reference. A closed group without live tasks cannot be
  /// reached, even if the application has references to it.
  ///
  /// The condition is permanent. It can become true by the last release, by the end of a task, by
  /// the closing of a group, or by a group's end. Each of these calls this function afterwards. All
  /// of it is sequentially consistent, so the last of them sees the condition.
  ///
  /// Requires a reference to the memory, which keeps the memory of the ancestors alive too.
  func endIfUnreachable() {
    var next: RegistryReference? = self
    while let registry = next {
      let handles = registry.pointer.pointee.handleRefs.load(ordering: .sequentiallyConsistent)
      let isShut = handles == 0 || registry.parent != nil && registry.gate.isClosed
      guard isShut, registry.isEmpty else { return }
      if registry.parent == nil { DeferredFree.expect() }
      let wasSeen = registry.pointer.pointee.isUnreachable.exchange(
        true, ordering: .sequentiallyConsistent)
      guard !wasSeen, let parent = registry.parent else {
        let isBuried = !wasSeen && registry.orphanThreads()
        if registry.parent == nil && !isBuried { DeferredFree.expectNoMore() }
        return
      }
      let left = parent.pointer.pointee.handleRefs.wrappingSubtract(
        1, ordering: .sequentiallyConsistent)
      if left.newValue != 0 { return }
      // Not the last: the group's memory holds another.
      parent.releaseStorage()
      next = parent
    }
  }

  func retainStorage() { pointer.pointee.storageRefs.wrappingAdd(1, ordering: .relaxed) }

  /// Takes a reference to the memory unless it is being freed.
  ///
  /// Called under the Monitor of the token or of the parent. The registry removes itself from their
  /// lists before it is freed.
  func retainStorageIfAlive() -> Bool {
    var count = pointer.pointee.storageRefs.load(ordering: .relaxed)
    while count != 0 {
      let (done, seen) = pointer.pointee.storageRefs.compareExchange(
        expected: count, desired: count + 1, ordering: .acquiringAndReleasing)
      if done { return true }
      count = seen
    }
    return false
  }

  /// Releases a reference to the memory; the last one frees it.
  ///
  /// This is a loop, not a recursion: a chain of parents may end with it.
  ///
  /// - Parameter callsApplication: as in `TokenReference.release`.
  func releaseStorage(callsApplication: Bool = false) {
    var next: RegistryReference? = self
    while let registry = next {
      let left = registry.pointer.pointee.storageRefs.wrappingSubtract(
        1, ordering: .acquiringAndReleasing)
      if left.newValue != 0 { return }
      next = registry.parent
      let token = registry.token
      token.unlink(registry)
      next?.unlink(group: registry)
      if next == nil { MainThread.unlink(registry) }
      if registry.pointer.pointee.isBuried {
        registry.destroyIfLast()
      } else {
        registry.destroy()
      }
      ProcessState.objectIsGone()
      token.release(callsApplication: callsApplication)
      if ProcessState.isForkedChild { return }
    }
  }

  /// Whether the kernel still has a thread of the registry, which is orphaned.
  var hasThreads: Bool {
    monitor.withLock { state in
      if state.threadCount > 0 { return true }
      var worker = state.departed
      while let current = worker {
        if !current.pointee.life.pointee.hasEnded { return true }
        worker = current.pointee.next
      }
      return false
    }
  }

  /// The last reference to a buried registry, or its last thread, is gone: the second to come frees
  /// it.
  func destroyIfLast() {
    if pointer.pointee.isHalfGone.exchange(true, ordering: .acquiringAndReleasing) { destroy() }
  }

  /// Frees the memory.
  ///
  /// Requires that no reference and no thread is left.
  private func destroy() {
    let log = options.log
    let (batches, arena) = monitor.withLock { ($0.batches, $0.arena) }
    WorkerBatch.destroyAll(from: batches)
    arena.destroy()
    metrics?.destroy()
    monitor.destroy()
    if HandleCheck.isOn { HandleCheck.keep(.registry, pointer) } else { freeMemory() }
    log.releaseContext()
  }

  /// Frees the memory of a registry that is gone, and of its records.
  func freeMemory() {
    pointer.pointee.records.destroy()
    // Not deinitialised: it contains nothing to release, and Embedded Swift 6.3.1 does not compile
    // the destruction of an InlineArray of atomics (the compiler stops).
    free(pointer)
  }

  // MARK: Counting

  /// How many tasks are alive.
  ///
  /// Read in this order, the difference is never negative.
  var count: UInt64 {
    let ended = pointer.pointee.endings.total
    return gate.admitted &- ended
  }

  /// Whether at some moment of the call no task was alive.
  ///
  /// The tasks admitted by the end of the call had ended before it. Those of a group had also been
  /// counted as ended in its ancestors, so that a caller whose join has returned does not find them
  /// counted there.
  @inline(__always)
  var isEmpty: Bool { unended == 0 }

  /// How many tasks were admitted by the end of the call and had not ended before it.
  @inline(__always)
  var unended: UInt64 {
    let ended =
      pointer.pointee.parent == nil
      ? pointer.pointee.endings.total
      : pointer.pointee.endedInAncestors.load(ordering: .sequentiallyConsistent)
    return gate.admitted &- ended
  }
}
