import CPlatform
import Synchronization

// LOCKING
// See `RegistryStorage`. A worker's mailbox decides who may give it a task (M1, M2). `hot` is a
// hint where to find one that is listening. Threads are created and unparked outside the lock.

/// How threads are found and how they are kept: the one place that gets a thread for a record.
///
/// There is no queue. A task goes to a worker that has none at that moment, or to a new thread, so
/// that no task ever waits behind another (S1).
extension RegistryReference {
  // MARK: Getting a thread

  /// Gives `task` a thread: the hot worker's if it is listening, else that of the worker that went
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

  /// Gives a task to the hot worker, waiting a moment for it: it may be at the end of a short task.
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
    // Its task is a long one, or another spawner was faster: look elsewhere until it listens again.
    _ = pointer.pointee.hot.compareExchange(expected: bits, desired: 0, ordering: .relaxed)
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
    monitor.withLock { state in
      worker.pointee.next = state.spare
      state.spare = worker
      state.forgetThreads(1)
    }
    releaseStorage()
    cp_set_errno(code)
    // Waiting may help if there are too many threads or too little memory. It does not help if
    // thread-local variables leave no room on the stack, or if the process has chosen another PID
    // namespace for its children (both EINVAL).
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

  // MARK: Between tasks

  /// The next step of the calling worker.
  ///
  /// - Parameters:
  ///   - worker: the calling worker.
  ///   - afterStop: whether its last task was asked to stop. Then many usually are, and what
  ///     follows is not a task but the end of a shutdown, which a spinning thread would slow down.
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

  /// Spins for a task; nil if none came and the invitation was withdrawn (M1).
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

  /// How long an idle worker that stays waits, in nanoseconds, before it reaps again those that
  /// left; doubled each time.
  private static var firstReapingPause: Int64 { 50_000_000 }

  /// The longest sleep, in nanoseconds, of a worker that has to poll whether the main thread has
  /// left.
  private static var longestPause: Int64 { 60_000_000_000 }

  /// Sleeps until something is posted; leaves if nothing was posted within the idle time and enough
  /// others are idle.
  private func sleep(_ worker: Worker.Pointer, afterStop: Bool) -> TaskReference? {
    if worker.pointee.threadState.owesCheck && !worker.pointee.isUnchecked {
      // On a copy, as in `Worker.isReusable`.
      var state = worker.pointee.threadState
      let isRight = state.checkEverything(in: self)
      worker.pointee.threadState = state
      if !isRight { return nil }
    }
    // Its last task may have been the registry's last.
    endIfUnreachable()
    // Before a spawner can find the worker on the list and post to it (M2).
    worker.pointee.mailbox.store(MailboxWord.sleeping.bits, ordering: .relaxed)
    let isListed = monitor.withLock { state in
      if state.isRetiring { return false }
      state.addIdle(worker)
      return true
    }
    if !isListed { return nil }
    // In a crowd that was stopped each worker would read the clock.
    if !afterStop { worker.recordCPUTime() }
    let isFinal = MainThread.hasLeft
    var deadline = Deadline.after(isFinal ? MainThread.patience : options.idleNanoseconds)
    var pause = Self.firstReapingPause
    // An unchecked worker is about to leave, usually with many others.
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
        guard state.idle.contains(worker), isFinal || state.idleCount > options.idleThreads
        else { return false }
        state.removeIdle(worker)
        return true
      }
      reapDeparted(atMost: .max)
      if leaves { return nil }
      // A worker that stays reaps those that left and then has no reason to wake up, unless it has
      // to poll whether the main thread has left; otherwise it is posted to when it is to leave.
      MainThread.look()
      let isAlone = monitor.withLock { $0.departed == nil }
      deadline = isAlone && MainThread.isWatched ? .never : .after(pause)
      let longest = isAlone ? Self.longestPause : options.idleNanoseconds
      pause = min(pause &* 2, max(pause, longest))
    }
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

extension RegistryState {
  mutating func addIdle(_ worker: Worker.Pointer) {
    idle.prepend(worker)
    idleCount += 1
  }

  mutating func removeIdle(_ worker: Worker.Pointer) {
    idle.remove(worker)
    idleCount -= 1
  }

  /// Empties the idle list.
  ///
  /// - Returns: the first of the workers that were on it, linked by `next`.
  mutating func takeAllIdle() -> Worker.Pointer? {
    var taken: Worker.Pointer?
    while let worker = idle.last {
      removeIdle(worker)
      worker.pointee.next = taken
      taken = worker
    }
    return taken
  }
}

/// The place of a worker among the idle ones.
enum IdlePlace: ListPlace {
  static subscript(element: Worker.Pointer) -> ListLinks<Worker.Pointer> {
    get { element.pointee.idleLinks }
    set { element.pointee.idleLinks = newValue }
  }
}
