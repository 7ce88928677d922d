import CPlatform
import Synchronization

/// A spawn, or an adoption, as the boundary passes it: checked, and with nothing left to copy but
/// the name.
struct SpawnRequest {
  var name: TaskName
  var kind: UInt32
  var body: TaskBody?
  var context: UnsafeMutableRawPointer?
  var drop: TaskDrop?
  /// Bytes, a multiple of the page size; nil: the registry's.
  var stackSize: Int?
  var isCleanup = false
  var wantsFreshThread = false
  /// What its end means for the registry.
  var traits: TaskTraits = []
  /// The signal that interrupts its system calls once it is asked to stop; 0: none.
  var cancelSignal: Int32 = 0
  /// The heartbeat interval in nanoseconds; 0: no heartbeats.
  var heartbeat: Int64 = 0
  /// The first bytes of what its thread is called, if the traits say `namedThread`.
  var threadName: (UInt64, UInt64) = (0, 0)
  /// Why and when it runs again, if the traits say `startsAgain`; valid during the spawn.
  var again: UnsafePointer<RunPolicy>?
  /// How its thread is scheduled, if the traits say `scheduled`.
  var scheduling = SchedulingWish()
  /// Whether its first run begins later, as its schedule says.
  var waitsFirst = false
  /// The address to which the spawn returns; 0: not known.
  var spawnedFrom: UInt = 0
  /// Whether the caller gets a handle.
  var wantsHandle = false
  /// Whether it is one of several attempts: that there is no room is then no rejection (S8).
  var triesAgain = false

  /// Whether it needs optional state, as most tasks do not; see `OptionalState`.
  @inline(__always)
  var hasOptionalState: Bool { cancelSignal != 0 || !traits.isEmpty }

  /// Whether the token does not raise its flag: clean-up tasks (S5), and tasks of later phases
  /// (E5).
  @inline(__always)
  var outlastsToken: Bool { isCleanup || traits.phase != 0 }
}

extension RegistryReference {
  /// Admits a task and gives it a thread.
  ///
  /// Closing and spawning meet in two words. The gate word decides whether the task is admitted
  /// (S5). Whether it starts with its flag up is decided twice: from the gate word that admitted
  /// it, and again from the gate *after* its own word is published. A canceller writes the gate
  /// first and then visits all published words. All four accesses are sequentially consistent, so
  /// one of the two sees the other, and no task misses its flag (C3).
  ///
  /// - Returns: the status, and the handle if one was asked for and the status is `.ok`.
  @inline(__always)
  func spawn(_ request: borrowing SpawnRequest) -> (Status, TaskReference?) {
    if ProcessState.isForkedChild { return (.forked, nil) }
    return enter(request) { task, request in
      if request.waitsFirst {
        task.runs.restFirst()
        return .ok
      }
      return parent == nil
        ? dispatch(task, stackSize: request.stackSize, fresh: request.wantsFreshThread)
        : root.dispatch(
          task, stackSize: stackSize(for: request), fresh: request.wantsFreshThread)
    }
  }

