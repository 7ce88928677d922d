// LOCKING
// The Monitor of each registry guards how many such callbacks are running in it and in groups
// inside it. A thread that sends an event counts it first, and then checks whether the registry is
// finished. A shutdown finishes the registry first, and then checks the count. One of them sees the
// other.

/// An event that arises neither in a call of the application nor in a task of the registry.
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
  /// Sends an event while neither a task nor the application keeps the registry from finishing.
  ///
  /// A shutdown waits for it, and none is sent after a shutdown (O2).
  ///
  /// Requires a reference, at least to the memory.
  func sendUnheld(_ record: LogRecord) {
    if !options.log.isListening { return }
    var event = UnheldEvent(registry: self, record: record)
    withUnsafeMutablePointer(to: &event) { event in
      CallFrame.call(
        .library, holdingUp: .log(self), event,
        { event in
          // SAFETY: it is the value that is passed with this function.
          let event = event.unsafelyUnwrapped.assumingMemoryBound(to: UnheldEvent.self)
          event.pointee.send()
          if !ProcessState.isForkedChild { event.pointee.isSent() }
        },
        ifLeft: { event in
          // SAFETY: likewise; the frames of the callers still exist.
          event.unsafelyUnwrapped.assumingMemoryBound(to: UnheldEvent.self).pointee.isSent()
        })
    }
  }
}
