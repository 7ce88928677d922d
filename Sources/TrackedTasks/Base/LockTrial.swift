import CPlatform
import Synchronization

/// Finds out where glibc's own code makes the system calls in which its locks wait, once (Q2).
///
/// A futex call does not say whose lock it is of: locks of other libraries make calls with the same
/// arguments, and the bytes behind their words mean something else. But each kind of glibc's locks
/// waits at an instruction of its own, and Linux shows the instruction. So a thread is made that
/// waits in each of them, while the caller holds them; what is known of the layout is checked in
/// the same locks. If a thread of an emulator makes all calls, or the layout is another, no lock is
/// taken for one of glibc's.
enum LockTrial {
  // atomic: one of the steps below; released after the places.
  private static let step = Atomic<UInt32>(untried)
  // atomic: relaxed, valid from `known` on.
  private static let mutex = Atomic<UInt64>(0)
  private static let robust = Atomic<UInt64>(0)
  private static let timed = Atomic<UInt64>(0)
  private static let signal = Atomic<UInt64>(0)
  // atomic: likewise.
  private static let endWord = Atomic<Int64>(-1)
  // atomic: relaxed; the latest trial, as bits, never followed: while its thread uses it, it can be
  // found from here, also in a child of fork, where that thread does not exist.
  private static let trial = Atomic<UInt>(0)
  // atomic: relaxed; when it last failed for want of a thread, of memory or of time, on
  // `CLOCK_MONOTONIC`; 0: never.
  private static let failedAt = Atomic<Int64>(0)

  private static var untried: UInt32 { 0 }
  private static var known: UInt32 { 1 }
  /// The locks are not those that the library was built for.
  private static var other: UInt32 { 2 }

  /// How long after a failure it is tried again, in nanoseconds: so it costs a report one try.
  private static var patience: Int64 { 10_000_000_000 }

  /// The places; or why there are none.
  ///
  /// The first call makes a thread, and waits for it for a fifth of a second at the most.
  ///
  /// *Concurrency:* any thread; two that come first both try.
  static func places() -> (places: WaitPlaces, gap: WaitEdge.Gap) {
    if step.load(ordering: .acquiring) == untried {
      let failed = failedAt.load(ordering: .relaxed)
      if failed != 0 && monotonicNow() &- failed < patience { return (WaitPlaces(), .untested) }
      withCancellationDisabled { run() }
    }
    switch step.load(ordering: .acquiring) {
    case known:
      return (
        WaitPlaces(
          mutex: mutex.load(ordering: .relaxed), robust: robust.load(ordering: .relaxed),
          timed: timed.load(ordering: .relaxed), signal: signal.load(ordering: .relaxed),
          endWord: endWord.load(ordering: .relaxed)), .none
      )
    case other: return (WaitPlaces(), .otherLibrary)
    default: return (WaitPlaces(), .untested)
    }
  }

  private static func run() {
    if !cp_knows_locks() {
      step.store(other, ordering: .releasing)
      return
    }
    guard let trial = cp_lock_trial_make() else {
      failedAt.store(monotonicNow(), ordering: .relaxed)
      return
    }
    self.trial.store(UInt(bitPattern: trial), ordering: .relaxed)
    let code = startThread(
      stackSize: 1 << 20, isDetached: true, argument: UnsafeMutableRawPointer(trial)
    ) { argument in
      beginOwnThread("taskreg-trial")
      // SAFETY: `run` passes it.
      let trial = argument.unsafelyUnwrapped.assumingMemoryBound(to: cp_lock_trial.self)
      cp_lock_trial_run(trial, cp_gettid())
      return nil
    }.code
    var places = WaitPlaces()
    var outcome = untried
    var released: Int32 = 0
    if code == 0 { outcome = observe(trial, &places, &released) }
    while released < 4 {
      cp_lock_trial_let_go(trial, released)
      released += 1
    }
    if code != 0 { cp_lock_trial_drop(trial) }
    cp_lock_trial_drop(trial)
    if outcome == untried {
      failedAt.store(monotonicNow(), ordering: .relaxed)
      return
    }
    mutex.store(places.mutex, ordering: .relaxed)
    robust.store(places.robust, ordering: .relaxed)
    timed.store(places.timed, ordering: .relaxed)
    signal.store(places.signal, ordering: .relaxed)
    endWord.store(places.endWord, ordering: .relaxed)
    step.store(outcome, ordering: .releasing)
  }

  /// - Parameters:
  ///   - trial: whose locks the caller holds.
  ///   - places: is filled.
  ///   - released: the steps that the thread has been let go from.
  /// - Returns: `known`, `other`, or `untried` if the thread did not come so far in time.
  private static func observe(
    _ trial: UnsafeMutablePointer<cp_lock_trial>, _ places: inout WaitPlaces,
    _ released: inout Int32
  ) -> UInt32 {
    let end = Deadline.after(200_000_000)
    while released < 4 {
      let lock = cp_lock_trial_lock(trial, released)
      guard let call = wait(trial, at: lock, until: end) else { return untried }
      switch released {
      case 0: places.mutex = call.instruction
      case 1: places.robust = call.instruction
      case 2: places.timed = call.instruction
      default:
        places.signal = call.instruction
        places.endWord = cp_lock_trial_end_word(trial)
      }
      let edge = ThreadProbe.edge(of: call, ofThread: cp_lock_trial_thread(trial), places)
      let isRight =
        switch edge.kind {
        case .mutex: released < 2 && edge.holder == cp_gettid() && edge.address == lock
        case .rwlock: released == 2 && edge.holder == cp_gettid() && edge.address == lock
        case .signal: released == 3
        default: edge.gap == .forbidden
        }
      if !isRight { return edge.gap == .changed ? untried : other }
      cp_lock_trial_let_go(trial, released)
      released += 1
    }
    return places.areDistinct ? known : other
  }

  /// Waits until the thread waits in a lock; nil if it does not in time, or that cannot be seen.
  private static func wait(
    _ trial: UnsafeMutablePointer<cp_lock_trial>, at lock: UInt64, until end: Deadline
  ) -> SystemCall? {
    while true {
      let thread = cp_lock_trial_thread(trial)
      if thread != 0 {
        let call = ThreadProbe.call(ofThread: thread)
        if call.place == .unknown { return nil }
        let isThere =
          cp_call_arguments(call.number) == CallArguments.futex.rawValue
          && call.words[0] &- lock < UInt64(LockBytes.most)
        if isThere { return call }
      }
      if end.hasPassed { return nil }
      cp_pause(50_000)
    }
  }
}