  /// Admits a task, as `spawn` does, and calls `giveThread` once it is published.
  ///
  /// - Parameters:
  ///   - request: the task.
  ///   - giveThread: gives it a thread; unless it returns `.ok`, the task is withdrawn.
  /// - Returns: as `spawn`.
  @inline(__always)
  func enter(
    _ request: borrowing SpawnRequest,
    _ giveThread: (TaskReference, borrowing SpawnRequest) -> Status
  ) -> (Status, TaskReference?) {
    guard let task = pointer.pointee.records.take(for: self) else {
      return (reject(request, .noMemory), nil)
    }
    if request.hasOptionalState || pointer.pointee.givesOptionalState {
      let status = task.prepareOptionalState(request)
      if status != .ok {
        pointer.pointee.records.release(task)
        return (reject(request, status), nil)
      }
    }
    let (admission, gate) = admit(isCleanup: request.isCleanup)
    if admission != .ok {
      task.releaseOptionalState()
      pointer.pointee.records.release(task)
      return (reject(request, admission), nil)
    }
    if pointer.pointee.isMeasured { measureSpawn(kind: request.kind) }
    initialize(task, from: request, gate)
    let level = self.gate.levelOfNewborn(outlastsToken: request.outlastsToken)
    if level != .none { task.raiseFlag { $0.asked(level) } }
    let phase = request.traits.phase
    if phase != 0 {
      phasedTaskBegins(phase)
      if !request.isCleanup && asksNewborn(of: phase) {
        task.raiseFlag { $0.asked(wasAborted(phase) ? .abort : .drain) }
      }
    }
    if request.traits.contains(.unjoined) { unjoinedTaskBegins(phase) }
    let status = giveThread(task, request)
    if status != .ok {
      let reason = cp_errno()
      withdraw(task, hasHandle: request.wantsHandle)
      _ = reject(request, status, error: reason)
      // The errno of pthread_create; the log callback may have changed it.
      cp_set_errno(reason)
      return (status, nil)
    }
    return (.ok, request.wantsHandle ? task : nil)
  }

  /// The stack size for a task of a group, in the form in which the root registry takes it.
  func stackSize(for request: borrowing SpawnRequest) -> Int? {
    if parent == nil { return request.stackSize }
    let wanted = request.stackSize ?? options.stackSize
    return request.stackSize == nil && wanted == root.options.stackSize ? nil : wanted
  }

  /// Counts the task here and in the ancestors, unless one of them is closed or full.
  @inline(__always)
  private func admit(isCleanup: Bool) -> (Status, GateWord) {
    let (status, gate) = admitHere(isCleanup: isCleanup)
    if status != .ok || parent == nil { return (status, gate) }
    return (admitAbove(isCleanup: isCleanup), gate)
  }

  /// Counts a task of this group in the ancestors; if one rejects it, it is counted nowhere (S5,
  /// S6).
  private func admitAbove(isCleanup: Bool) -> Status {
    var next = parent
    while let registry = next {
      let (status, _) = registry.admitHere(isCleanup: isCleanup)
      if status != .ok {
        countUpwards(.none, until: registry)
        forEachUpwards(until: registry) { $0.wakeJoinersIfEmpty() }
        return status
      }
      next = registry.parent
    }
    return .ok
  }

  @inline(__always)
  private func admitHere(isCleanup: Bool) -> (Status, GateWord) {
    var old = gate
    while true {
      // A token is seen as cancelled before it has closed every gate (C1).
      let isClosing = old.isClosed || token.isCancelled
      let mayPass = isCleanup && isClosing && Worker.currentTask?.registry.isWithin(self) == true
      if isClosing && !mayPass { return (.closed, old) }
      let limit = pointer.pointee.maxTasks.load(ordering: .relaxed)
      let ended = limit == 0 ? 0 : pointer.pointee.endings.total
      switch old.admit(mayPassClosed: mayPass, ended: ended, limit: limit) {
      case .closed: return (.closed, old)
      case .full: return (.limit, old)
      case .admitted(let new):
        let (done, seen) = pointer.pointee.gate.compareExchange(
          expected: old.bits, desired: new.bits, ordering: .sequentiallyConsistent)
        if done { return (.ok, new) }
        old = GateWord(bits: seen)
      }
    }
  }

