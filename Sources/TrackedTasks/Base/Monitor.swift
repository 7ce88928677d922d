import CPlatform

// LOCKING
// A Monitor is one pthread mutex and the state it guards. The state can be reached only through
// `withLock`. Order: a Monitor's mutex may be held while a Parker's is taken, never the other way
// round, and never two Monitors at once. Nothing is called under a Monitor that blocks, runs the
// application's code, creates a thread, allocates or frees: a locked section is a few instructions
// for each thing it changes. Even so, a thread can be preempted or stopped in one, and other
// threads that need the lock then wait for it; a call with a deadline uses `withLock(until:)` where
// it can (P6).

/// State that a `Monitor` guards, with the invariants that hold whenever the lock is free.
protocol MonitorState {
  /// Stops the program if an invariant is broken; called in debug builds when the lock is released.
  func checkInvariants()
}

/// A mutex with the state it guards inside.
///
/// The mutex and the state live in one block of memory, allocated once, so that their addresses are
/// stable; the value itself is two pointers and may be copied. `pthread_mutex_t` is used instead of
/// `Synchronization.Mutex` because ThreadSanitizer reports correct uses of the latter.
struct Monitor<State: MonitorState> {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let state: UnsafeMutablePointer<State>

  /// Allocates the memory; nil if there is none.
  init?(_ initial: State) {
    guard let memory = malloc(Self.mutexRoom + MemoryLayout<State>.size) else { return nil }
    mutex = memory.bindMemory(to: pthread_mutex_t.self, capacity: 1)
    state = (memory + Self.mutexRoom).bindMemory(to: State.self, capacity: 1)
    mustSucceed(pthread_mutex_init(mutex, nil), "pthread_mutex_init")
    state.initialize(to: initial)
  }

  /// The Monitor whose `bits` these are; nil for 0.
  init?(bits: UInt) {
    guard let memory = UnsafeMutableRawPointer(bitPattern: bits) else { return nil }
    mutex = memory.assumingMemoryBound(to: pthread_mutex_t.self)
    state = (memory + Self.mutexRoom).assumingMemoryBound(to: State.self)
  }

  /// The address of its memory.
  var bits: UInt { UInt(bitPattern: mutex) }

  private static var mutexRoom: Int { (MemoryLayout<pthread_mutex_t>.size + 63) & ~63 }

  /// Runs `body` with the lock held.
  ///
  /// `body` returns what must be woken or freed afterwards.
  @inline(__always)
  func withLock<Result>(_ body: (inout State) -> Result) -> Result {
    mustSucceed(pthread_mutex_lock(mutex), "pthread_mutex_lock")
    let result = body(&state.pointee)
    #if DEBUG
      state.pointee.checkInvariants()
    #endif
    mustSucceed(pthread_mutex_unlock(mutex), "pthread_mutex_unlock")
    return result
  }

  /// Runs `body` with the lock held, unless the lock is not free by the deadline.
  ///
  /// - Returns: the result of `body`; nil if it was not called.
  func withLock<Result>(until deadline: Deadline, _ body: (inout State) -> Result) -> Result? {
    if deadline.isNever { return withLock(body) }
    var limit = deadline.timespec
    let code = cp_mutex_clocklock(mutex, &limit)
    if code == ETIMEDOUT { return nil }
    mustSucceed(code, "pthread_mutex_clocklock")
    let result = body(&state.pointee)
    #if DEBUG
      state.pointee.checkInvariants()
    #endif
    mustSucceed(pthread_mutex_unlock(mutex), "pthread_mutex_unlock")
    return result
  }

  /// Frees the memory.
  ///
  /// Requires that no thread uses the Monitor any more.
  func destroy() {
    mustSucceed(pthread_mutex_destroy(mutex), "pthread_mutex_destroy")
    state.deinitialize(count: 1)
    free(UnsafeMutableRawPointer(mutex))
  }
}

/// Ends the process when a call has failed that can fail only by a defect of the library, or
/// because a system call filter forbids it.
///
/// It first prints which call it was. It is never used for a result that depends on what the
/// application does with its own objects, or with the thread that runs it.
///
/// - Parameters:
///   - code: the result of the call: 0, or an error number.
///   - call: its name.
///   - advice: what to check.
///   - file: where it is called.
///   - line: likewise.
@inline(__always)
func mustSucceed(
  _ code: Int32, _ call: StaticString,
  advice: StaticString = "Does a filter of system calls (seccomp) forbid it?",
  file: StaticString = #fileID, line: UInt = #line
) {
  if code != 0 { endProcess(code, call, advice, file, line) }
}

/// The only text that the library prints (O2).
@inline(never)
private func endProcess(
  _ code: Int32, _ call: StaticString, _ advice: StaticString, _ file: StaticString, _ line: UInt
) -> Never {
  withFixedText {
    $0.append("libtaskreg: ")
    $0.append(call)
    $0.append(" failed with error ")
    $0.append(code)
    $0.append(" at ")
    $0.append(file)
    $0.append(":")
    $0.append(Int32(truncatingIfNeeded: line))
    $0.append(", and nothing can go on without it. ")
    $0.append(advice)
    $0.append(" If not, please report it as a defect of the library's.\n")
  } _: {
    _ = cp_write_all(2, $0, strlen($0))
  }
  fatalError("see the message above")
}
