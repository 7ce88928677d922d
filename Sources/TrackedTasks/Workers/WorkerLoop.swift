import CPlatform
import Synchronization

// LOCKING
// The fields of a worker are its own thread's, and its mailbox is an atomic (M1, M2): running a
// task takes no lock here. The registry's Monitor is taken in `begin` alone, where setting the
// thread-specific value may fail: it guards `beginning`, which lies on the stack of the thread's
// creator, and the list on which the creator waits.
//
// The creator waits without a deadline, so `beginning` exists until the thread has written it under
// the lock. After it has unlocked, the thread does not touch it again, and the creator may return.
// Nothing is done under the lock but to write it and to unpark the creator.

/// The life of a worker's thread, from its first instruction to its last.
///
/// A task ends in one of two ways: the body returns, or the thread leaves it (`pthread_exit`,
/// thread cancellation) and the destructor of the thread-specific key runs; a Swift `defer` would
/// not run then (measured). Both lead to `releaseAndLog`, which resumes where the first call was
/// interrupted if the application's `drop` or log callback ends the thread as well.
extension Worker {
  /// The start routine of every thread that runs tasks.
  static func threadMain(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    // SAFETY: `WorkerPool.start` passes a worker and keeps the registry alive for it.
    let worker = argument.unsafelyUnwrapped.assumingMemoryBound(to: Worker.self)
    mustSucceed(pthread_setcancelstate(cp_cancel_disable(), nil), "pthread_setcancelstate")
    // The attributes contain the mask already (S7), but AddressSanitizer's `pthread_create` gives
    // the thread its creator's mask instead.
    let signal = ThreadState.restoreMask(in: worker.pointee.registry)
    guard begin(worker) else { return nil }
    worker.pointee.backtraceSignal = signal
    worker.pointee.threadID = cp_gettid()
    worker.pointee.restMark.store(-1, ordering: .relaxed)
    worker.pointee.kernelName = (0, 0)
    worker.pointee.cpuBase.store(0, ordering: .relaxed)
    var state = ThreadState()
    if !state.begin(in: worker.pointee.registry) { worker.pointee.isSingleUse = true }
    worker.pointee.threadState = state
    var next = MailboxWord(bits: worker.pointee.mailbox.load(ordering: .acquiring)).record
    while let task = next {
      let (ticks, wasStopped) = run(task, on: worker)
      if ProcessState.isForkedChild { return nil }
      endIfCancelled()
      next =
        isReusable(worker, afterTicks: ticks)
        ? takeDueTask(for: worker)
          ?? worker.pointee.registry.nextTask(for: worker, afterStop: wasStopped) : nil
    }
    // For threads that spin on the mailbox for the end of the last task.
    worker.pointee.mailbox.store(MailboxWord.leave.bits, ordering: .releasing)
    return nil
  }

  /// Makes `worker` the calling thread's.
  ///
  /// If that takes memory, the creator of the thread waits for the result (S6).
  ///
  /// - Returns: false if there is no memory: the thread must end, and the worker belongs to its
  ///   creator.
  private static func begin(_ worker: Pointer) -> Bool {
    if !ProcessState.threadValueTakesMemory {
      setCurrent(worker)
      return true
    }
    let isSet = ProcessState.setFirstThreadValue(UInt(bitPattern: worker)) == 0
    if !isSet { worker.pointee.life.willEnd() }
    worker.pointee.registry.monitor.withLock { state in
      worker.pointee.beginning?.pointee = isSet ? .made : .rejected
      state.waiters.wake(WaitKey.threads)
    }
    return isSet
  }

  /// Ends the thread if it was cancelled and the body did not act on it: the cancellation must not
  /// hit the next task.
  @inline(__always)
  private static func endIfCancelled() {
    mustSucceed(pthread_setcancelstate(cp_cancel_enable(), nil), "pthread_setcancelstate")
    pthread_testcancel()
    mustSucceed(pthread_setcancelstate(cp_cancel_disable(), nil), "pthread_setcancelstate")
  }

