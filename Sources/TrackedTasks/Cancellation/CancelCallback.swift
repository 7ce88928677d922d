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

/// A function to be called when a token or a task is cancelled, or when a task has ended, with the
/// semantics of C++20's `std::stop_callback` (ISO C++ [stopcallback]).
///
///     waiting → running → ended
///
///     waiting → running [take, takeFirst]: the level was reached; the thread that takes it runs it
///     running → ended   [hasRun]: the function and the drop have returned, or ended the thread
///     waiting → ended   [withdraw]: its registration was removed first; only the drop is called
///
/// K1: on the list exactly while `waiting`; taken off it once.
/// K2: `holders` counts the registration, until it is removed or given up; the call that registers,
///     until its last access to the callback; and the thread that runs it, until it has run. The
///     last one frees it, unless it is on the list: then whoever takes it off does.
/// K3: one that is detached is on the list, has no registration and, if its owner is a token, no
///     reference to it.
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
  var runner = cp_thread(0)
  /// Whether its registration was given up while it stays on the list (K3); see `detach`.
  var isDetached = false
  /// Whether its drop has been called; owned by the thread that took it off the list.
  var isDropped = false
  /// How many hold it: at first the registration and the call that registers (K2).
  var holders = 2

  typealias Pointer = UnsafeMutablePointer<CancelCallback>

  /// Whether it runs at the end of a task, and not at its cancellation.
  var isForEnd: Bool { if case .end = owner { true } else { false } }

  /// What a callback is registered with.
  enum Owner {
    case token(TokenReference)
    case task(TaskReference)
    /// The end of a task, which is all that the callback is for; its level is abort from then on.
    case end(TaskReference)
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
}

/// The C shape of a callback.
typealias CancelFunction = @convention(c) (UnsafeMutableRawPointer?) -> Void

extension CancelCallback {
  /// Releases a callback for one of its holders.
  ///
  /// Requires the lock.
  ///
  /// - Returns: whether it was the last, which then frees the callback without the lock.
  static func letGo(of callback: Pointer) -> Bool {
    // Assignments here, not `-=`: ThreadSanitizer takes that for an access to the whole callback,
    // whose first fields the runner reads without the lock.
    callback.pointee.holders = callback.pointee.holders - 1
    return callback.pointee.holders == 0
  }

  /// Frees a callback that nobody holds, and releases its owner; called without the lock.
  static func free(_ callback: Pointer) {
    // Only while its token ends is a callback freed that is detached (K3).
    let owner = callback.pointee.isDetached ? nil : callback.pointee.owner
    callback.deinitialize(count: 1)
    if HandleCheck.isOn {
      HandleCheck.keep(.registration, callback)
    } else {
      CPlatform.free(callback)
    }
    owner?.release()
  }
}
