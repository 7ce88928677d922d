import CPlatform

/// The function that a thread of the library runs.
typealias ThreadMain = @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer?

/// Calls `pthread_create` with an explicit stack and an explicit signal mask.
///
/// The mask is passed in the attributes, so that the caller's is never changed (S7).
///
/// - Parameters:
///   - mask: the signals that the thread blocks.
///   - stack: the lowest byte of memory to run on; nil: the system allocates the stack.
///   - stackSize: bytes, a multiple of the page size.
///   - isDetached: whether the thread will not be joined.
///   - argument: passed to `main`.
///   - main: the function that the thread runs. It finds its own id by `pthread_self`: it may run,
///     and may have ended, before this returns.
/// - Returns: 0, or the error number; and the thread.
func startThread(
  mask: SignalMask = .all, stack: UnsafeMutableRawPointer? = nil, stackSize: Int,
  isDetached: Bool = false, argument: UnsafeMutableRawPointer? = nil, main: @escaping ThreadMain
) -> (code: Int32, thread: cp_thread) {
  var thread = cp_thread(0)
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
    code = cp_thread_create(&thread, &attributes, main, argument)
  }
  mustSucceed(pthread_attr_destroy(&attributes), "pthread_attr_destroy")
  return (code, thread)
}

/// Prepares a thread of the library, as its first act.
///
/// It sets its name, and its mask. The attributes contain the mask already, but AddressSanitizer's
/// `pthread_create` ignores it. The thread gets the scheduling of the process's main thread, not
/// that of the thread that first needed it (S1).
func beginOwnThread(_ name: StaticString) {
  SignalMask.all.apply()
  var now = cp_get_scheduling(0)
  var ofMain = cp_inherited(cp_get_scheduling(getpid()))
  // If the system refuses, it keeps the scheduling of its creator.
  var changes = false
  _ = cp_schedule(&now, &ofMain, &changes)
  // SAFETY: CChar and UInt8 have the same layout, and the text is NUL-terminated.
  let text = UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)
  // A failure has no consequences.
  _ = cp_set_own_thread_name(text)
}