  /// Resets what a body may have changed of the thread.
  ///
  /// - Returns: false if the thread must leave.
  @inline(__always)
  private static func isReusable(_ worker: Pointer, afterTicks ticks: UInt64) -> Bool {
    if worker.pointee.isSingleUse {
      if needsCheck(worker, afterTicks: ticks) { leaveSignalStack(worker) }
      return false
    }
    worker.recordTicks(ticks)
    cp_reset_locale()
    if !needsCheck(worker, afterTicks: ticks) { return true }
    if worker.pointee.registry.gate.isClosed {
      // This thread is given no other task, and in a crowd that is being stopped the check would
      // cost time.
      leaveSignalStack(worker)
      worker.pointee.isUnchecked = true
      return true
    }
    if ThreadState.mayHaveMoved(inTicks: ticks) { checkKernelName(of: worker) }
    // On a copy: a mutating call in place counts as an access to the whole worker, whose mailbox
    // others read.
    var state = worker.pointee.threadState
    let isRight = state.restore(in: worker.pointee.registry, afterTicks: ticks)
    worker.pointee.threadState = state
    return isRight
  }

  /// Has a thread that serves no other task run no handler on a stack that its task may have freed.
  private static func leaveSignalStack(_ worker: Pointer) {
    let state = worker.pointee.threadState
    _ = state.restoreSignalStack()
  }

  /// Whether `isReusable` makes system calls.
  @inline(__always)
  private static func needsCheck(_ worker: Pointer, afterTicks ticks: UInt64) -> Bool {
    ThreadState.mayHaveChanged(inTicks: ticks) || worker.pointee.threadState.isNew
  }

