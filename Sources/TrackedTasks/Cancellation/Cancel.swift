import Synchronization

// LOCKING
// No lock is held while flags rise or callbacks run. The gate is written first, then the published
// words are visited; a spawner publishes its word and then reads the gate (`Spawn.swift`), so one
// of the two sees the other.
//
// The registry's Monitor guards the callbacks of its tasks and is taken in `runTaskCallbacks`
// alone, to get a reference: a listed callback holds one to its task and is taken off the list
// under the lock, so under the lock another can be added. Before, the record may belong to another
// task, so the list is checked again there. After it, the reference keeps the task in its record,
// and the flag is checked again; if another thread took the callbacks meanwhile, none is left to
// run. Nothing blocks or is called under the lock.

extension RegistryReference {
  /// Closes the registry, whose token was cancelled, and raises the level of every task except
  /// clean-up tasks and a task that is finalizing (C12).
  ///
  /// Called without any lock, with a reference to the registry's memory; several threads may call
  /// it at once.
  ///
  /// - Parameters:
  ///   - level: drain; or abort, which concerns the phases asked so far (C15).
  ///   - helping: whether another thread may have raised a level without having woken the task yet.
  func tokenWasCancelled(_ level: StopLevel, helping: Bool = false) {
    pointer.pointee.cancelBaseline.store(pointer.pointee.endings, pointer.pointee.phases)
    advanceGate { level == .abort ? $0.cancelled().aborted() : $0.cancelled() }
    if level == .abort { markAskedPhasesAborted() }
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    raiseLevels(to: level, helping: helping)
    // A second signal that came before left its bit, and skipped the tasks that were not asked.
    if level == .drain && gate.isAborted { raiseLevels(to: .abort, helping: helping) }
    wakeRoomWaitersOfClosed()
    if parent != nil { endIfUnreachable() }
  }

  /// Whether the tasks of the phases asked so far were told to abort, here or in an ancestor.
  var isAborted: Bool {
    var isAborted = false
    forEachUpwards { if $0.gate.isAborted { isAborted = true } }
    return isAborted
  }

  /// Tells the tasks of the phases asked so far to abort, here and in the groups below; those that
  /// the token has yet to ask get both levels from there (C13, C15).
  ///
  /// Called without any lock, with a reference to the registry's memory. Runs no callbacks.
  func abortAsked() {
    forEachInTree { registry in
      registry.advanceGate { $0.aborted() }
      registry.markAskedPhasesAborted()
      atomicMemoryFence(ordering: .sequentiallyConsistent)
      registry.raiseLevels(to: .abort, helping: false)
      return true
    }
  }

  /// Raises the levels of the tasks that the token asks and, to abort, of those whose phase was
  /// asked.
  private func raiseLevels(to level: StopLevel, helping: Bool) {
    let asksPhaseZero = gate.isCancelled
    let now = monotonicNow()
    pointer.pointee.records.forEach { task in
      if task.pin() {
        if task.isAskedByToken(to: level, asksPhaseZero: asksPhaseZero, in: self) {
          let before = task.raiseFlag(at: now) { $0.isCleanup ? nil : $0.asked(level) }
          if before == nil && helping { task.endWaitIfAsked() }
        }
        task.unpin()
      }
      return true
    }
  }

  /// Rejects spawns from now on.
  func close() {
    advanceGate { $0.closed() }
    wakeRoomWaitersOfClosed()
    if parent != nil { endIfUnreachable() }
  }

  /// Whether spawns are rejected, here or in an ancestor; clean-up work may still be admitted (S5).
  var isClosed: Bool {
    var isClosed = false
    forEachUpwards { if $0.gate.isClosed || $0.token.isCancelled { isClosed = true } }
    return isClosed
  }

  /// Applies a transition to the gate word; see `Spawn.swift` for the order with spawns.
  func advanceGate(_ transition: (GateWord) -> GateWord) {
    var old = gate
    while true {
      let new = transition(old)
      if new == old { return }
      let (done, seen) = pointer.pointee.gate.compareExchange(
        expected: old.bits, desired: new.bits, ordering: .sequentiallyConsistent)
      if done { return }
      old = GateWord(bits: seen)
    }
  }

  /// Whether callbacks are registered with tasks of the registry.
  var hasTaskCallbacks: Bool {
    pointer.pointee.taskCallbacks.load(ordering: .sequentiallyConsistent) != 0
  }

  /// Runs the callbacks of the tasks that were asked to stop.
  ///
  /// Called without any lock, with a reference to the registry's memory, after flags have risen.
  func runTaskCallbacks() {
    if !hasTaskCallbacks { return }
    pointer.pointee.records.forEach { task in
      if task.pointer.pointee.callbacks.isEmpty || !task.word.isCancelRequested { return true }
      // A listed callback holds a reference to the task, so another can be added under the lock.
      let isHeld = monitor.withLock { _ in
        if task.pointer.pointee.callbacks.isEmpty { return false }
        task.retainHandle(isLocked: true)
        return true
      }
      if isHeld {
        if task.word.isCancelRequested { TaskCallbacks.run(for: task) } else { task.unpin() }
        if ProcessState.isForkedChild { return false }
      }
      return true
    }
  }
}

extension TaskReference {
  /// Asks the task to stop, and runs its callbacks.
  ///
  /// Requires a reference, which a callback may release.
  ///
  /// - Parameter level: drain or abort.
  func cancel(_ level: StopLevel = .drain) {
    retainHandle()
    if raiseFlag({ $0.asked(level) }) != nil {
      levelWasRaised()
    } else {
      endWaitIfAsked()
      unpin()
    }
  }

  /// Does what follows for the thread that raised the task's level: runs the callbacks.
  ///
  /// Releases a reference.
  func levelWasRaised() {
    sampleCPU()
    TaskCallbacks.run(for: self)
  }

  /// A descriptor that is readable once the task is asked to stop, at this level or a higher one
  /// (C6, C15).
  ///
  /// Requires a reference.
  func openDescriptor(_ level: StopLevel = .drain) -> (Status, Int32) {
    func isReached() -> Bool {
      TaskWord(bits: pointer.pointee.word.load(ordering: .sequentiallyConsistent)).level >= level
    }
    let (status, descriptor) =
      level == .abort
      ? pointer.pointee.abortDescriptor.open(isReached)
      : pointer.pointee.descriptor.open(isReached)
    if status == .ok { advance { $0.descriptorMade() } }
    return (status, descriptor)
  }
}
