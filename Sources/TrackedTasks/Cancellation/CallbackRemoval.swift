import CPlatform

// LOCKING: see `CancelCallback.swift`.

extension CancelCallback {
  /// What became of the function of a removed registration; the numbers are those of
  /// `TR_REMOVAL_…`.
  enum Removal: UInt32 {
    /// It was not called, and never will be.
    case neverRuns = 0
    /// It has run, or it is removing its own registration.
    case hasRun = 1
    /// Another thread was running it, and it has returned.
    case waited = 2
  }

  /// Makes sure that the callback will not run any more, and gives up its registration.
  ///
  /// Waits for the callback if another thread is running it; returns at once if this one is (C7).
  ///
  /// - Returns: what became of the function.
  @discardableResult
  static func remove(_ callback: Pointer) -> Removal {
    let owner = callback.pointee.owner
    let removal: Removal = owner.withLock { callbacks, _ in
      switch callback.pointee.stage {
      case .waiting:
        callbacks.withdraw(callback)
        return .neverRuns
      case .running:
        return callback.pointee.runner != cp_thread_self() ? .waited : .hasRun
      case .ended:
        return .hasRun
      }
    }
    if removal == .neverRuns {
      withCancellationDisabled {
        CallFrame.call(
          .callback, callback,
          {
            // SAFETY: it is the callback of this very call, in both functions.
            CancelCallback.dropContext(
              of: $0.unsafelyUnwrapped.assumingMemoryBound(to: CancelCallback.self))
          },
          ifLeft: {
            CancelCallback.giveUp(
              $0.unsafelyUnwrapped.assumingMemoryBound(to: CancelCallback.self))
          })
      }
      if ProcessState.isForkedChild { return removal }
    }
    if removal == .waited {
      owner.wait(for: UInt(bitPattern: callback)) {
        owner.withLock { _, _ in callback.pointee.stage == .ended }
      }
    }
    giveUp(callback)
    return removal
  }

  /// Gives up a callback of the library's own; if another thread runs it, that thread finds nothing
  /// to do, and is not waited for.
  static func forget(_ callback: Pointer) {
    let isLast = callback.pointee.owner.withLock { callbacks, _ in
      if callback.pointee.stage == .waiting { callbacks.withdraw(callback) }
      return letGo(of: callback)
    }
    if isLast { free(callback) }
  }

  /// Gives up a callback of the library's own whose task ends.
  ///
  /// It never runs, except if the level has risen already: then the thread that raised it runs the
  /// callback, and frees it.
  ///
  /// Called on the task's own thread, once its level does not change any more (W3).
  static func retire(_ callback: Pointer) {
    let owner = callback.pointee.owner
    let level = owner.level
    let (isWithdrawn, isLast) = owner.withLock { callbacks, _ in
      let isWaiting = callback.pointee.stage == .waiting
      let isDue = isWaiting && level >= callback.pointee.level
      if isWaiting && !isDue { callbacks.withdraw(callback) }
      // While it is on the list, nothing but running it frees it.
      let isUnheld = letGo(of: callback)
      return (isWaiting && !isDue, isUnheld && !isDue)
    }
    if isWithdrawn { dropContext(of: callback) }
    if isLast { free(callback) }
  }

  /// Gives up the registration of a callback that is on no list and not running elsewhere.
  private static func giveUp(_ callback: Pointer) {
    if callback.pointee.owner.withLock({ _, _ in letGo(of: callback) }) { free(callback) }
  }
}