  /// Writes the task into its record and publishes it.
  ///
  /// See LOCKING in `TaskRecord.swift` for the order.
  @inline(__always)
  private func initialize(
    _ task: TaskReference, from request: borrowing SpawnRequest, _ gate: GateWord
  ) {
    let record = task.pointer
    let now = monotonicNow()
    let level = gate.levelOfNewborn(outlastsToken: request.outlastsToken)
    let flagged = level != .none
    record.pointee.id.store(ProcessState.nextID(), ordering: .releasing)
    atomicMemoryFence(ordering: .releasing)
    for i in 0..<8 { record.pointee.name.store(request.name.words[i], at: i) }
    record.pointee.spawnedAt.store(now, ordering: .relaxed)
    record.pointee.kind.store(request.kind, ordering: .relaxed)
    record.pointee.parent.store(Worker.currentTask?.id ?? 0, ordering: .relaxed)
    record.pointee.spawnedFrom.store(request.spawnedFrom, ordering: .relaxed)
    record.pointee.body = request.body
    record.pointee.context = request.context
    record.pointee.drop = request.drop
    let leftover = TaskWord(bits: record.pointee.word.load(ordering: .relaxed))
    if flagged || leftover.isCancelRequested {
      record.pointee.cancelledAt.store(flagged ? now : 0, ordering: .relaxed)
      record.pointee.cancelChecks.store(0, ordering: .relaxed)
    }
    if request.wantsHandle || parent != nil { retainStorage() }
    let word = TaskWord.admitted(
      cleanup: request.isCleanup, level: level, handle: request.wantsHandle,
      inGroup: parent != nil,
      optionalState: request.hasOptionalState || pointer.pointee.givesOptionalState)
    _ = record.pointee.word.exchange(word.bits, ordering: .sequentiallyConsistent)
  }

  /// Withdraws a task for which the system refused a thread (S6).
  private func withdraw(_ task: TaskReference, hasHandle: Bool) {
    if task.word.hasOptionalState {
      let phase = task.traits.phase
      let isUnjoined = task.isUnjoined
      task.releaseOptionalState()
      if isUnjoined { unjoinedTaskEnds(phase) }
      if phase != 0 { phasedTaskEnds(phase) }
    }
    if isMeasured { unmeasureSpawn(kind: task.kind) }
    if hasHandle { task.unpin() }
    countUpwards(.none)
    let before = task.advance { $0.withdrawn() }
    task.wakeWaiters(before, in: self)
    forEachUpwards { $0.wakeJoinersIfEmpty() }
    // Nobody has a handle, but a wait of `async` code finds its tasks in the list.
    if before?.isAwaited == true && task.hasEndCallbacks {
      EndCallbacks.run(for: task, isOwnThread: false)
    }
  }

  /// Whether the registry is closed and its last task has ended.
  ///
  /// Its log receives no further event then, and the log's context may be gone (O2).
  var isFinished: Bool { (gate.isClosed || token.isCancelled) && isEmpty }

  /// Counts and reports a rejected spawn (O2, J8).
  ///
  /// - Parameters:
  ///   - request: the task.
  ///   - status: why it is rejected.
  ///   - error: the errno of the system, for `.system`.
  /// - Returns: `status`.
  func reject(_ request: borrowing SpawnRequest, _ status: Status, error: Int32 = 0) -> Status {
    if request.triesAgain && status == .limit { return status }
    forEachUpwards { $0.pointer.pointee.rejected.wrappingAdd(1, ordering: .relaxed) }
    if isMeasured { measureRejection(kind: request.kind) }
    if !options.log.isListening || isFinished { return status }
    let code = status.rawValue
    let kind = request.kind
    request.name.withText { name in
      withFixedText {
        $0.append("spawn rejected: ")
        $0.append(status.text)
        if status == .system {
          $0.append(" (error ")
          $0.append(error)
          // What container runtimes did when clone3 was new. Of ENOSYS the C library makes clone.
          if error == EPERM {
            $0.append("; a filter of system calls (seccomp) has to refuse clone3 with ENOSYS")
          }
          $0.append(")")
        }
      } _: {
        options.log.send(
          LogRecord(
            level: LogEventNumber.warning, event: LogEventNumber.spawnRejected, kind: kind,
            code: code, task: name, message: $0, registry: self))
      }
    }
    return status
  }
}

extension TaskReference {
  /// Records the worker that is to run the task.
  @inline(__always)
  func assign(to worker: Worker.Pointer) {
    let bits = UInt(bitPattern: worker)
    if pointer.pointee.worker.load(ordering: .relaxed) != bits {
      pointer.pointee.worker.store(bits, ordering: .releasing)
    }
  }
}
