import CPlatform
import Synchronization

// LOCKING
// See `RegistryStorage`. A worker's mailbox decides who may give it a task (M1, M2). `spinner` is a
// hint where to find one that is listening. Threads are created and unparked outside the lock.

/// How threads are found and how they are kept: the one place that gets a thread for a record.
///
/// There is no queue. A task goes to a worker that has none at that moment, or to a new thread, so
/// that no task ever waits behind another (S1).
extension RegistryReference {
  /// Gives `task` a thread: the spinning worker's if it is listening, else that of the worker that went
  /// to sleep last, else a new one.
  ///
  /// A clean-up task of a closed registry always gets a new one.
  ///
  /// - Returns: `.ok`, or `.again`, `.noMemory` or `.system` with the task not handed over.
  @inline(__always)
  func dispatch(_ task: TaskReference, stackSize: Int?, fresh: Bool) -> Status {
    // Once the registry is closed, threads are not checked for what bodies have changed any more.
    let isClosed = gate.isClosed
    if !fresh && stackSize == nil && !isClosed {
      if handToSpinner(task) { return .ok }
      if let worker = takeIdleWorker() {
        task.assign(to: worker)
        post(.task(task.pointer), to: worker)
        return .ok
      }
    }
    return start(
      task, stackSize: stackSize ?? options.stackSize,
      singleUse: fresh || stackSize != nil || isClosed || options.keepsNoThreads)
  }

  /// Gives a thread to a task that was asked to stop before its next run, in a closed registry: no
  /// body runs in it, and it may end others like it.
  func dispatchEnd(_ task: TaskReference) -> Status {
    start(task, stackSize: options.stackSize, singleUse: options.keepsNoThreads)
  }

  /// Gives a task to the spinning worker, waiting a moment for it: it may be at the end of a short task.
  ///
  /// - Returns: false if it is not listening (M1).
  @inline(__always)
  private func handToSpinner(_ task: TaskReference) -> Bool {
    let bits = pointer.pointee.spinner.load(ordering: .acquiring)
    guard let worker = Worker.Pointer(bitPattern: bits) else { return false }
    task.assign(to: worker)
    let cpu = cp_current_cpu()
    let listening = MailboxWord.listening.bits
    var isListening = spin(for: pointer.pointee.spin.spawner) {
      // The two would only keep each other from running.
      worker.pointee.cpu.load(ordering: .relaxed) == cpu
    } until: {
      worker.pointee.mailbox.load(ordering: .relaxed) == listening
    }
    if !isListening { isListening = waitUntilRestored(worker, cpu: cpu) }
    if isListening {
      if worker.pointee.spawnerCPU.load(ordering: .relaxed) != cpu {
        worker.pointee.spawnerCPU.store(cpu, ordering: .relaxed)
      }
      let posted = worker.pointee.mailbox.compareExchange(
        expected: listening, desired: MailboxWord.task(task.pointer).bits,
        ordering: .acquiringAndReleasing)
      if posted.exchanged { return true }
    }
    // Its task is a long one, or another spawner was faster: try others until it listens again.
    _ = pointer.pointee.spinner.compareExchange(expected: bits, desired: 0, ordering: .relaxed)
    return false
  }

  /// Waits for a worker whose thread is being reset, which takes less time than waking another one.
  ///
  /// - Returns: whether it is listening.
  @inline(never)
  private func waitUntilRestored(_ worker: Worker.Pointer, cpu: Int32) -> Bool {
    let restoring = MailboxWord.restoring.bits
    if worker.pointee.mailbox.load(ordering: .relaxed) != restoring { return false }
    _ = spin(for: pointer.pointee.spin.joiner) {
      worker.pointee.cpu.load(ordering: .relaxed) == cpu
    } until: {
      worker.pointee.mailbox.load(ordering: .relaxed) != restoring
    }
    return worker.pointee.mailbox.load(ordering: .relaxed) == MailboxWord.listening.bits
  }

