import CPlatform
import Synchronization

// LOCKING
// See `RegistryStorage`. What a worker without a task may be given, and by whom, its mailbox says
// (M1, M2). `hot` is a hint where to find one that is listening. Threads are created and
// unparked outside the lock.

/// Where threads come from and where they go: the one place that gets a thread for a record.
///
/// There is no queue. A task goes to a worker that has none at that moment, or to a new thread, so
/// that no task ever waits behind another (S1).
extension RegistryReference {
  // MARK: Getting a thread

  /// Gives `task` a thread: the hot worker's if it listens, else that of the worker that went to
  /// sleep last, else a new one; clean-up work of a closed registry always a new one.
  ///
  /// - Returns: `.ok`, or `.again` or `.noMemory` with the task not handed over.
  @inline(__always)
  func dispatch(_ task: TaskReference, stackSize: Int?, fresh: Bool) -> Status {
    // Once it is closed, nobody looks any more whether a thread is as it should be.
    let isClosed = gate.isClosed
    if !fresh && stackSize == nil && !isClosed {
      if handToHotWorker(task) { return .ok }
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

  /// Gives a task to the hot worker, for whom it waits a moment: it may be at the end of a short
  /// task.
  ///
  /// - Returns: false if it is not listening (M1).
  @inline(__always)
  private func handToHotWorker(_ task: TaskReference) -> Bool {
    let bits = pointer.pointee.hot.load(ordering: .acquiring)
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
    // Its task is a long one, or another spawner was faster: look elsewhere until it is back.
    _ = pointer.pointee.hot.compareExchange(expected: bits, desired: 0, ordering: .relaxed)
    return false
  }

  /// Waits for a worker whose thread is being put right, which takes less time than to wake another.
  ///
  /// - Returns: whether it listens.
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

  /// Takes the worker that went to sleep last: its stack is the warmest.
  private func takeIdleWorker() -> Worker.Pointer? {
    monitor.withLock { state in
      // One that is not checked went to sleep after the caller had found the gate open.
      guard let worker = state.idle, !worker.pointee.isUnchecked else { return nil }
      state.removeIdle(worker)
      return worker
    }
  }

  /// Tells a worker that was taken off the idle list what to do (M2).
  func post(_ word: MailboxWord, to worker: Worker.Pointer) {
    worker.pointee.mailbox.store(word.bits, ordering: .releasing)
    worker.pointee.parker.unpark()
  }

  /// Creates a thread for `task`; on failure everything is as before but errno, which says why (S6, S7).
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
    monitor.withLock { state in
      worker.pointee.next = state.spare
      state.spare = worker
      state.forgetThreads(1)
    }
    releaseStorage()
    cp_set_errno(code)
    // What waiting may mend: too many threads, or too little memory. What it does not: thread-local variables that
    // leave no room on the stack, a namespace for process ids that others have (both EINVAL).
    return code == EAGAIN || code == ENOMEM ? .again : .system
  }

  /// Takes a worker without a thread, which from now on counts as having one; nil without memory.
  private func takeSpareWorker() -> Worker.Pointer? {
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

  /// Gives a worker a stack: its place in the arena, unless it has one, or one that it keeps for one thread.
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

  // MARK: Between tasks

  /// What the calling worker does next.
  ///
  /// - Parameters:
  ///   - worker: the calling worker.
  ///   - afterStop: whether its last task was asked to stop: many are then, as a rule, and what
  ///     follows is no task but the end of a shutdown, in whose way a spinning thread would be.
  /// - Returns: its next task, or nil to leave.
  @inline(__always)
  func nextTask(for worker: Worker.Pointer, afterStop: Bool) -> TaskReference? {
    if !afterStop && !worker.pointee.isUnchecked && pointer.pointee.spin.worker > 0
      && becomeHot(worker)
    {
      worker.pointee.mailbox.store(MailboxWord.listening.bits, ordering: .releasing)
      if let task = listen(worker) { return task }
    }
    return sleep(worker, afterStop: afterStop)
  }

  /// Makes the worker the one that spins, unless another does.
  @inline(__always)
  private func becomeHot(_ worker: Worker.Pointer) -> Bool {
    let own = UInt(bitPattern: worker)
    let hot = pointer.pointee.hot.load(ordering: .relaxed)
    if hot == own { return true }
    if hot != 0 { return false }
    return pointer.pointee.hot.compareExchange(
      expected: 0, desired: own, ordering: .acquiringAndReleasing
    ).exchanged
  }

  /// Spins for a task; nil when none came and the invitation is taken back (M1).
  @inline(__always)
  private func listen(_ worker: Worker.Pointer) -> TaskReference? {
    var word = MailboxWord.listening
    _ = spin(for: pointer.pointee.spin.worker) {
      cp_current_cpu() == worker.pointee.spawnerCPU.load(ordering: .relaxed)
    } until: {
      word = MailboxWord(bits: worker.pointee.mailbox.load(ordering: .acquiring))
      return word.isPosted
    }
    if !word.isPosted {
      let (done, seen) = worker.pointee.mailbox.compareExchange(
        expected: MailboxWord.listening.bits, desired: MailboxWord.sleeping.bits,
        ordering: .acquiringAndReleasing)
      word = MailboxWord(bits: done ? 0 : seen)
    }
    let own = UInt(bitPattern: worker)
    if word.record == nil {
      _ = pointer.pointee.hot.compareExchange(expected: own, desired: 0, ordering: .relaxed)
    }
    return word.record
  }

  /// How long an idle worker that stays gives those that leave to be gone; doubled each time.
  private static var firstReapingPause: Int64 { 50_000_000 }

  /// How long one sleeps at the most that has to look whether the main thread has left, in nanoseconds.
  private static var longestPause: Int64 { 60_000_000_000 }

  /// Sleeps until something is posted; leaves when nothing was for the idle time and enough others
  /// are idle.
  private func sleep(_ worker: Worker.Pointer, afterStop: Bool) -> TaskReference? {
    if worker.pointee.threadState.owesCheck && !worker.pointee.isUnchecked {
      // On a copy, as in `Worker.isReusable`.
      var state = worker.pointee.threadState
      let isRight = state.checkEverything(in: self)
      worker.pointee.threadState = state
      if !isRight { return nil }
    }
    // Its last task may have been the last of all.
    endIfUnreachable()
    // Before anyone can find the worker on the list and post to it (M2).
    worker.pointee.mailbox.store(MailboxWord.sleeping.bits, ordering: .relaxed)
    let isListed = monitor.withLock { state in
      if state.isRetiring { return false }
      state.addIdle(worker)
      return true
    }
    if !isListed { return nil }
    // In a crowd that was stopped each would look.
    if !afterStop { worker.recordCPUTime() }
    let isFinal = MainThread.hasLeft
    var deadline = Deadline.after(isFinal ? MainThread.patience : options.idleNanoseconds)
    var pause = Self.firstReapingPause
    // One that is not checked is about to leave, with many others as a rule.
    var calledIdleAt = worker.pointee.isUnchecked ? .never : Deadline.after(cp_named_rest_ns())
    while true {
      let word = MailboxWord(bits: worker.pointee.mailbox.load(ordering: .acquiring))
      if word.isPosted { return word.record }
      let until = calledIdleAt.nanoseconds < deadline.nanoseconds ? calledIdleAt : deadline
      if worker.pointee.parker.park(until: until) { continue }
      if calledIdleAt.hasPassed {
        calledIdleAt = .never
        Worker.setIdleKernelName(worker)
      }
      if !deadline.hasPassed { continue }
      let leaves = monitor.withLock { state in
        guard worker.pointee.isIdle, isFinal || state.idleCount > options.idleThreads else {
          return false
        }
        state.removeIdle(worker)
        return true
      }
      reapDeparted(atMost: .max)
      if leaves { return nil }
      // One that stays joins those that left, and then has nothing more to wake up for, unless it has to look for
      // itself whether the main thread has left; then it is posted that it leaves.
      MainThread.look()
      let isAlone = monitor.withLock { $0.departed == nil }
      deadline = isAlone && MainThread.isWatched ? .never : .after(pause)
      let longest = isAlone ? Self.longestPause : options.idleNanoseconds
      pause = min(pause &* 2, max(pause, longest))
    }
  }
}

extension Worker.Pointer {
  /// Unmaps the stack that is no place in the arena, if there is one.
  ///
  /// Requires that no thread runs on it.
  func dropOwnStack() {
    guard let stack = pointee.ownStack else { return }
    StackArena.unmapStack(stack, size: pointee.ownStackSize)
    pointee.ownStack = nil
  }
}

extension RegistryState {
  mutating func addIdle(_ worker: Worker.Pointer) {
    worker.pointee.isIdle = true
    worker.pointee.previous = nil
    worker.pointee.next = idle
    idle?.pointee.previous = worker
    idle = worker
    idleCount += 1
  }

  mutating func removeIdle(_ worker: Worker.Pointer) {
    worker.pointee.isIdle = false
    if let previous = worker.pointee.previous {
      previous.pointee.next = worker.pointee.next
    } else {
      idle = worker.pointee.next
    }
    worker.pointee.next?.pointee.previous = worker.pointee.previous
    idleCount -= 1
  }

  /// Empties the idle list.
  ///
  /// - Returns: the first of the workers that were on it, linked by `next`.
  mutating func takeAllIdle() -> Worker.Pointer? {
    let first = idle
    var worker = first
    while let current = worker {
      current.pointee.isIdle = false
      worker = current.pointee.next
    }
    idle = nil
    idleCount = 0
    return first
  }
}
