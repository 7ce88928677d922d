import CPlatform

// LOCKING: see `CancelCallback.swift`.

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
    if case .end(let task) = owner { task.advance { $0.awaited() } }
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

  /// Registers a function for the end of a task, with no registration to remove.
  ///
  /// - Returns: as `register`.
  static func registerToRun(
    _ function: CancelFunction, _ context: UnsafeMutableRawPointer?, drop: TaskDrop?,
    atEndOf task: TaskReference
  ) -> Status {
    var registered: Pointer?
    let status = register(function, context, drop: drop, with: .end(task)) { registered = $0 }
    if status == .ok, let registered { leaveToRun(registered) }
    return status
  }

  /// Gives up the registration of a callback that runs all the same; what runs it frees it.
  private static func leaveToRun(_ callback: Pointer) {
    let isLast = callback.pointee.owner.withLock { _, _ in
      // While it is on the list, nothing but running it frees it.
      let isWaiting = callback.pointee.stage == .waiting
      return letGo(of: callback) && !isWaiting
    }
    if isLast { free(callback) }
  }
}
