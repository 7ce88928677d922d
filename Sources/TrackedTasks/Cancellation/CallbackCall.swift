import CPlatform

// LOCKING: see `CancelCallback.swift`. No lock is held while the function or its drop runs.

extension CancelCallback {
  /// Calls a callback that the caller took, and its drop.
  static func run(_ callback: Pointer) {
    if case .waits = callback.pointee.owner {
      callback.wakeWait()
      return hasRun(callback)
    }
    // A thread that was cancelled must not leave from within. If the callback ends the thread, it
    // has run all the same: a thread that removes the registration waits for that.
    withCancellationDisabled {
      CallFrame.call(
        .callback, callback,
        {
          // SAFETY: it is the callback of this very call, in both functions.
          let callback = $0.unsafelyUnwrapped.assumingMemoryBound(to: CancelCallback.self)
          let function = callback.pointee.function
          CallFrame.measure(.cancel, unsafeBitCast(function, to: UInt.self)) {
            function(callback.pointee.context)
          }
          if !ProcessState.isForkedChild { CancelCallback.dropContext(of: callback) }
        },
        ifLeft: {
          let callback = $0.unsafelyUnwrapped.assumingMemoryBound(to: CancelCallback.self)
          CancelCallback.dropContext(of: callback)
          if !ProcessState.isForkedChild { CancelCallback.hasRun(callback) }
        })
    }
    if !ProcessState.isForkedChild { hasRun(callback) }
  }

  /// Calls the drop of a callback that has run, unless that was done: the drop may end the thread,
  /// too.
  static func dropContext(of callback: Pointer) {
    if callback.pointee.isDropped { return }
    callback.pointee.isDropped = true
    callback.pointee.drop?(callback.pointee.context)
  }

  /// Marks a callback as run, and releases it for the thread that ran it.
  static func hasRun(_ callback: Pointer) {
    let owner = callback.pointee.owner
    let isLast = owner.withLock { _, waiters in
      callback.pointee.stage = .ended
      waiters.wake(UInt(bitPattern: callback))
      return letGo(of: callback)
    }
    // Otherwise it may be freed by now.
    if isLast { free(callback) }
  }
}
