import CPlatform

/// What a thread of the library runs.
typealias ThreadMain = @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?

/// `pthread_create` with an explicit stack and an explicit signal mask, which goes in through the
/// attributes, so that the caller's is never touched (S7).
///
/// - Parameters:
///   - mask: the signals that the thread blocks.
///   - stack: the lowest byte of memory to run on; nil: the system allocates the stack.
///   - stackSize: bytes, a multiple of the page size.
///   - isDetached: nobody is going to join the thread.
///   - argument: what `main` gets.
///   - main: what the thread runs. It finds its own id by `pthread_self`: it may run, and have ended,
///     before this returns.
/// - Returns: 0, or the error number; and the thread.
func startThread(
  mask: SignalMask = .all, stack: UnsafeMutableRawPointer? = nil, stackSize: Int,
  isDetached: Bool = false, argument: UnsafeMutableRawPointer? = nil, main: @escaping ThreadMain
) -> (code: Int32, thread: pthread_t) {
  var thread = pthread_t()
  var attributes = pthread_attr_t()
  var code = pthread_attr_init(&attributes)
  if code != 0 { return (code, thread) }
  var signals = cp_signal_set(mask.bits)
  if let stack {
    code = pthread_attr_setstack(&attributes, stack, stackSize)
  } else {
    code = pthread_attr_setstacksize(&attributes, stackSize)
  }
  if code == 0 && isDetached {
    code = pthread_attr_setdetachstate(&attributes, cp_create_detached())
  }
  if code == 0 { code = cp_attr_setsigmask(&attributes, &signals) }
  if code == 0 {
    code = pthread_create(&thread, &attributes, main, argument)
  }
  mustSucceed(pthread_attr_destroy(&attributes), "pthread_attr_destroy")
  return (code, thread)
}

/// What a thread of the library's own does first.
///
/// It tells the kernel its name, and sets its mask, which the attributes said already, but AddressSanitizer's
/// `pthread_create` does not heed them. It is scheduled as the process's main thread is, not as the one that happened
/// to need it first (S1).
func beginOwnThread(_ name: StaticString) {
  SignalMask.all.apply()
  var now = cp_get_scheduling(0)
  var ofMain = cp_inherited(cp_get_scheduling(getpid()))
  // Where the system refuses, it runs as its creator did.
  var changes = false
  _ = cp_schedule(&now, &ofMain, &changes)
  // SAFETY: CChar and UInt8 have the same layout, and the text is NUL-terminated.
  let text = UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)
  // Of no consequence when it fails.
  _ = cp_set_own_thread_name(text)
}
