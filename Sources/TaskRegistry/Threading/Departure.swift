import CPlatform

// LOCKING
// Whether a thread is joined or detached, and by whom: a worker whose thread departs puts itself on
// the list of the departed. Whoever takes it off, under the lock, owns it, and joins the thread or
// puts it back. Once the registry is orphaned, as nothing can be spawned in it any more
// (`endIfUnreachable`), nobody takes any off, whoever puts one there detaches
// it first, and the `Graveyard` waits for all of them to be gone. Threads are joined and detached
// outside the lock.

/// How threads leave a registry, and what becomes of them.
extension RegistryReference {
  /// The calling worker's thread is about to end: it waits to be joined, or detaches itself.
  ///
  /// Of a crowd that leaves together some may wait for long: what their stacks used is given back
  /// at once.
  func depart(_ worker: Worker.Pointer) {
    if let stack = worker.pointee.stack {
      cp_discard_unused(stack + pageSize, options.stackSize)
    }
    worker.pointee.next = nil
    listDeparted(worker)
  }

  /// Puts workers, linked by `next` and owned by the caller, on the list of the departed.
  private func listDeparted(_ workers: Worker.Pointer) {
    let isOrphaned = monitor.withLock { state in
      if !state.isOrphaned { state.addDeparted(workers) }
      return state.isOrphaned
    }
    if !isOrphaned { return }
    var count = 0
    var worker: Worker.Pointer? = workers
    while let current = worker {
      mustSucceed(pthread_detach(current.pointee.thread))
      count += 1
      worker = current.pointee.next
    }
    monitor.withLock { state in
      state.addDeparted(workers)
      state.forgetThreads(count)
    }
  }

  /// Tells every worker without a task to leave, now and whenever it has none.
  func dismissThreads() {
    var idle = monitor.withLock { state in
      state.isRetiring = true
      return state.takeAllIdle()
    }
    while let worker = idle {
      idle = worker.pointee.next
      post(.leave, to: worker)
    }
  }

  /// Lets go of every thread: nothing will be spawned, and nobody will join them (G3).
  ///
  /// Called once, with a reference to the memory.
  ///
  /// - Returns: whether there are any; then the registry is buried.
  func orphanThreads() -> Bool {
    dismissThreads()
    let (departed, hasThreads) = monitor.withLock { state in
      let departed = state.takeDeparted(atMost: .max)
      state.isOrphaned = true
      return (departed, state.threadCount > 0)
    }
    if let departed { listDeparted(departed) }
    if !hasThreads { return false }
    pointer.pointee.isBuried = true
    Graveyard.bury(self)
    return true
  }

  /// Joins those of the departed that are quite gone.
  ///
  /// Each new thread and each that leaves does it for a few, so that the departed do not pile up.
  ///
  /// - Parameters:
  ///   - limit: how many at the most.
  ///   - leavesToShutdown: whether to leave it to the shutdown, if there is one.
  func reapDeparted(atMost limit: Int, leavesToShutdown: Bool = false) {
    var taken = monitor.withLock { state in
      leavesToShutdown && state.isRetiring ? nil : state.takeDeparted(atMost: limit)
    }
    var lingering: Worker.Pointer?
    while let worker = taken {
      taken = worker.pointee.next
      let code = cp_try_join(worker.pointee.thread)
      if code == EBUSY {
        worker.pointee.next = lingering
        lingering = worker
        continue
      }
      mustSucceed(code)
      if let stack = worker.pointee.stack {
        cp_discard(stack + pageSize, options.stackSize)
      }
      monitor.withLock { state in
        worker.pointee.next = state.spare
        state.spare = worker
        state.forgetThreads(1)
      }
    }
    if let lingering { listDeparted(lingering) }
  }

  /// Joins every thread of the registry, which has no task left, until `deadline` (G4).
  ///
  /// A thread that has departed is on its last instructions, unless a destructor of the
  /// application's holds it up: the first look or the second finds it gone.
  /// (`pthread_clockjoin_np` would wait for it properly, but ThreadSanitizer does not know that
  /// function and reports leaked threads.)
  ///
  /// - Parameters:
  ///   - latest: when to give up.
  ///   - allowance: how long to go on, at the most, when the registry is hurried.
  /// - Returns: how the wait ended, and how many threads are left.
  func joinThreads(
    until latest: Deadline, ifHurried allowance: Int64
  ) -> (end: WaitEnd, left: Int) {
    dismissThreads()
    var deadline = latest
    var wasHurried = false
    let task = Worker.currentTask
    var isLookCounted = false
    var pause: Int64 = 10_000
    while true {
      reapDeparted(atMost: .max)
      let (left, lingers) = monitor.withLock { ($0.threadCount, $0.departed != nil) }
      if left == 0 { return (.ready, 0) }
      if !wasHurried && isHurried {
        wasHurried = true
        let end = Deadline.after(allowance)
        if end.nanoseconds < deadline.nanoseconds { deadline = end }
      }
      if let task, task.word.isCancelRequested {
        if !isLookCounted { task.countLook() }
        return (.cancelled, left)
      }
      if deadline.hasPassed { return (.timedOut, left) }
      if lingers {
        let next = Deadline.after(pause)
        withParker { _ = $0.park(until: next.nanoseconds < deadline.nanoseconds ? next : deadline) }
        pause = min(pause * 2, 1_000_000)
      } else {
        let end = monitor.wait(for: WaitKey.threads, until: deadline) {
          monitor.withLock { $0.threadCount == 0 || $0.departed != nil } || !wasHurried && isHurried
        }
        isLookCounted = end == .cancelled
      }
    }
  }

  /// Whether the calling thread is one of the registry's, be it only in a destructor of its
  /// thread-specific data: joining the threads would wait for itself (J7).
  var isOwnThread: Bool { Worker.currentOrDeparted?.pointee.registry == self }
}

extension RegistryState {
  /// Puts workers, linked by `next`, on the list of the departed.
  fileprivate mutating func addDeparted(_ workers: Worker.Pointer) {
    if departed == nil { departed = workers } else { lastDeparted?.pointee.next = workers }
    var last = workers
    while let next = last.pointee.next { last = next }
    lastDeparted = last
    waiters.wake(WaitKey.threads)
  }

  /// Takes up to `limit` of the workers that departed first; none once orphaned.
  ///
  /// - Returns: the first of them, linked by `next`.
  fileprivate mutating func takeDeparted(atMost limit: Int) -> Worker.Pointer? {
    guard !isOrphaned, limit > 0, let first = departed else { return nil }
    var last = first
    var count = 1
    while count < limit, let next = last.pointee.next {
      last = next
      count += 1
    }
    departed = last.pointee.next
    last.pointee.next = nil
    return first
  }

  /// So many threads were joined or detached, or could not be made (I2).
  mutating func forgetThreads(_ count: Int) {
    threadCount -= count
    if threadCount == 0 { waiters.wake(WaitKey.threads) }
  }
}
