import CPlatform
import Synchronization

// LOCKING
// Guarded by the timer thread's Monitor, under which the signal is sent. The task's thread disarms it
// under the same lock when it leaves the body: so no signal is sent to a thread that is gone, or
// serves another task.

/// A signal that interrupts the system calls of one task once it is asked to stop (C10).
///
/// One that comes between the task's look at its flag and its system call interrupts nothing. So it
/// is sent again, at intervals that double, until the body is left or the task acknowledges.
struct CancelSignal {
  /// Sends it again; the first field, so that its address is known.
  fileprivate var timer: Timer

  // immutable after init
  fileprivate let number: Int32
  /// Whose signal it is; no reference is held, as it goes before the task does.
  fileprivate let task: TaskReference

  // Guarded by the timer thread's Monitor.
  /// The task's thread, while armed.
  fileprivate var thread = pthread_t()
  /// Whether the thread is in the body, and has not acknowledged.
  fileprivate var isArmed = false
  fileprivate var pause = firstPause
  /// Why it could not be sent the last time; nil if it was.
  fileprivate var trouble: StaticString?

  private static var firstPause: Int64 { 1_000_000 }
  fileprivate static var longestPause: Int64 { 1_000_000_000 }

  typealias Pointer = UnsafeMutablePointer<CancelSignal>

  /// How many tasks have each signal, number 1 first.
  ///
  /// atomic: sequentially consistent with the signals of `SignalWatch`: who makes one counts it and then looks
  /// there, who starts a watch says which signals it wants and then looks here.
  private static let users = InlineArray<64, Atomic<UInt32>> { _ in Atomic(0) }

  /// Whether `number` can be one: there is such a signal, it is no synchronous fault, and sending it
  /// neither ends the process, nor shuts anything down, nor does nothing.
  ///
  /// A handler with SA_RESTART interrupts nothing; those of language runtimes are installed so.
  static func isUsable(_ number: Int32) -> Bool {
    // That for backtraces interrupts nothing, and tasks have to let it through.
    cp_has_interrupting_handler(number) && number != Backtrace.signal
      && !SignalWatch.watches(number)
  }

  /// Whether a signal is used as one, or was prepared for that.
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

  /// Makes one, which holds the timer thread.
  static func make(_ number: Int32, for task: TaskReference) -> (Status, Pointer?) {
    guard let memory = malloc(MemoryLayout<CancelSignal>.size) else { return (.noMemory, nil) }
    count(number, by: 1)
    // Somebody may have begun to watch it since it was found usable.
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

  /// Lets the signal through to the calling thread, which is about to enter the body.
  func arm() {
    changeMask(SIG_UNBLOCK)
    TimerThread.withQueue { queue in
      pointee.thread = pthread_self()
      pointee.isArmed = true
      // Whoever raised the flag before may have found it unarmed.
      if pointee.task.word.isCancelRequested { send(again: &queue) }
    }
  }

  /// Whether it was sent, and will be sent again.
  ///
  /// Requires the lock.
  var isBeingSent: Bool { timer.pointee.isQueued }

  /// Sends the signal, and queues the next time.
  ///
  /// Requires the lock. Called when the flag has risen, and by the timer thread.
  func send(again queue: inout TimerQueue) {
    if !pointee.isArmed { return }
    queue.remove(timer)
    // The application may have put something else in the handler's place, and the default is to end the process.
    // EAGAIN: the system had no memory to queue a real-time signal in. It is sent again anyway, whatever it was.
    if cp_has_interrupting_handler(pointee.number) {
      switch pthread_kill(pointee.thread, pointee.number) {
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

  /// Sends no more.
  ///
  /// Requires the lock.
  func disarm(_ queue: inout TimerQueue) {
    pointee.isArmed = false
    queue.remove(timer)
  }

  /// Takes one that is still pending in the calling thread, which would interrupt the next task, and
  /// leaves the signal blocked only if tasks of the registry block it.
  ///
  /// Requires that it is disarmed.
  func finish(in registry: RegistryReference) {
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
  /// Requires that nobody can find it any more.
  func destroy() {
    CancelSignal.count(pointee.number, by: -1)
    free(self)
    TimerThread.letGo()
  }
}

extension TaskReference {
  /// Why the signal that is to interrupt the task could not be sent the last time; nil if it was, or if there is none.
  ///
  /// *Concurrency:* any thread that keeps the record's memory; takes the timer thread's lock.
  var signalTrouble: StaticString? {
    if !word.hasOptionalState { return nil }
    if pointer.pointee.extras.signal.load(ordering: .sequentiallyConsistent) == 0 { return nil }
    return TimerThread.withQueue { _ in
      let bits = pointer.pointee.extras.signal.load(ordering: .relaxed)
      return CancelSignal.Pointer(bitPattern: bits)?.pointee.trouble
    }
  }
}