  /// Takes the worker that went to sleep last: its stack is most likely in the cache.
  private func takeIdleWorker() -> Worker.Pointer? {
    monitor.withLock { state in
      // An unchecked worker went to sleep after the caller had found the gate open.
      guard let worker = state.idle.first, !worker.pointee.isUnchecked else { return nil }
      state.removeIdle(worker)
      return worker
    }
  }

  /// Posts to a worker that was taken off the idle list (M2).
  func post(_ word: MailboxWord, to worker: Worker.Pointer) {
    worker.pointee.mailbox.store(word.bits, ordering: .releasing)
    worker.pointee.parker.unpark()
  }

  /// Creates a thread for `task`; on failure nothing has changed but errno, which has the cause
  /// (S6, S7).
  private func start(_ task: TaskReference, stackSize: Int, singleUse: Bool) -> Status {
    reapDeparted(atMost: 2)
    guard let worker = takeSpareWorker() else { return .noMemory }
    worker.pointee.isSingleUse = singleUse
    worker.pointee.isUnchecked = false
    task.assign(to: worker)
    worker.pointee.mailbox.store(MailboxWord.task(task.pointer).bits, ordering: .releasing)
    retainStorage()
    let code =
      giveStack(to: worker, size: stackSize)
      ? createThread(for: worker, stackSize: stackSize) : EAGAIN
    if code == 0 { return .ok }
    worker.dropOwnStack()
    giveBack(worker)
    releaseStorage()
    cp_set_errno(code)
    // Waiting may help if there are too many threads or too little memory. It does not help if
    // thread-local variables leave no room on the stack, or if the process has chosen another PID
    // namespace for its children (both EINVAL).
    return code == EAGAIN || code == ENOMEM ? .again : .system
  }

  /// Makes a worker that has no thread any more a spare one, and uncounts the thread.
  func giveBack(_ worker: Worker.Pointer) {
    monitor.withLock { state in
      worker.pointee.next = state.spare
      state.spare = worker
      state.forgetThreads(1)
    }
  }

  /// Takes a worker without a thread, which from now on counts as having one; nil without memory.
  func takeSpareWorker() -> Worker.Pointer? {
    while true {
      let spare = monitor.withLock { state in
        let worker = state.spare
        if let worker {
          state.spare = worker.pointee.next
          state.threadCount += 1
        }
        return worker
      }
      if let spare { return spare }
      guard let batch = WorkerBatch.make(for: self) else { return nil }
      monitor.withLock { WorkerBatch.add(batch, to: &$0) }
    }
  }

  /// Gives a worker a stack: its place in the arena, which it keeps, or a stack of another size for
  /// one thread.
  ///
  /// - Returns: false if the system refuses the memory.
  private func giveStack(to worker: Worker.Pointer, size: Int) -> Bool {
    let isExecutable = pointer.pointee.stacksAreExecutable
    if size != options.stackSize {
      worker.pointee.ownStack = StackArena.mapStack(size: size, executable: isExecutable)
      worker.pointee.ownStackSize = size
      return worker.pointee.ownStack != nil
    }
    if worker.pointee.stack != nil { return true }
    switch monitor.withLock({ $0.arena.take(stackSize: size) }) {
    case .stack(let stack):
      worker.pointee.stack = stack
    case .grow(let count):
      let region = StackArena.makeRegion(
        count: count, stackSize: size, executable: isExecutable)
      worker.pointee.stack = monitor.withLock { state in
        if let region { return state.arena.add(region, stackSize: size) }
        state.arena.giveUp()
        return nil
      }
    case .single:
      let made = StackArena.makeRegion(count: 1, stackSize: size, executable: isExecutable)
      guard let region = made else { return false }
      worker.pointee.stack = monitor.withLock { $0.arena.addSingle(region) }
    }
    return worker.pointee.stack != nil
  }
}

extension Worker.Pointer {
  /// Unmaps the worker's stack that is not in the arena, if it has one.
  ///
  /// Requires that no thread runs on it.
  func dropOwnStack() {
    guard let stack = pointee.ownStack else { return }
    StackArena.unmapStack(stack, size: pointee.ownStackSize)
    pointee.ownStack = nil
  }
}
