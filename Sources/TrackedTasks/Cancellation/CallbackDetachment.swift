import CPlatform
import Synchronization

// LOCKING: see `CancelCallback.swift`.

// A callback whose registration was given up, and which stays on the list all the same. The list
// holds it then, in the place of the registration (K2). It leaves the list in one of three ways:
//
//  -  Its level is reached: it runs, and the thread that runs it frees it (`take`).
//  -  Its task ends before: the task's thread drops it, with what is to run at the end (`EndCallbacks`).
//  -  Its token is freed before: it holds no reference to the token, so that this can happen, and whoever
//     frees the token drops it.

extension CancelCallback {
  /// Gives up the registration of a callback that stays registered; waits for nothing.
  static func detach(_ callback: Pointer) {
    let owner = callback.pointee.owner
    // Kept here until the end of this call, as the callback may be run and freed meanwhile.
    if case .task(let task) = owner { task.retainHandle() }
    defer { if case .task(let task) = owner { task.unpin() } }
    let isDetached = owner.withLock { _, _ in
      if callback.pointee.stage != .waiting { return false }
      callback.pointee.isDetached = true
      if case .task(let task) = owner {
        task.registry.pointer.pointee.endCallbacks.wrappingAdd(
          1, ordering: .sequentiallyConsistent)
      }
      return true
    }
    if !isDetached { return giveUp(callback) }
    switch owner {
    case .token(let token), .waits(let token): token.release()
    case .task(let task), .end(let task):
      task.advance { $0.awaited() }
      // Either the end finds it, or this call does.
      if CancelCallback.Owner.end(task).level != .none { dropDetached(of: task) }
    }
  }

  /// Drops the detached callbacks of a task that has ended, but for those that are due: the thread that
  /// raised the level runs these.
  ///
  /// Called on any thread, with a reference to the task, or by the task's own at its end.
  static func dropDetached(of task: TaskReference) {
    let owner = Owner.task(task)
    while !ProcessState.isForkedChild,
      let callback = owner.withLock({ callbacks, _ in
        // Read for each: the record may belong to another task by now.
        Owner.end(task).level == .none ? nil : callbacks.takeDetached(notDueAt: owner.level)
      })
    {
      dropContext(of: callback)
      free(callback)
    }
  }

  /// Drops the callbacks of a token that has no reference left.
  static func dropDetached(ofUnheld token: TokenReference) {
    while let callback = token.monitor.withLock({ _ in
      token.pointer.pointee.callbacks.takeDetached(notDueAt: .none)
    }) {
      dropContext(of: callback)
      freeMemory(of: callback)
    }
  }
}

extension CancelCallbacks {
  /// Takes a detached callback off the list that does not run at `level`, so that it never runs.
  ///
  /// Requires the lock.
  fileprivate func takeDetached(notDueAt level: StopLevel) -> CancelCallback.Pointer? {
    var next = CancelCallback.Pointer(bitPattern: first.load(ordering: .relaxed))
    while let callback = next {
      if callback.pointee.isDetached && level < callback.pointee.level {
        isTaken(detached: callback)
        withdraw(callback)
        return callback
      }
      next = callback.pointee.next
    }
    return nil
  }

  /// Notes that a detached callback is on no list any more.
  ///
  /// Requires the lock.
  func isTaken(detached callback: CancelCallback.Pointer) {
    callback.pointee.isDetached = false
    if case .task(let task) = callback.pointee.owner {
      task.registry.pointer.pointee.endCallbacks.wrappingSubtract(
        1, ordering: .sequentiallyConsistent)
    }
  }
}
