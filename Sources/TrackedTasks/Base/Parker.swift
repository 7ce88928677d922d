import CPlatform

// LOCKING
// A Parker's mutex guards its permit and is a leaf: nothing else is taken under it.

/// One thread's place to sleep: a permit, a mutex and a condition variable.
///
/// The semantics are those of `LockSupport.park` (Doug Lea, java.util.concurrent): `unpark` gives
/// the permit, `park` waits for it and takes it. A permit may be left over from earlier, so `park`
/// may return spuriously and every caller loops around its own predicate. A thread publishes where
/// it sleeps *before* it reads the predicate, and a waker changes the predicate *before* it
/// unparks: so no wake-up is lost.
///
/// The condition variable is process-shared only to avoid the small private futex hash that Linux
/// 6.16 and newer give each process. In it, a crowd of sleepers makes every wake-up walk a long
/// chain.
struct Parker {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  /// Signalled when the permit becomes true.
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  private let permit: UnsafeMutablePointer<Bool>

  /// Bytes of memory a Parker needs, aligned to 16.
  static var byteCount: Int {
    MemoryLayout<pthread_mutex_t>.size + MemoryLayout<pthread_cond_t>.size + 16
  }

  /// Makes a Parker in `memory`, which has `byteCount` bytes and outlives it.
  init(at memory: UnsafeMutableRawPointer) {
    mutex = memory.bindMemory(to: pthread_mutex_t.self, capacity: 1)
    let afterMutex = memory + MemoryLayout<pthread_mutex_t>.size
    condition = afterMutex.bindMemory(to: pthread_cond_t.self, capacity: 1)
    let afterCondition = afterMutex + MemoryLayout<pthread_cond_t>.size
    permit = afterCondition.bindMemory(to: Bool.self, capacity: 1)

    var mutexAttributes = pthread_mutexattr_t()
    mustSucceed(pthread_mutexattr_init(&mutexAttributes), "pthread_mutexattr_init")
    mustSucceed(
      pthread_mutexattr_setpshared(&mutexAttributes, cp_process_shared()),
      "pthread_mutexattr_setpshared")
    mustSucceed(pthread_mutex_init(mutex, &mutexAttributes), "pthread_mutex_init")
    mustSucceed(pthread_mutexattr_destroy(&mutexAttributes), "pthread_mutexattr_destroy")

    var attributes = pthread_condattr_t()
    mustSucceed(pthread_condattr_init(&attributes), "pthread_condattr_init")
    mustSucceed(
      pthread_condattr_setclock(&attributes, cp_clock_monotonic()), "pthread_condattr_setclock")
    mustSucceed(
      pthread_condattr_setpshared(&attributes, cp_process_shared()), "pthread_condattr_setpshared")
    mustSucceed(pthread_cond_init(condition, &attributes), "pthread_cond_init")
    mustSucceed(pthread_condattr_destroy(&attributes), "pthread_condattr_destroy")
    permit.initialize(to: false)
  }

  /// Waits for the permit and takes it.
  ///
  /// Called only by the owning thread.
  ///
  /// - Returns: false when `deadline` passed without a permit.
  func park(until deadline: Deadline) -> Bool {
    mustSucceed(pthread_mutex_lock(mutex), "pthread_mutex_lock")
    var code: Int32 = 0
    if deadline.isNever {
      while !permit.pointee && code == 0 { code = pthread_cond_wait(condition, mutex) }
    } else {
      var limit = deadline.timespec
      while !permit.pointee && code == 0 {
        code = pthread_cond_timedwait(condition, mutex, &limit)
      }
    }
    let permitted = permit.pointee
    permit.pointee = false
    mustSucceed(pthread_mutex_unlock(mutex), "pthread_mutex_unlock")
    if code != ETIMEDOUT { mustSucceed(code, "pthread_cond_timedwait") }
    return permitted
  }

  /// Gives the permit; the owner's `park` returns.
  ///
  /// Any thread may call it while the Parker lives.
  func unpark() {
    mustSucceed(pthread_mutex_lock(mutex), "pthread_mutex_lock")
    let wasPermitted = permit.pointee
    permit.pointee = true
    mustSucceed(pthread_mutex_unlock(mutex), "pthread_mutex_unlock")
    // After the unlock, so that the woken thread does not block on the mutex.
    if !wasPermitted { mustSucceed(pthread_cond_signal(condition), "pthread_cond_signal") }
  }

  /// Requires that no thread parks or unparks any more.
  func destroy() {
    mustSucceed(pthread_cond_destroy(condition), "pthread_cond_destroy")
    mustSucceed(pthread_mutex_destroy(mutex), "pthread_mutex_destroy")
  }
}

/// Runs `body` with a place to sleep on the stack, to which no other code gives permits.
func withParkerOfItsOwn<Result>(_ body: (Parker) -> Result) -> Result {
  withUnsafeTemporaryAllocation(byteCount: Parker.byteCount, alignment: 16) { memory in
    // SAFETY: a temporary allocation of that size has a base address.
    let parker = Parker(at: memory.baseAddress.unsafelyUnwrapped)
    let result = body(parker)
    parker.destroy()
    return result
  }
}
