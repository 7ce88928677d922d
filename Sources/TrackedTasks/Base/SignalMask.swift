import CPlatform

/// The signals that a thread blocks, a bit each: number 1 is bit 0.
///
/// A task's mask decides two things. Whatever it starts, by fork, posix_spawn, popen or system, begins
/// with it, also through exec: a signal that is blocked here would never reach that program. And a
/// signal to the process goes to a thread that lets it through. Linux prefers the main thread there
/// (`complete_signal` in kernel/signal.c), so that a task gets none that main lets through; those
/// that main blocks, as it waits for them in sigwait(3) or has another thread handle them, tasks have to
/// block as well. So a task blocks what the program blocks, and nothing else (S7).
struct SignalMask: Equatable {
  var bits: UInt64

  /// Blocks none.
  static var none: SignalMask { SignalMask(bits: 0) }

  /// What a thread of the library's own blocks.
  static var all: SignalMask { SignalMask(bits: ~neverBlocked) }

  /// The signals of a set, but for those that are never blocked.
  init(_ set: UnsafePointer<sigset_t>) {
    bits = cp_signal_bits(set) & ~Self.neverBlocked
  }

  private init(bits: UInt64) { self.bits = bits }

  private static func bit(_ number: Int32) -> UInt64 { 1 << UInt64(number - 1) }

  /// What a thread does to itself: the synchronous faults, which end the process when they are blocked,
  /// and SIGABRT, by which it means to end it.
  private static var neverBlocked: UInt64 {
    bit(SIGSEGV) | bit(SIGBUS) | bit(SIGFPE) | bit(SIGILL) | bit(SIGTRAP) | bit(SIGSYS)
      | bit(SIGABRT)
  }

  /// What the tasks of a registry block that the calling thread creates, unless its options say.
  ///
  /// It is what the calling thread blocks, as with pthread_create. But threads that a runtime keeps for
  /// itself block nearly everything (libdispatch does, and with it Swift's concurrency), which says
  /// nothing of the program: on one of those it is what the main thread blocks.
  static var ofCreator: SignalMask {
    var set = cp_no_signals()
    mustSucceed(pthread_sigmask(SIG_BLOCK, nil, &set), "pthread_sigmask")
    let own = SignalMask(&set)
    if !own.isOfRuntime || cp_gettid() == getpid() { return own }
    return ofMain ?? own
  }

  /// What the main thread blocks; nil if the kernel does not tell, or it blocks nearly everything.
  static var ofMain: SignalMask? {
    for _ in 0..<looks {
      guard let bits = ThreadProbe.blockedSignals(threadID: getpid()) else { return nil }
      let ofMain = SignalMask(bits: bits & ~neverBlocked)
      if !ofMain.isOfRuntime { return ofMain }
      // In pthread_create and posix_spawn glibc blocks everything for a moment: look again.
      withParkerOfItsOwn { _ = $0.park(until: .after(pause)) }
    }
    return nil
  }

  /// How often the main thread's mask is looked at, and how long to wait in between, in nanoseconds.
  private static var looks: Int { 20 }
  private static var pause: Int64 { 100_000 }

  /// Whether it blocks every signal that can come from outside.
  ///
  /// libdispatch lets SIGPIPE and SIGPROF through besides the faults.
  private var isOfRuntime: Bool {
    let open =
      Self.neverBlocked | Self.bit(SIGKILL) | Self.bit(SIGSTOP) | Self.bit(SIGPIPE)
      | Self.bit(SIGPROF)
    // Numbers 1 to 31; of the real-time signals a runtime may keep some for itself.
    return (bits | open) & 0x7FFF_FFFF == 0x7FFF_FFFF
  }

  /// Whether a signal is among them.
  func contains(_ number: Int32) -> Bool { bits & Self.bit(number) != 0 }

  /// These but for one; number 0 is none.
  func without(_ number: Int32) -> SignalMask {
    number == 0 ? self : SignalMask(bits: bits & ~Self.bit(number))
  }

  /// Makes it the calling thread's.
  func apply() {
    var set = cp_signal_set(bits)
    mustSucceed(pthread_sigmask(SIG_SETMASK, &set, nil), "pthread_sigmask")
  }

  /// Runs `body`, which calls the application on a thread of the library's own, with this mask: what a callback starts
  /// has it, and so do threads that it makes.
  func whileCalling(_ body: () -> Void) {
    var set = cp_signal_set(bits)
    var before = cp_no_signals()
    mustSucceed(pthread_sigmask(SIG_SETMASK, &set, &before), "pthread_sigmask")
    body()
    mustSucceed(pthread_sigmask(SIG_SETMASK, &before, nil), "pthread_sigmask")
  }
}
