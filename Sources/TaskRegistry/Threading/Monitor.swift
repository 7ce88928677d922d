import CPlatform

// LOCKING
// A Monitor is one pthread mutex and the state it guards. The state can be reached through
// `withLock` alone. Order: a Monitor's mutex may be held while a Parker's is taken, never the other
// way round, and never two Monitors at once. Under a Monitor nothing is called that blocks, runs
// the application's code, creates a thread, allocates or frees.

/// State that a `Monitor` guards, with the invariants that hold whenever the lock is free.
protocol MonitorState {
  /// Stops the program when an invariant is broken; called in debug builds on leaving the lock.
  func checkInvariants()
}

/// A mutex with the state it guards inside.
///
/// The mutex and the state live in one block of memory allocated once, so that their addresses are
/// stable; the value itself is two pointers and may be copied. `pthread_mutex_t` is used rather
/// than `Synchronization.Mutex` because ThreadSanitizer reports correct uses of the latter.
struct Monitor<State: MonitorState> {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let state: UnsafeMutablePointer<State>

  /// Allocates the memory; nil without memory.
  init?(_ initial: State) {
    let mutexRoom = (MemoryLayout<pthread_mutex_t>.size + 63) & ~63
    guard let memory = malloc(mutexRoom + MemoryLayout<State>.size) else { return nil }
    mutex = memory.bindMemory(to: pthread_mutex_t.self, capacity: 1)
    state = (memory + mutexRoom).bindMemory(to: State.self, capacity: 1)
    mustSucceed(pthread_mutex_init(mutex, nil))
    state.initialize(to: initial)
  }

  /// Runs `body` with the lock held.
  ///
  /// What is to be woken or freed afterwards, `body` returns.
  @inline(__always)
  func withLock<Result>(_ body: (inout State) -> Result) -> Result {
    mustSucceed(pthread_mutex_lock(mutex))
    let result = body(&state.pointee)
    #if DEBUG
      state.pointee.checkInvariants()
    #endif
    mustSucceed(pthread_mutex_unlock(mutex))
    return result
  }

  /// Frees the memory.
  ///
  /// Requires that no thread uses the Monitor any more.
  func destroy() {
    mustSucceed(pthread_mutex_destroy(mutex))
    state.deinitialize(count: 1)
    free(UnsafeMutableRawPointer(mutex))
  }
}

/// Stops the program when a call that can fail only by a defect of ours has failed.
@inline(__always)
func mustSucceed(_ code: Int32) {
  if code != 0 { fatalError() }
}
