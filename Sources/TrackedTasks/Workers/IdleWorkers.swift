import CPlatform
import Synchronization

// LOCKING
// See `WorkerPool` and `RegistryStorage`: the list of the idle is guarded by the registry's
// Monitor.

/// What a worker does between two tasks: it spins for the next one, sleeps, or leaves.
extension RegistryReference {
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
      && becomeSpinner(worker)
    {
      worker.pointee.mailbox.store(MailboxWord.listening.bits, ordering: .releasing)
      if let task = listen(worker) { return task }
    }
    return sleep(worker, afterStop: afterStop)
  }

  /// Makes the worker the one that spins, unless another does.
  @inline(__always)
  private func becomeSpinner(_ worker: Worker.Pointer) -> Bool {
    let own = UInt(bitPattern: worker)
    let spinner = pointer.pointee.spinner.load(ordering: .relaxed)
    if spinner == own { return true }
    if spinner != 0 { return false }
    return pointer.pointee.spinner.compareExchange(
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
      _ = pointer.pointee.spinner.compareExchange(expected: own, desired: 0, ordering: .relaxed)
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
      MainThread.checkForEnd()
      let isAlone = monitor.withLock { $0.departed == nil }
      deadline = isAlone && MainThread.isWatched ? .never : .after(pause)
      let longest = isAlone ? Self.longestPause : options.idleNanoseconds
      pause = min(pause &* 2, max(pause, longest))
    }
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
