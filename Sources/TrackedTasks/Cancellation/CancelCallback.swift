import CPlatform
import Synchronization

// LOCKING
// The callbacks of a token are guarded by the token's Monitor, those of a task by its registry's.
// No callback and no drop runs under it. The thread that takes a callback off its list, under the
// lock, runs it, or only its drop.
//
// A callback can be over before the call that registers it returns: another thread cancels, and the
// function removes its own registration. So three can hold a callback, and the last one to release
// it frees it (K2).

/// A function to be called when a token or a task is cancelled, with the semantics of C++20's
/// `std::stop_callback` (ISO C++ [stopcallback]).
///
/// K1: on the list exactly while `waiting`; taken off it once.
/// K2: `holders` counts the registration, until it is removed; the call that registers, until its
///     last access to the callback; and the thread that runs it, until it has run. The last one
///     frees it.
struct CancelCallback {
  let function: CancelFunction
  /// Its argument; of one in a list of waits, the `ConditionWait`, guarded by the waker's Monitor.
  var context: UnsafeMutableRawPointer?
  let drop: TaskDrop?
  /// What it is registered with; a reference is held.
  let owner: Owner
  /// The level at which it runs.
  let level: StopLevel

  // Guarded by the owner's Monitor.
  var stage = Stage.waiting
  var previous: Pointer?
  var next: Pointer?
  /// The thread that runs it, while `running`.
  var runner = pthread_t()
  /// Whether its drop has been called; owned by the thread that took it off the list.
  fileprivate var isDropped = false
  /// How many hold it: at first the registration and the call that registers (K2).
  var holders = 2

  typealias Pointer = UnsafeMutablePointer<CancelCallback>

  /// What a callback is registered with.
  enum Owner {
    case token(TokenReference)
    case task(TaskReference)
    /// The waits on condition variables that the token ends; what runs is the library's own.
    case waits(TokenReference)
  }

  /// How far a callback has got.
  enum Stage {
    /// The stage while it is on the list.
    case waiting
    /// The stage while it runs.
    case running
    /// The stage once it has run, or was removed before it could.
    case ended
  }

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
}

/// The C shape of a callback.
typealias CancelFunction = @convention(c) (UnsafeMutableRawPointer?) -> Void

extension CancelCallback {
  /// Registers a function, or calls it at once if the flag is up already.
  ///
  /// - Parameters:
  ///   - function: what to call.
  ///   - context: its argument.
  ///   - drop: frees the context, once, after the function or without it; not called if memory is
  ///     short.
  ///   - owner: the token or task, to which the caller has a reference.
  ///   - level: the level at which it runs.
  ///   - publish: called before the function can run, with the callback, or with nil if it is
  ///     called at once: then there is no registration to remove.
  /// - Returns: `.ok`; `.cancelled` if the function was called by this thread, before this
  ///   returned; `.noMemory`.
  static func register(
    _ function: CancelFunction, _ context: UnsafeMutableRawPointer?, drop: TaskDrop?,
    with owner: Owner, at level: StopLevel = .drain, publish: (Pointer?) -> Void
  ) -> Status {
    guard let memory = malloc(MemoryLayout<CancelCallback>.size) else { return .noMemory }
    let callback = memory.bindMemory(to: CancelCallback.self, capacity: 1)
    owner.retain()
    callback.initialize(
      to: CancelCallback(
        function: function, context: context, drop: drop, owner: owner, level: level))
    publish(callback)
    owner.withLock { callbacks, _ in callbacks.add(callback) }
    let isReached = owner.level >= level
    // The cancelling thread may have looked before it was listed. If it found the callback, it runs
    // it there, or has run it.
    let (isMine, isLast) = owner.withLock { callbacks, _ in
      if isReached && callback.pointee.stage == .waiting {
        callbacks.take(callback)
        // There will be no registration to remove.
        callback.pointee.holders = callback.pointee.holders - 1
        return (true, letGo(of: callback))
      }
      return (false, letGo(of: callback))
    }
    if isMine {
      publish(nil)
      run(callback)
      return .cancelled
    }
    if isLast { free(callback) }
    return .ok
  }

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
  fileprivate static func dropContext(of callback: Pointer) {
    if callback.pointee.isDropped { return }
    callback.pointee.isDropped = true
    callback.pointee.drop?(callback.pointee.context)
  }

  /// Marks a callback as run, and releases it for the thread that ran it.
  fileprivate static func hasRun(_ callback: Pointer) {
    let owner = callback.pointee.owner
    let isLast = owner.withLock { _, waiters in
      callback.pointee.stage = .ended
      waiters.wake(UInt(bitPattern: callback))
      return letGo(of: callback)
    }
    // Otherwise it may be freed by now.
    if isLast { free(callback) }
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
        return pthread_equal(callback.pointee.runner, pthread_self()) == 0 ? .waited : .hasRun
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

  /// Releases a callback for one of its holders.
  ///
  /// Requires the lock.
  ///
  /// - Returns: whether it was the last, which then frees the callback without the lock.
  private static func letGo(of callback: Pointer) -> Bool {
    // Assignments here, not `-=`: ThreadSanitizer takes that for an access to the whole callback,
    // whose first fields the runner reads without the lock.
    callback.pointee.holders = callback.pointee.holders - 1
    return callback.pointee.holders == 0
  }

  private static func free(_ callback: Pointer) {
    let owner = callback.pointee.owner
    callback.deinitialize(count: 1)
    if HandleCheck.isOn {
      HandleCheck.keep(.registration, callback)
    } else {
      CPlatform.free(callback)
    }
    owner.release()
  }
}
