import CPlatform
import Synchronization

// LOCKING
// Guarded by the timer thread's Monitor, under which the signal is sent. The task's thread disarms
// it under the same lock when it leaves the body, so no signal is sent to a thread that is gone or
// that runs another task.

/// A signal that interrupts the system calls of one task once it is asked to stop (C10).
///
/// A signal that arrives between the task's check of its flag and its system call interrupts
/// nothing. So it is sent again, at intervals that double, until the body is left or the task
/// acknowledges it.
struct CancelSignal {
  /// Sends the signal again; the first field, so that its address is known.
  fileprivate var timer: Timer

  // immutable after init
  fileprivate let number: Int32
  /// The task that is interrupted; no reference is held, as the signal is destroyed before the task
  /// ends.
  fileprivate let task: TaskReference

  // Guarded by the timer thread's Monitor.
  /// The task's thread, while armed.
  fileprivate var thread = cp_thread(0)
  /// Whether the thread is in the body.
  fileprivate var isArmed = false
  /// The level that the task has acknowledged: only a higher one is sent.
  fileprivate var acknowledged = StopLevel.none
  fileprivate var pause = firstPause
  /// Why it could not be sent the last time; nil if it was sent.
  fileprivate var trouble: StaticString?

  fileprivate static var firstPause: Int64 { 1_000_000 }
  fileprivate static var longestPause: Int64 { 1_000_000_000 }

  typealias Pointer = UnsafeMutablePointer<CancelSignal>

  /// How many tasks use each signal, number 1 first.
  ///
  /// atomic: sequentially consistent with the signals of `SignalWatch`: a thread that makes a
  /// `CancelSignal` counts it here and then reads those of the watch; a thread that starts a watch
  /// stores its signals and then reads these counts.
  private static let users = InlineArray<64, Atomic<UInt32>> { _ in Atomic(0) }

  /// Whether `number` can be used: the signal exists, it is not a synchronous fault, and sending it
  /// neither ends the process, nor requests a shutdown, nor does nothing.
  ///
  /// A handler with SA_RESTART interrupts nothing; language runtimes install theirs with it.
  static func isUsable(_ number: Int32) -> Bool {
    // The backtrace signal interrupts nothing, and tasks must not block it.
    cp_has_interrupting_handler(number) && number != Backtrace.signal
      && !SignalWatch.watches(number)
  }

  /// Whether a signal is used by a task, or has the handler that was installed for this.
  static func uses(_ number: Int32) -> Bool {
    users[Int(number - 1)].load(ordering: .sequentiallyConsistent) != 0
      || cp_has_plain_handler(number, handler)
  }

  private static var handler: @convention(c) (Int32) -> Void { { _ in } }

  /// Installs a handler that does nothing, without SA_RESTART, if the signal has none.
  static func installHandler(for number: Int32) -> Status {
    if !cp_may_have_handler(number) {
      return .invalid(
        "tr_install_cancel_signal", "signal_number is not a signal that may have a handler")
    }
    if cp_install_handler(number, handler) == 0 { return .ok }
    return .invalid("tr_install_cancel_signal", "signal_number has another handler, or is ignored")
  }

  /// Makes one, which keeps the timer thread alive.
  static func make(_ number: Int32, for task: TaskReference) -> (Status, Pointer?) {
    guard let memory = malloc(MemoryLayout<CancelSignal>.size) else { return (.noMemory, nil) }
    count(number, by: 1)
    // A watch for the signal may have been started since it was found usable.
    let status =
      SignalWatch.watches(number)
      ? Status.invalid("tr_spawn_with", "options.cancel_signal is one that is watched")
      : TimerThread.hold()
    if status != .ok {
      count(number, by: -1)
      free(memory)
      return (status, nil)
    }
    let this = memory.bindMemory(to: CancelSignal.self, capacity: 1)
    this.initialize(to: CancelSignal(timer: Timer(.signal(this)), number: number, task: task))
    return (.ok, this)
  }

  fileprivate static func count(_ number: Int32, by change: Int32) {
    users[Int(number - 1)].wrappingAdd(
      UInt32(bitPattern: change), ordering: .sequentiallyConsistent)
  }
}

