// LOCKING
// The Monitor of each registry guards how many such callbacks are under way in it and below. Whoever sends an event
// counts it first, and then looks whether the registry is finished; a shutdown finishes it first, and then looks at
// the count: one of them sees the other.

/// An event that does not arise in a call of the application's, nor in a task of the registry.
private struct UnheldEvent {
  let registry: RegistryReference
  let record: LogRecord

  func send() {
    registry.forEachUpwards { registry in
      registry.monitor.withLock { $0.callbackRuns += 1 }
    }
    // The context of a finished registry's log may be gone.
    if !registry.isFinished { registry.options.log.send(record) }
  }

  func isSent() {
    registry.forEachUpwards { registry in
      registry.monitor.withLock { state in
        state.callbackRuns -= 1
        state.waiters.wake(WaitKey.callbacks)
      }
    }
  }
}

extension RegistryReference {
  /// Sends an event for which neither a task nor the application holds the registry up: a shutdown waits for it, and
  /// none comes after a shutdown (O2).
  ///
  /// Requires a reference, to memory at least.
  func sendUnheld(_ record: LogRecord) {
    if !options.log.isListening { return }
    var event = UnheldEvent(registry: self, record: record)
    withUnsafeMutablePointer(to: &event) { event in
      CallFrame.call(
        .library, holdingUp: .log(self), event,
        { event in
          // SAFETY: it is the one that is handed over with this function.
          let event = event.unsafelyUnwrapped.assumingMemoryBound(to: UnheldEvent.self)
          event.pointee.send()
          if !ProcessState.isForkedChild { event.pointee.isSent() }
        },
        ifLeft: { event in
          // SAFETY: likewise; the frames of the callers are not gone yet.
          event.unsafelyUnwrapped.assumingMemoryBound(to: UnheldEvent.self).pointee.isSent()
        })
    }
  }
}
