import CPlatform

/// The signals that a thread blocks, as bits: signal 1 is bit 0.
///
/// A task's mask decides two things. A process that it starts, by fork, posix_spawn, popen or
/// system, inherits the mask, also through exec: a signal that is blocked here would never reach
/// that program. And a signal to the process goes to a thread that does not block it. Linux prefers
/// the main thread (`complete_signal` in kernel/signal.c), so a task receives no signal that main
/// leaves unblocked. Signals that main blocks, because it waits for them in sigwait(3) or has
/// another thread handle them, must be blocked in tasks as well. So a task blocks exactly what the
/// program blocks (S7).
struct SignalMask: Equatable {
  var bits: UInt64

  /// The empty mask.
  static var none: SignalMask { SignalMask(bits: 0) }

  /// The mask of the library's own threads.
  static var all: SignalMask { SignalMask(bits: ~neverBlocked) }

  /// The signals of a set, except for those that are never blocked.
  init(_ set: UnsafePointer<sigset_t>) {
    self.init(signals: cp_signal_bits(set))
  }

  /// The signals of these bits, except for those that are never blocked.
  init(signals: UInt64) { self.init(bits: signals & ~Self.neverBlocked) }

  private init(bits: UInt64) { self.bits = bits }

  private static func bit(_ number: Int32) -> UInt64 { 1 << UInt64(number - 1) }

  /// Signals that a thread raises itself: the synchronous faults, which end the process if they are
  /// blocked, and SIGABRT, which ends the process on purpose.
  private static var neverBlocked: UInt64 {
    bit(SIGSEGV) | bit(SIGBUS) | bit(SIGFPE) | bit(SIGILL) | bit(SIGTRAP) | bit(SIGSYS)
      | bit(SIGABRT)
  }

  /// The default mask of the tasks of a registry that the calling thread creates.
  ///
  /// It is what the calling thread blocks, as with pthread_create. But threads that a runtime keeps
  /// for itself block nearly all signals (libdispatch does, and with it Swift's concurrency), which
  /// says nothing about the program: on such a thread it is what the main thread blocks.
  static var ofCreator: SignalMask {
    var set = cp_no_signals()
    mustSucceed(pthread_sigmask(SIG_BLOCK, nil, &set), "pthread_sigmask")
    let own = SignalMask(&set)
    if !own.isOfRuntime || cp_gettid() == getpid() { return own }
    return ofMain ?? own
  }

  /// The mask of the main thread; nil if it is not known, or if it blocks nearly all signals.
  static var ofMain: SignalMask? {
    for _ in 0..<attempts {
      guard let bits = ThreadProbe.blockedSignals(threadID: getpid()) else { return nil }
      let ofMain = SignalMask(bits: bits & ~neverBlocked)
      if !ofMain.isOfRuntime { return ofMain }
      // In pthread_create and posix_spawn glibc blocks all signals for a moment: read it again.
      withParkerOfItsOwn { _ = $0.park(until: .after(pause)) }
    }
    return nil
  }

  /// How many times the main thread's mask is read, and the pause between, in nanoseconds.
  private static var attempts: Int { 20 }
  private static var pause: Int64 { 100_000 }

  /// Whether it blocks every signal that can come from outside.
  ///
  /// libdispatch leaves SIGPIPE and SIGPROF unblocked, in addition to the faults.
  private var isOfRuntime: Bool {
    let open =
      Self.neverBlocked | Self.bit(SIGKILL) | Self.bit(SIGSTOP) | Self.bit(SIGPIPE)
      | Self.bit(SIGPROF)
    // Signals 1 to 31; a runtime may use some of the real-time signals itself.
    return (bits | open) & 0x7FFF_FFFF == 0x7FFF_FFFF
  }

  /// Whether a signal is in the mask.
  func contains(_ number: Int32) -> Bool { bits & Self.bit(number) != 0 }

  /// The mask without one signal; number 0 is none.
  func without(_ number: Int32) -> SignalMask {
    number == 0 ? self : SignalMask(bits: bits & ~Self.bit(number))
  }

  /// Makes it the calling thread's mask.
  func apply() {
    var set = cp_signal_set(bits)
    mustSucceed(pthread_sigmask(SIG_SETMASK, &set, nil), "pthread_sigmask")
  }

  /// Runs `body`, which calls the application on a thread of the library, with this mask.
  ///
  /// Processes and threads that the callback starts inherit it.
  func whileCalling(_ body: () -> Void) {
    var set = cp_signal_set(bits)
    var before = cp_no_signals()
    mustSucceed(pthread_sigmask(SIG_SETMASK, &set, &before), "pthread_sigmask")
    body()
    mustSucceed(pthread_sigmask(SIG_SETMASK, &before, nil), "pthread_sigmask")
  }
}
