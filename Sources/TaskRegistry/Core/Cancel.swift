import Synchronization

extension RegistryReference {
  /// The registry's token was cancelled: close, and raise the flag of every task but those spawned
  /// for clean-up work.
  ///
  /// Called without any lock, with a reference to the registry's memory.
  func tokenWasCancelled() {
    advanceGate { $0.cancelled() }
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    raiseFlags { $0.isCleanup ? nil : $0.cancelRequested() }
  }

  /// Refuses spawns from now on.
  func close() { advanceGate { $0.closed() } }

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

  /// Offers `transition` to every live task.
  private func raiseFlags(_ transition: (TaskWord) -> TaskWord?) {
    let now = monotonicNow()
    pointer.pointee.records.forEach { task in
      if task.pin() {
        task.raiseFlag(at: now, transition)
        task.unpin()
      }
      return true
    }
  }
}