extension UnsafeMutablePointer<CancelSignal> {
  private var timer: Timer.Pointer {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: Timer.self)
  }

  /// Unblocks the signal in the calling thread, which is about to enter the body.
  func arm() {
    changeMask(SIG_UNBLOCK)
    TimerThread.withQueue { queue in
      pointee.thread = cp_thread_self()
      pointee.isArmed = true
      // The thread that raised the flag may have found it unarmed.
      send(again: &queue)
    }
  }

  /// Whether it was sent, and will be sent again.
  ///
  /// Requires the lock.
  var isBeingSent: Bool { timer.pointee.isQueued }

  /// Sends the signal at once, and again at intervals that start anew: the level has risen.
  ///
  /// Requires the lock.
  func sendFirst(again queue: inout TimerQueue) {
    pointee.pause = CancelSignal.firstPause
    send(again: &queue)
  }

  /// Sends the signal, unless the task has acknowledged its level, and schedules the next time.
  ///
  /// Requires the lock. Called when the level has risen, and by the timer thread.
  func send(again queue: inout TimerQueue) {
    if !pointee.isArmed || pointee.acknowledged >= pointee.task.word.level { return }
    queue.remove(timer)
    // The application may have replaced the handler, and the default action would end the process.
    // EAGAIN: the system had no memory to queue a real-time signal. It is sent again in any case.
    if cp_has_interrupting_handler(pointee.number) {
      switch cp_thread_kill(pointee.thread, pointee.number) {
      case 0: pointee.trouble = nil
      case EAGAIN: pointee.trouble = "its cancel signal cannot be queued: RLIMIT_SIGPENDING"
      default: pointee.trouble = "its cancel signal cannot be sent: pthread_kill fails"
      }
    } else {
      pointee.trouble = "its cancel signal has lost its handler"
    }
    queue.insert(timer, due: monotonicNow() + pointee.pause)
    pointee.pause = min(pointee.pause * 2, CancelSignal.longestPause)
  }

  /// Stops sending for this level and lower ones; a level that rises later is sent.
  ///
  /// Requires the lock.
  func acknowledge(_ level: StopLevel, _ queue: inout TimerQueue) {
    if pointee.acknowledged < level { pointee.acknowledged = level }
    // A thread that raises the level further sends the signal under the lock after that.
    if pointee.acknowledged >= pointee.task.word.level { queue.remove(timer) }
  }

  /// Stops sending.
  ///
  /// Requires the lock.
  func disarm(_ queue: inout TimerQueue) {
    pointee.isArmed = false
    queue.remove(timer)
  }

  /// Stops sending until `arm`, for the next run of a task that has not been asked to stop.
  ///
  /// Requires the lock.
  func rest(_ queue: inout TimerQueue) {
    disarm(&queue)
    pointee.acknowledged = .none
    pointee.pause = CancelSignal.firstPause
  }

  /// Removes the signal if it is still pending in the calling thread, where it would interrupt the
  /// next task, and leaves it blocked only if tasks of the registry block it.
  ///
  /// Requires that it is disarmed.
  func discardPending(in registry: RegistryReference) {
    changeMask(SIG_BLOCK)
    cp_take_pending_signal(pointee.number)
    if !registry.taskMask.contains(pointee.number) { changeMask(SIG_UNBLOCK) }
  }

  private func changeMask(_ how: Int32) {
    var set = cp_no_signals()
    sigaddset(&set, pointee.number)
    mustSucceed(pthread_sigmask(how, &set, nil), "pthread_sigmask")
  }

  /// Frees it.
  ///
  /// Requires that no other thread can find it any more.
  func destroy() {
    CancelSignal.count(pointee.number, by: -1)
    free(self)
    TimerThread.letGo()
  }
}

extension TaskReference {
  /// Why the signal that interrupts the task could not be sent the last time; nil if it was sent,
  /// or if there is none.
  ///
  /// *Concurrency:* any thread that keeps the record's memory; takes the timer thread's lock.
  var signalTrouble: StaticString? {
    if !word.hasOptionalState { return nil }
    if pointer.pointee.optionalState.signal.load(ordering: .sequentiallyConsistent) == 0 {
      return nil
    }
    return TimerThread.withQueue { _ in
      let bits = pointer.pointee.optionalState.signal.load(ordering: .relaxed)
      return CancelSignal.Pointer(bitPattern: bits)?.pointee.trouble
    }
  }
}
