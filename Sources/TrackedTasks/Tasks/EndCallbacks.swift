import Synchronization

// LOCKING
// The callbacks for the end of a task are on one list with those for its cancellation, guarded by its
// registry's Monitor; none runs under it.
//
// The thread that registers one lists it, marks the word as awaited, and then reads whether the
// task has ended. The task's thread ends the task, sees in the word that it is awaited, and then
// reads the list. All of these are sequentially consistent, so one of the two finds the other;
// whoever takes the callback off the list, under the lock, runs it.
//
// After its end the record may belong to another task, unless a callback holds it. So the stage is
// read under the lock for each callback: one that is listed then is of the record's present task.
// If that has ended as well, its callbacks are due, too, and run once, here or there.

/// What is left to do on a thread whose task has ended, when the task was awaited: its callbacks
/// (O4), the drops of those for a cancellation that nobody can remove any more (C7), and the release
/// of its own token and its group.
struct EndCallbacks {
  private let task: TaskReference
  private var registry: RegistryReference?
  private var token: TokenReference?

  /// Runs the callbacks for the end of `task`, inside no task.
  ///
  /// Called on the task's own thread, or on the spawner's if the task got none.
  ///
  /// - Parameters:
  ///   - task: the one that has ended.
  ///   - registry: what the task's thread releases afterwards, also if a callback ends it.
  ///   - token: likewise, the task's own token.
  ///   - isOwnThread: whether this is the task's thread, which runs no task any more.
  @inline(never)
  static func run(
    for task: TaskReference, thenReleasing registry: RegistryReference? = nil,
    _ token: TokenReference? = nil, isOwnThread: Bool = true
  ) {
    if isOwnThread { Worker.current?.pointee.task = nil }
    var rest = EndCallbacks(task: task, registry: registry, token: token)
    withUnsafeMutablePointer(to: &rest) { rest in
      let goOn: CallFrame.Function = {
        // SAFETY: it is `rest`, in both functions; the frames of the callers still exist.
        $0.unsafelyUnwrapped.assumingMemoryBound(to: EndCallbacks.self).pointee.goOn()
      }
      CallFrame.call(.library, rest, goOn, ifLeft: goOn)
    }
  }

  /// Continues where the last call stopped.
  private mutating func goOn() {
    let owner = CancelCallback.Owner.end(task)
    while !task.pointer.pointee.callbacks.isEmpty,
      let callback = owner.withLock({ callbacks, _ in
        owner.level == .none ? nil : callbacks.takeFirst(at: .abort, ofEnd: true)
      })
    {
      Worker.current?.pointee.hasRunCallbacks = true
      CancelCallback.run(callback)
      if ProcessState.isForkedChild { return }
    }
    if !task.pointer.pointee.callbacks.isEmpty { CancelCallback.dropDetached(of: task) }
    if ProcessState.isForkedChild { return }
    if let token {
      self.token = nil
      token.release(callsApplication: true)
      if ProcessState.isForkedChild { return }
    }
    guard let registry else { return }
    self.registry = nil
    registry.releaseAfterTask()
  }
}

extension TaskReference {
  /// Whether functions are registered for the end of the record's task; read after the end.
  @inline(__always)
  var hasEndCallbacks: Bool {
    registry.pointer.pointee.endCallbacks.load(ordering: .sequentiallyConsistent) != 0
      && !pointer.pointee.callbacks.isEmpty
  }
}

extension RegistryReference {
  /// Releases the registry for a thread whose task has ended.
  ///
  /// A group may be freed now, and with it, by the application's code, the log's context. That code
  /// runs inside no task: the record is gone.
  func releaseAfterTask() {
    Worker.current?.pointee.task = nil
    if parent != nil { endIfUnreachable() }
    releaseStorage(callsApplication: true)
  }
}