  /// Forgets the name that the kernel was given if the body has given the thread another one.
  @inline(never)
  private static func checkKernelName(of worker: Pointer) {
    if worker.pointee.kernelName == (0, 0) { return }
    var given = TaskName()
    given.words[0] = worker.pointee.kernelName.0
    given.words[1] = worker.pointee.kernelName.1
    var isUnchanged = false
    given.withKernelName { given in
      isUnchanged = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 16) { now in
        cp_own_thread_name(now.baseAddress)
        var place = 0
        // Both end in NUL within 16 bytes.
        while now[place] != 0 && now[place] == given[place] { place += 1 }
        return now[place] == given[place]
      }
    }
    if !isUnchanged { worker.pointee.kernelName = (0, 0) }
  }

  /// Calls the thread `idle`: no task runs in it, and none has for a while (S2).
  static func setIdleKernelName(_ worker: Pointer) {
    worker.pointee.kernelName = (0, 0)
    var name = TaskName()
    // "idle", the first byte lowest.
    name.words[0] = UInt64(littleEndian: 0x656C_6469)
    name.withKernelName { _ = cp_set_own_thread_name($0) }
  }

  /// Runs one task to its end.
  ///
  /// - Returns: how long the application's code ran, in ticks (see `ThreadState.mayHaveChanged`),
  ///   and whether the task had been asked to stop.
  private static func run(
    _ task: TaskReference, on worker: Pointer
  ) -> (ticks: UInt64, wasStopped: Bool) {
    cp_prefetch_for_writing(task.pointer)
    worker.pointee.task = task
    worker.pointee.stage = .body
    let record = task.pointer
    if record.pointee.threadID.load(ordering: .relaxed) != worker.pointee.threadID {
      record.pointee.threadID.store(worker.pointee.threadID, ordering: .releasing)
    }
    if worker.pointee.backtraceSignal != Backtrace.signal {
      worker.pointee.backtraceSignal = ThreadState.restoreMask(in: worker.pointee.registry)
    }
    let before = task.advance { $0.entered() }
    let hasOptionalState = before?.hasOptionalState == true
    setKernelName(of: task, on: worker)
    let cpu = cp_current_cpu()
    if worker.pointee.cpu.load(ordering: .relaxed) != cpu {
      worker.pointee.cpu.store(cpu, ordering: .relaxed)
    }
    if hasOptionalState && !task.bodyBegins(wasAsked: before?.isCancelRequested == true) {
      return ProcessState.isForkedChild ? (0, false) : endWithoutRun(task, on: worker)
    }
    cp_set_errno(0)
    mustSucceed(pthread_setcancelstate(cp_cancel_enable(), nil), "pthread_setcancelstate")
    let start = cp_ticks()
    let code = record.pointee.body.unsafelyUnwrapped(task.opaque, record.pointee.context)
    var ticks = cp_ticks() &- start
    mustSucceed(pthread_setcancelstate(cp_cancel_disable(), nil), "pthread_setcancelstate")
    mustSucceed(pthread_setcanceltype(cp_cancel_deferred(), nil), "pthread_setcanceltype")
    if ProcessState.isForkedChild { return (0, false) }
    if code != 0 { task.activity.pointee.code.store(code, ordering: .relaxed) }
    // Not `hasOptionalState` from above: the body may have set a heartbeat interval.
    if task.word.hasOptionalState {
      if task.traits.contains(.startsAgain)
        && restsAfterRun(task, code == 0 ? .returned : .failed, on: worker)
      {
        if ProcessState.isForkedChild { return (0, false) }
        return (endOfRun(ticks, on: worker), false)
      }
      task.bodyHasEnded()
    }
    worker.pointee.ending = code == 0 ? .returned : .failed
    // If the longest of them was too short for a system call, so were the others.
    ticks = max(ticks, releaseAndLog(task, on: worker))
    if ProcessState.isForkedChild { return (0, false) }
    let wasStopped = task.word.isCancelRequested
    let lateReported = worker.pointee.lateReported
    complete(task, on: worker)
    // A callback ran in `complete`, or there is no counter: treat it like a long body.
    let hasRunCallbacks = worker.pointee.hasRunCallbacks
    if start == 0 || worker.pointee.lateReported != lateReported || hasRunCallbacks {
      ticks = .max
      worker.pointee.hasRunCallbacks = false
    }
    // A thread that waits for the end of the task goes on meanwhile. Not if the worker is going to
    // sleep: a spawner would not find it on the idle list yet, and would create another thread.
    if !wasStopped && needsCheck(worker, afterTicks: ticks) {
      worker.pointee.mailbox.store(MailboxWord.restoring.bits, ordering: .releasing)
    }
    return (ticks, wasStopped)
  }

  /// Gives the kernel the task's name unless it has it already (S2).
  private static func setKernelName(of task: TaskReference, on worker: Pointer) {
    let first = task.pointer.pointee.name[0]
    let second = task.pointer.pointee.name[1]
    if worker.pointee.kernelName == (first, second) { return }
    setKernelName(first, second, on: worker)
  }

  /// Gives the kernel the name that these words begin with.
  @inline(never)
  static func setKernelName(_ first: UInt64, _ second: UInt64, on worker: Pointer) {
    worker.pointee.kernelName = (first, second)
    var name = TaskName()
    (name.words[0], name.words[1]) = (first, second)
    // A failure does not matter: the name in snapshots is the library's own.
    name.withKernelName { _ = cp_set_own_thread_name($0) }
  }

  /// Runs the rest of the application's code, from the current stage on: drop and log callback.
  ///
  /// - Returns: how long the longer of the two ran, in ticks.
  @discardableResult
  static func releaseAndLog(_ task: TaskReference, on worker: Pointer) -> UInt64 {
    var ticks: UInt64 = 0
    if worker.pointee.stage == .body {
      worker.pointee.stage = .drop
      // Before the task's end becomes observable (S4).
      if let drop = task.pointer.pointee.drop {
        let context = task.pointer.pointee.context
        let start = cp_ticks()
        drop(context)
        ticks = cp_ticks() &- start
      }
    }
    // Either may have forked, and this may be the child: then nothing more must happen here (P1).
    if ProcessState.isForkedChild { return ticks }
    if worker.pointee.stage == .drop {
      worker.pointee.stage = .log
      if worker.pointee.ending != .returned {
        let start = cp_ticks()
        task.logEnd(worker.pointee.ending)
        ticks = max(ticks, cp_ticks() &- start)
      }
    }
    worker.pointee.stage = .done
    return ticks
  }

  /// Counts the end, wakes the threads that wait for it, and runs the callbacks for it.
  @inline(__always)
  static func complete(_ task: TaskReference, on worker: Pointer) {
    task.complete(worker.pointee.ending, in: worker.pointee.registry)
    if ProcessState.isForkedChild { return }
    worker.pointee.task = nil
  }
}
