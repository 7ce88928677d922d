import CPlatform
import Synchronization

// LOCKING: see `CancelCallback.swift`.

/// The callbacks of one token or task; see LOCKING.
struct CancelCallbacks: ~Copyable {
  // atomic: the first of the list, as bits. Changed under the lock; read without it to avoid taking
  // the lock in vain. Sequentially consistent: a registering thread changes it and then reads the
  // flag, a cancelling thread raises the flag and then reads it.
  let first = Atomic<UInt>(0)

  /// Whether the list is empty, as seen without the lock.
  @inline(__always)
  var isEmpty: Bool { first.load(ordering: .sequentiallyConsistent) == 0 }

  // Not a LinkedList: its first element is read without the lock, by every cancellation. A list
  // with both ends, and an atomic flag beside it that is kept equal, would cost the record of each
  // task two words more.

  /// Requires the lock.
  func add(_ callback: CancelCallback.Pointer) {
    let bits = first.load(ordering: .relaxed)
    callback.pointee.next = CancelCallback.Pointer(bitPattern: bits)
    callback.pointee.next?.pointee.previous = callback
    first.store(UInt(bitPattern: callback), ordering: .sequentiallyConsistent)
  }

  /// Takes a waiting callback off the list, so that it never runs.
  ///
  /// Requires the lock.
  func withdraw(_ callback: CancelCallback.Pointer) {
    remove(callback)
    callback.pointee.stage = .ended
  }

  private func remove(_ callback: CancelCallback.Pointer) {
    let next = callback.pointee.next
    next?.pointee.previous = callback.pointee.previous
    if let previous = callback.pointee.previous {
      previous.pointee.next = next
    } else {
      first.store(UInt(bitPattern: next), ordering: .sequentiallyConsistent)
    }
    callback.pointee.previous = nil
    callback.pointee.next = nil
  }

  /// Takes the latest callback that runs at `level`, or at the end of a task, off the list, for the
  /// calling thread to run.
  ///
  /// Requires the lock.
  func takeFirst(at level: StopLevel, ofEnd: Bool = false) -> CancelCallback.Pointer? {
    var next = CancelCallback.Pointer(bitPattern: first.load(ordering: .relaxed))
    while let callback = next {
      if callback.pointee.isForEnd == ofEnd && level >= callback.pointee.level {
        take(callback)
        return callback
      }
      next = callback.pointee.next
    }
    return nil
  }

  /// Takes a waiting callback off the list, for the calling thread to run.
  ///
  /// Requires the lock.
  func take(_ callback: CancelCallback.Pointer) {
    remove(callback)
    callback.pointee.stage = .running
    callback.pointee.runner = cp_thread_self()
    callback.pointee.holders = callback.pointee.holders + 1
    attach(callback)
  }

  /// Gives a callback that leaves the list the reference to its owner that it gave up, if it is
  /// detached.
  ///
  /// Requires the lock, and a reference to the owner.
  func attach(_ callback: CancelCallback.Pointer) {
    if !callback.pointee.isDetached { return }
    callback.pointee.isDetached = false
    switch callback.pointee.owner {
    case .token(let token): token.retain()
    case .task(let task):
      task.registry.pointer.pointee.endCallbacks.wrappingSubtract(
        1, ordering: .sequentiallyConsistent)
    case .end, .waits: break
    }
  }
}

extension CancelCallback.Owner {
  /// Changes the owner's callbacks under the lock that guards them.
  func withLock<Result>(
    _ body: (borrowing CancelCallbacks, inout WaiterList) -> Result
  ) -> Result {
    switch self {
    case .token(let token):
      token.monitor.withLock { body(token.pointer.pointee.callbacks, &$0.waiters) }
    case .waits(let token):
      token.monitor.withLock { body(token.pointer.pointee.waits, &$0.waiters) }
    case .task(let task), .end(let task):
      task.registry.monitor.withLock { body(task.pointer.pointee.callbacks, &$0.waiters) }
    }
  }

  func wait(for key: UInt, until isReady: () -> Bool) {
    switch self {
    case .token(let token), .waits(let token):
      _ = token.monitor.wait(for: key, until: .never, isCancellable: false, isReady: isReady)
    case .task(let task), .end(let task):
      _ = task.registry.monitor.wait(
        for: key, until: .never, isCancellable: false, isReady: isReady)
    }
  }

  /// The level whose callbacks may run: the flags of everything below show it.
  ///
  /// A token that is cancelled but not propagated yet is left to the thread that cancels it, which
  /// checks for callbacks after that.
  var level: StopLevel {
    switch self {
    case .token(let token): token.monitor.withLock { $0.propagated }
    case .waits(let token): token.level
    case .task(let task):
      TaskWord(bits: task.pointer.pointee.word.load(ordering: .sequentiallyConsistent)).level
    case .end(let task):
      TaskWord(bits: task.pointer.pointee.word.load(ordering: .sequentiallyConsistent)).stage
        == .ended ? .abort : .none
    }
  }

  func retain() {
    switch self {
    case .token(let token), .waits(let token): token.retain()
    case .task(let task):
      task.retainHandle()
      task.registry.pointer.pointee.taskCallbacks.wrappingAdd(1, ordering: .sequentiallyConsistent)
    case .end(let task):
      task.retainHandle()
      task.registry.pointer.pointee.endCallbacks.wrappingAdd(1, ordering: .sequentiallyConsistent)
    }
  }

  func release() {
    switch self {
    case .token(let token): token.release(callsApplication: true)
    case .waits(let token): token.release()
    case .task(let task):
      task.registry.pointer.pointee.taskCallbacks.wrappingSubtract(
        1, ordering: .sequentiallyConsistent)
      task.unpin()
    case .end(let task):
      task.registry.pointer.pointee.endCallbacks.wrappingSubtract(
        1, ordering: .sequentiallyConsistent)
      task.unpin()
    }
  }

  /// Runs all callbacks that are waiting for the level, one after the other (C7).
  ///
  /// Called after the level has risen, without any lock.
  func runCallbacks() { runCallbacks(at: level) }

  /// Likewise, for a level that is known to be reached.
  func runCallbacks(at level: StopLevel) {
    while let callback = withLock({ callbacks, _ in callbacks.takeFirst(at: level) }) {
      CancelCallback.run(callback)
      if ProcessState.isForkedChild { return }
    }
  }
}
