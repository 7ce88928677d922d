import CPlatform

// LOCKING
// A worker whose thread departs puts itself on the list of the departed, which the registry's
// Monitor guards. A thread that takes it off, under the lock, owns it: it makes the worker a spare
// one if its thread has ended (`ThreadLife`), or puts it back. Once the registry is orphaned, when
// nothing can be spawned in it any more (`endIfUnreachable`), nobody takes any off, and the
// DeferredFree waits until all of them are gone. The memory of their stacks is released outside the
// lock.

/// How threads leave a registry, and what becomes of them.
extension RegistryReference {
  /// Puts the calling worker, whose thread is about to end, on the list of the departed.
  ///
  /// In a crowd that leaves together some may wait long to be reaped, so the memory of their stacks
  /// is released at once.
  func depart(_ worker: Worker.Pointer) {
    if let stack = worker.pointee.stack {
      cp_discard_unused(stack + StackArena.guardSize, options.stackSize)
    }
    worker.pointee.next = nil
    monitor.withLock { state in
      state.addDeparted(worker)
      if state.isOrphaned { state.forgetThreads(1) }
    }
  }

  /// Makes every worker leave as soon as it has no task.
  func dismissThreads() {
    dismiss(
      monitor.withLock { state in
        state.isRetiring = true
        return state.takeAllIdle()
      })
  }

  /// Makes every worker without a task leave now.
  func dismissIdle() { dismiss(monitor.withLock { $0.takeAllIdle() }) }

  /// Posts to workers, linked by `next` and on no list, that they are to leave.
  private func dismiss(_ first: Worker.Pointer?) {
    var idle = first
    while let worker = idle {
      idle = worker.pointee.next
      post(.leave, to: worker)
    }
  }

  /// Gives up every thread: nothing will be spawned, and nobody will wait for the threads (G3).
  ///
  /// Called once, with a reference to the memory.
  ///
  /// - Returns: whether there are any; then the registry is buried.
  func orphanThreads() -> Bool {
    dismissThreads()
    let hasThreads = monitor.withLock { state in
      let hasThreads = state.threadCount > 0
      state.isOrphaned = true
      state.forgetThreads(state.departedCount)
      return hasThreads
    }
    if !hasThreads { return false }
    pointer.pointee.isBuried = true
    DeferredFree.bury(self)
    return true
  }

  /// Makes workers whose threads have ended spare ones.
  ///
  /// Each new thread and each that leaves does this for a few, so that the departed do not pile up.
  ///
  /// - Parameters:
  ///   - limit: how many at the most.
  ///   - leavesToShutdown: whether to leave the work to a shutdown that is joining the threads.
  func reapDeparted(atMost limit: Int, leavesToShutdown: Bool = false) {
    var taken = monitor.withLock { state in
      leavesToShutdown && state.isRetiring ? nil : state.takeDeparted(atMost: limit)
    }
    var lingering: Worker.Pointer?
    while let worker = taken {
      taken = worker.pointee.next
      if !worker.pointee.life.pointee.hasEnded {
        worker.pointee.next = lingering
        lingering = worker
        continue
      }
      worker.dropOwnStack()
      if let stack = worker.pointee.stack {
        cp_discard(stack + StackArena.guardSize, options.stackSize)
      }
      giveBack(worker)
    }
    guard let lingering else { return }
    monitor.withLock { state in
      state.addDeparted(lingering)
      if state.isOrphaned { state.forgetThreads(Self.count(lingering)) }
    }
  }

  private static func count(_ workers: Worker.Pointer) -> Int {
    var count = 1
    var worker = workers
    while let next = worker.pointee.next {
      count += 1
      worker = next
    }
    return count
  }

  /// Waits until every thread of the registry, which has no task left but unjoined ones, has ended,
  /// apart from the threads of those (G4, S9).
  ///
  /// A thread that has departed is on its last instructions, unless a destructor of the
  /// application's delays it: the first or second check finds it ended.
  ///
  /// - Parameters:
  ///   - latest: when to give up.
  ///   - allowance: how long to go on, at the most, once the deadline is forced.
  /// - Returns: how the wait ended, and how many threads are left.
  func joinThreads(
    until latest: Deadline, ifForced allowance: Int64
  ) -> (end: WaitEnd, left: Int) {
    dismissThreads()
    var deadline = latest
    var wasForced = false
    let task = Worker.currentTask
    // An adopted thread that shuts down is not waited for by itself (A4).
    let own = task != nil && exemptCaller == task ? 1 : 0
    var isCheckCounted = false
    var pause: Int64 = 10_000
    while true {
      reapDeparted(atMost: .max)
      let (left, lingers) = monitor.withLock {
        ($0.threadCount - $0.unjoinedThreads - own, $0.departed != nil)
      }
      if left == 0 { return (.ready, 0) }
      if !wasForced && isDeadlineForced {
        wasForced = true
        let end = Deadline.after(allowance)
        if end.nanoseconds < deadline.nanoseconds { deadline = end }
      }
      if let task, task.isWaitOver {
        if !isCheckCounted { task.countCancelCheck() }
        return (.cancelled, left)
      }
      if deadline.hasPassed { return (.timedOut, left) }
      if lingers {
        let next = Deadline.after(pause)
        withParker { _ = $0.park(until: next.nanoseconds < deadline.nanoseconds ? next : deadline) }
        pause = min(pause * 2, 1_000_000)
      } else {
        let end = monitor.wait(for: WaitKey.threads, until: deadline) {
          monitor.withLock {
            $0.threadCount - $0.unjoinedThreads == own || $0.departed != nil
          }
            || !wasForced && isDeadlineForced
        }
        isCheckCounted = end == .cancelled
      }
    }
  }

  /// Whether the calling thread is one of the registry's, even if only in a destructor of its
  /// thread-specific data: joining the threads would wait for itself (J7).
  var isOwnThread: Bool {
    guard let worker = Worker.currentOrDeparted, worker.pointee.registry == self else {
      return false
    }
    // An adopted thread is the application's own again once it has no worker.
    return !worker.pointee.isAdopted || worker.pointee.task == nil
  }
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

  /// How many are on the list of the departed.
  fileprivate var departedCount: Int {
    var count = 0
    var worker = departed
    while let current = worker {
      count += 1
      worker = current.pointee.next
    }
    return count
  }

  /// Takes up to `limit` of the workers that departed first; none once the registry is orphaned.
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

  /// Uncounts threads that have ended, that nobody will reap, or that could not be made (I2).
  mutating func forgetThreads(_ count: Int) {
    threadCount -= count
    // The last one may be the thread that waits.
    if threadCount - unjoinedThreads <= 1 { waiters.wake(WaitKey.threads) }
  }
}
