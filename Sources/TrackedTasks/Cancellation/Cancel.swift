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
  /// Closes the registry, whose token was cancelled, and raises the flag of every task except
  /// clean-up tasks and a task that is finalizing (C12).
  ///
  /// Called without any lock, with a reference to the registry's memory; several threads may call
  /// it at once.
  ///
  /// - Parameter helping: whether another thread may have raised a flag without having woken the
  ///   task yet.
  func tokenWasCancelled(helping: Bool = false) {
    advanceGate { $0.cancelled() }
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    let now = monotonicNow()
    pointer.pointee.records.forEach { task in
      if task.pin() {
        if task.respondsToToken {
          let before = task.raiseFlag(at: now) { $0.isCleanup ? nil : $0.cancelRequested() }
          if before == nil && helping { task.endWaitIfAsked() }
        }
        task.unpin()
      }
      return true
    }
    if parent != nil { endIfUnreachable() }
  }

  /// Rejects spawns from now on.
  func close() {
    advanceGate { $0.closed() }
    if parent != nil { endIfUnreachable() }
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
        if task.word.isCancelRequested { CancelCallback.Owner.task(task).runCallbacks() }
        if ProcessState.isForkedChild { return false }
        task.unpin()
      }
      return true
    }
  }
}

extension TaskReference {
  /// Asks the task to stop, and runs its callbacks.
  ///
  /// Requires a reference, which a callback may release.
  func cancel() {
    retainHandle()
    if raiseFlag({ $0.cancelRequested() }) != nil {
      sampleCPU()
      CancelCallback.Owner.task(self).runCallbacks()
      if ProcessState.isForkedChild { return }
    } else {
      endWaitIfAsked()
    }
    unpin()
  }

  /// A descriptor that is readable once the task is asked to stop (C6).
  ///
  /// Requires a reference.
  func openDescriptor() -> (Status, Int32) {
    let (status, descriptor) = pointer.pointee.descriptor.open {
      TaskWord(bits: pointer.pointee.word.load(ordering: .sequentiallyConsistent))
        .isCancelRequested
    }
    if status == .ok { advance { $0.descriptorMade() } }
    return (status, descriptor)
  }
}
