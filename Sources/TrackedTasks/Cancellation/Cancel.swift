import Synchronization

extension RegistryReference {
  /// The registry's token was cancelled: close, and raise the flag of every task but those spawned
  /// for clean-up work, and the one whose end this is (C12).
  ///
  /// Called without any lock, with a reference to the registry's memory; by several at once, too.
  ///
  /// - Parameter helping: whether another thread may have raised a flag and not have woken the task yet.
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

  /// Refuses spawns from now on.
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

  /// Runs the callbacks of those tasks that were asked to stop.
  ///
  /// Called without any lock, with a reference to the registry's memory, after flags have risen.
  func runTaskCallbacks() {
    if !hasTaskCallbacks { return }
    pointer.pointee.records.forEach { task in
      if task.pointer.pointee.callbacks.isEmpty || !task.word.isCancelRequested { return true }
      // A listed callback holds a reference to the task, so that under the lock another can be had.
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
  /// Requires a reference, which a callback may give back.
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
