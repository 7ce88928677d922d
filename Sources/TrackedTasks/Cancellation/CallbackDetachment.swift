import CPlatform
import Synchronization

// LOCKING: see `CancelCallback.swift`. No drop runs under a lock.

// A callback whose registration was given up without a removal stays on the list (K3), and leaves
// it in one of three ways:
//
//  -  Its level is reached: it runs, and the thread that runs it frees it (`take`).
//  -  Its task ends before: the task's thread drops it, after the end, with what is to run then
//     (`EndCallbacks`). Whoever detaches it reads the stage after that, so one of the two finds it.
//  -  Its token is gone before: it holds no reference to the token, so that this can happen. Whoever
//     releases the last reference drops it, if the application's code may run there; else an event
//     thread does (`TokenEnd`).
//
// A level that has risen is reached for good: who raised it runs what is due, holding a reference
// to the task. A token that was cancelled may be gone before that, as a walk holds each for a moment
// only; then what is due runs where it would be dropped.

extension CancelCallback {
  /// Gives up the registration of a callback that stays registered; waits for nothing.
  ///
  /// Called where the application's code may run: it may release the last reference to the token.
  static func detach(_ callback: Pointer) {
    let owner = callback.pointee.owner
    if case .task(let task) = owner { task.retainHandle() }
    let (isWaiting, isLast) = owner.withLock { _, _ in
      let isWaiting = callback.pointee.stage == .waiting
      if isWaiting {
        switch owner {
        case .token: callback.pointee.isDetached = true
        case .task(let task):
          callback.pointee.isDetached = true
          task.registry.pointer.pointee.endCallbacks.wrappingAdd(
            1, ordering: .sequentiallyConsistent)
        // It runs at the end, which comes.
        case .end, .waits: break
        }
      }
      // While it is on the list, nothing but taking it off frees it.
      return (isWaiting, letGo(of: callback) && !isWaiting)
    }
    if isLast { free(callback) }
    switch owner {
    case .token(let token):
      if isWaiting { token.release(callsApplication: true) }
    case .task(let task):
      if isWaiting {
        task.advance { $0.awaited() }
        // Either the end finds it, or this call does.
        if Owner.end(task).level != .none { dropDetached(of: task) }
      }
      if !ProcessState.isForkedChild { task.unpin() }
    case .end, .waits: break
    }
  }

  /// Drops the detached callbacks of a task that has ended, but for those that are due: the thread
  /// that raised the level runs these.
  ///
  /// Called on any thread, with a reference to the task, or by the task's own at its end.
  static func dropDetached(of task: TaskReference) {
    let owner = Owner.task(task)
    while let callback = owner.withLock({ callbacks, _ in
      // Read for each: the record may belong to another task by now.
      Owner.end(task).level == .none ? nil : callbacks.takeDetached(notDueAt: owner.level)
    }) {
      dropAndFree(callback)
      if ProcessState.isForkedChild { return }
    }
  }

  /// Runs the callbacks of a token that are due at its level, and drops the others.
  ///
  /// The caller has the only reference, so that all of them are detached.
  static func settleAll(of token: TokenReference) {
    let level = token.level
    Owner.token(token).runCallbacks(at: level)
    while !ProcessState.isForkedChild,
      let callback = token.monitor.withLock({ _ in
        token.pointer.pointee.callbacks.takeDetached(notDueAt: level, keepingDetached: true)
      })
    {
      dropAndFree(callback)
    }
  }

  /// Calls the drop of a callback that was taken off its list without having run, and frees it.
  private static func dropAndFree(_ callback: Pointer) {
    withCancellationDisabled {
      CallFrame.call(
        .callback, callback,
        {
          // SAFETY: it is the callback of this very call, in both functions.
          CancelCallback.dropContext(
            of: $0.unsafelyUnwrapped.assumingMemoryBound(to: CancelCallback.self))
        },
        ifLeft: {
          CancelCallback.free($0.unsafelyUnwrapped.assumingMemoryBound(to: CancelCallback.self))
        })
    }
    if !ProcessState.isForkedChild { free(callback) }
  }
}

extension CancelCallbacks {
  /// Takes a detached callback off the list that does not run at `level`, so that it never runs.
  ///
  /// Requires the lock.
  ///
  /// - Parameters:
  ///   - level: at which it does not run.
  ///   - keepsDetached: whether it gets no reference to its owner, which is ending.
  /// - Returns: the callback; nil if there is none.
  fileprivate func takeDetached(
    notDueAt level: StopLevel, keepingDetached keepsDetached: Bool = false
  ) -> CancelCallback.Pointer? {
    var next = CancelCallback.Pointer(bitPattern: first.load(ordering: .relaxed))
    while let callback = next {
      if callback.pointee.isDetached && level < callback.pointee.level {
        if !keepsDetached { attach(callback) }
        withdraw(callback)
        return callback
      }
      next = callback.pointee.next
    }
    return nil
  }
}
