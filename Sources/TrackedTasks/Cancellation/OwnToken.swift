import Synchronization

// LOCKING
// This file has no lock of its own. `ownToken` in the activity is written by the task's own thread
// before the callbacks are registered, and taken by the threads that run them, under the lock of
// the registry's Monitor in both cases; it does not change until the record has another task. Each
// callback holds a reference to the token and one to the task.

/// A token of the task's own, for code that takes a token and knows no task (C18).
///
/// If the registry's token asks the task to stop, the task's is a child of it: it is cancelled with
/// it, with the same reason, before any callback runs. Whatever else raises the level raises that
/// of the task alone: `cancel`, a phase of a shutdown, a deadline, a second signal. Two callbacks
/// of the task, one for each level, then cancel the token.
extension TaskReference {
  /// The token, which is created by the first call; the task holds a reference until its body is
  /// over.
  ///
  /// Called on the task's own thread.
  ///
  /// - Returns: the status, and the token if it is `.ok`; `.invalid` if the body is over.
  func ownToken() -> (Status, TokenReference?) {
    let word = self.word
    if word.stage != .running {
      return (.invalid("tr_task_token", "the body of the task is over"), nil)
    }
    let traits = word.hasOptionalState ? self.traits : []
    let activity = self.activity
    var kept = traits.contains(.ownsToken) ? keptToken : nil
    if kept == nil {
      let isAskedByToken = !word.isCleanup && traits.phase == 0
      let (status, made) = TokenReference.create(childOf: isAskedByToken ? registry.token : nil)
      guard let made else { return (status, nil) }
      activity.pointee.ownToken.store(UInt(bitPattern: made.pointer), ordering: .relaxed)
      activity.pointee.drainCallback.store(0, ordering: .relaxed)
      activity.pointee.abortCallback.store(0, ordering: .relaxed)
      add(.ownsToken)
      advance { $0.optionalStateAdded() }
      kept = made
    }
    guard let token = kept else { return (.noMemory, nil) }
    // If memory is short the token stays, as a callback may be using it already; the next call
    // registers what is missing.
    let drains = follow(
      .drain, token, activity.pointee.drainCallback.load(ordering: .relaxed),
      { TaskReference.cancelOwnToken(of: $0, .drain) },
      publish: { activity.pointee.drainCallback.store($0, ordering: .relaxed) })
    let aborts = follow(
      .abort, token, activity.pointee.abortCallback.load(ordering: .relaxed),
      { TaskReference.cancelOwnToken(of: $0, .abort) },
      publish: { activity.pointee.abortCallback.store($0, ordering: .relaxed) })
    return drains && aborts ? (.ok, token) : (.noMemory, nil)
  }

  /// What stands for a callback that was called as it was registered.
  private static var hasRun: UInt { 1 }

  /// Registers one of the callbacks, which holds a reference to the token, unless it is registered.
  ///
  /// - Parameters:
  ///   - level: the level at which it runs.
  ///   - token: the task's own.
  ///   - registered: the callback, as bits, or `hasRun`; 0 if it is not registered.
  ///   - function: the callback.
  ///   - publish: stores `registered`.
  /// - Returns: whether it is registered now; memory was short if not.
  private func follow(
    _ level: StopLevel, _ token: TokenReference, _ registered: UInt, _ function: CancelFunction,
    publish: (UInt) -> Void
  ) -> Bool {
    if registered != 0 { return true }
    token.retain()
    let status = CancelCallback.register(
      function, UnsafeMutableRawPointer(pointer),
      drop: { TaskReference(context: $0).keptToken?.release() },
      with: .task(self), at: level,
      publish: { publish($0.map { UInt(bitPattern: $0) } ?? Self.hasRun) })
    if status == .noMemory { token.release() }
    return status != .noMemory
  }

  /// SAFETY: the task, to which the callback with this context holds a reference.
  private init(context: UnsafeMutableRawPointer?) {
    self.init(context.unsafelyUnwrapped.assumingMemoryBound(to: TaskRecord.self))
  }

  /// The token that was created, without a reference.
  private var keptToken: TokenReference? {
    let bits = activity.pointee.ownToken.load(ordering: .relaxed)
    return UnsafeMutablePointer<TokenStorage>(bitPattern: bits).map { TokenReference($0) }
  }

  /// Gives up the callbacks, as the body is over.
  ///
  /// Called on the task's own thread. If the level has risen already, the thread that raised it
  /// cancels the token, also if that is after this.
  ///
  /// - Returns: the token, with the task's reference, which is released once the task has ended.
  func giveUpOwnToken() -> TokenReference? {
    let activity = self.activity
    Self.retire(activity.pointee.drainCallback.exchange(0, ordering: .relaxed))
    Self.retire(activity.pointee.abortCallback.exchange(0, ordering: .relaxed))
    return keptToken
  }

  private static func retire(_ registered: UInt) {
    if registered == hasRun { return }
    if let callback = CancelCallback.Pointer(bitPattern: registered) {
      CancelCallback.retire(callback)
    }
  }

  /// Cancels the token of a task whose level has risen, with the reason of the registry's token if
  /// that is cancelled.
  private static func cancelOwnToken(of context: UnsafeMutableRawPointer?, _ level: StopLevel) {
    let task = TaskReference(context: context)
    guard let token = task.keptToken else { return }
    let source = task.registry.token
    let own = task.word.isOverdue ? CancelReason.deadline : CancelReason.none
    source.withMessage { message, _ in
      _ = token.cancel(reason: source.isCancelled ? source.reason : own, message: message, level)
    }
  }
}
