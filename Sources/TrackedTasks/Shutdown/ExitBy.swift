import CPlatform
import Synchronization

// LOCKING
// `current` is the one arming that counts, and changes hands by exchange: whoever takes an arming
// out withdraws it, joins its threads and frees it. An arming that has begun to end the process is
// never freed.
//
// The bell is the word on which the threads of all armings sleep. It is made by the first arming
// and never freed, so that a signal handler may ring it at any time.
//
// Why no signal is missed: an arming that is to start with a signal reads how many stops the bell
// has counted, and then whether the watch has had one before. A handler first records the stop in
// the watch, and then counts it in the bell. All of it is sequentially consistent, so the arming
// sees one of the two.
//
// A stall that is to end the process is stored in the bell while something is armed, under the timer
// thread's Monitor. What is stored there stays, and an arming that replaces the current one ends the
// process at once. `cancel` takes an arming out under the same Monitor, and not once a stall is
// stored: so no arming that the stall relies on is withdrawn, and no stall is left for an arming that
// it has nothing to do with. No other lock is used, and none by the threads of an arming.

/// The end of the process that comes whatever hangs (F1, F2).
///
/// A stop can hang outside all tasks: in the main thread before `tr_shutdown`, in a handler of
/// atexit(3), in a destructor, under a lock of the allocator's or the loader's. Then no deadline of
/// a join helps. An arming keeps two threads for that, which exist from its start:
///
/// - the *reporter* writes what every registry and every thread is doing, once the time is over,
///   and ends the process;
/// - the *ender* ends it a little later, if the report could not be written by then.
///
///     preparing → armed → ending
///         └─────────┴───→ withdrawn
///
///     preparing → armed     [ExitArming.startThreads]: both threads are ready
///     preparing → withdrawn [ExitArming.startThreads]: the system refuses the second thread
///     armed → ending        [ExitArming.beginEnding], by the first of its two threads
///     armed → withdrawn     [ExitArming.withdraw], by `cancel`, or by `arm` for the one before
enum ExitBy {
  /// The arming that counts, as bits; 0 for none.
  ///
  /// atomic: see LOCKING; acquire and release.
  private static let current = Atomic<UInt>(0)
  /// The parent's arming, in a child of fork, as bits: its threads are not there.
  ///
  /// atomic: relaxed; not used, only reachable for leak checkers.
  private static let leftBehind = Atomic<UInt>(0)

  /// How long writing the report may take unless the caller says otherwise, in nanoseconds.
  static var defaultReportTime: Int64 { 1_000_000_000 }

  /// Arms the end, which replaces an earlier arming once it is complete.
  ///
  /// - Parameter request: checked.
  /// - Returns: `.ok`; `.noMemory`; `.again` if the system refuses a thread; `.system` with errno
  ///   set, if the descriptor is not open, none is available, or the file cannot be opened.
  static func arm(_ request: ExitRequest) -> Status {
    let prepared = ProcessState.prepare()
    if prepared != .ok { return prepared }
    guard let bell = ExitBell.existingOrNew() else { return .noMemory }
    // Opening and joining are cancellation points.
    return withCancellationDisabled {
      let (status, made) = ExitArming.start(request, bell)
      guard let made else { return status }
      let before = current.exchange(UInt(bitPattern: made), ordering: .acquiringAndReleasing)
      _ = ExitArming.Pointer(bitPattern: before)?.withdraw()
      return .ok
    }
  }

  /// Whether something is armed; under the timer thread's lock that stays so.
  static var isArmed: Bool { current.load(ordering: .acquiring) != 0 }

  /// Withdraws the arming: nothing is ended.
  ///
  /// - Returns: `.ok`; `.invalid` if there is none; `.deadline` if the process is about to end.
  static func cancel() -> Status {
    if ProcessState.isForkedChild { return .forked }
    // Without a timer thread there is no stall.
    let (isUsed, bits) = TimerThread.changeIfExisting { _ in takeOut() } ?? takeOut()
    if isUsed { return .deadline }
    guard let arming = ExitArming.Pointer(bitPattern: bits) else {
      return .invalid("tr_exit_by_cancel", "the process is not armed; tr_exit_by arms it")
    }
    return withCancellationDisabled { arming.withdraw() } ? .ok : .deadline
  }

  /// Takes the arming out of `current`, as bits, unless a stall relies on it.
  private static func takeOut() -> (isUsed: Bool, bits: UInt) {
    if ExitBell.existing?.pointee.stall != nil { return (true, 0) }
    return (false, current.exchange(0, ordering: .acquiringAndReleasing))
  }

  /// Ends the process now, as it was armed: a task has missed its heartbeats for too long (F4).
  ///
  /// Requires the timer thread's lock. It takes no other, and allocates nothing.
  ///
  /// - Returns: false if nothing is armed: then nothing has been done.
  static func endNow(_ stall: ExitBell.Stall) -> Bool {
    if !isArmed { return false }
    ExitBell.existing?.endProcess(for: stall)
    return true
  }

  /// The same, also if nothing is armed: then the threads, and the memory, are made now; or, if
  /// they are not available, the calling thread ends the process.
  ///
  /// Called without the lock.
  static func armAndEndNow(_ stall: ExitBell.Stall) {
    while !TimerThread.withQueue({ _ in endNow(stall) }) {
      // One whose time never comes: it ends the process for the stall, and the report says so.
      let status = arm(ExitRequest(after: .max))
      if ProcessState.isForkedChild { return }
      if status != .ok { endHere(stall) }
    }
  }

  /// Ends the process on the calling thread, with the report that the threads would have made.
  ///
  /// Nobody ends it if that blocks: so it is written as long as its descriptor takes it, and not for
  /// longer than it may take. Called without a lock.
  static func endHere(_ stall: ExitBell.Stall) -> Never {
    let request = ExitRequest(after: .max)
    ExitReport(request, .none, stall).write(
      to: request.descriptor, until: .after(request.reportTime))
    cp_end_process(request.code)
  }

  /// Starts the time of an arming that waits for a stop; async-signal-safe.
  ///
  /// The caller has recorded the stop in the signal watch before, if it is a signal.
  static func stopHasCome(by cause: ExitStart.Cause) { ExitBell.existing?.countStop(cause) }

  /// Makes the threads check everything.
  static func wake() { ExitBell.existing?.ring() }

  /// In a child of fork nothing is armed; async-signal-safe.
  static func processHasForked() {
    ExitBell.existing?.forgetStall()
    let bits = current.exchange(0, ordering: .acquiringAndReleasing)
    if bits == 0 { return }
    leftBehind.store(bits, ordering: .relaxed)
    ExitArming.Pointer(bitPattern: bits)?.closeSharedDescriptors()
  }
}

/// How the process is to end; checked, and with the defaults filled in.
struct ExitRequest {
  /// Nanoseconds, not negative.
  var after: Int64
  /// Whether the time starts with the first stop of the signal watch, not with the call.
  var startsWithSignal = false
  /// Whether the process ends by SIGABRT, not by `code`.
  var aborts = false
  /// Nanoseconds, more than 0.
  var reportTime = ExitBy.defaultReportTime
  /// The status with which the process ends.
  var code: Int32 = defaultCode
  /// Where the report goes; negative: nowhere.
  var descriptor: Int32 = 2
  /// The path of a file to which the reason is appended, NUL-terminated; nil: none.
  var reasonFile: UnsafePointer<UInt8>?

  /// As timeout(1) ends, when the time is over.
  static var defaultCode: Int32 { 124 }
}

/// What the threads of all armings sleep on, and how a signal handler wakes them.
struct ExitBell: ~Copyable {
  typealias Pointer = UnsafeMutablePointer<ExitBell>

  // atomic: incremented for each change that the threads must see. The first field: a futex.
  // Released by the thread that changed something, acquired by those that sleep.
  let event = Atomic<UInt32>(0)
  // atomic: how many stops have come. Sequentially consistent; see LOCKING.
  let stops = Atomic<UInt64>(0)
  // atomic: when the last of them came, and what it was; see `ExitStart`. Stored before `stops` is
  // changed.
  let lastStop = Atomic<Int64>(0)
  // atomic: 0: no stall is to end the process; 1: one is being stored; 2: `firstStall` is stored.
  // Changed under the timer thread's Monitor, and read by the threads of the armings without it.
  fileprivate let stallState = Atomic<UInt32>(0)
  // Written by the thread that has changed `stallState` from 0 to 1; read once that is 2.
  fileprivate var firstStall = Stall()

  /// A task, or a thread, that has missed its heartbeats for so long that the process ends (F4).
  struct Stall {
    var name = TaskName()
    /// How long ago the last heartbeat was, in nanoseconds.
    var silence: Int64 = 0
    /// When that was found, on `CLOCK_MONOTONIC`.
    var at: Int64 = 0

    init() {}

    /// The stall of a task or thread that is found now.
    init(_ subject: HeartbeatSubject, _ silence: Int64) {
      name = subject.name
      self.silence = silence
      at = monotonicNow()
    }
  }

  /// The first such stall; nil if there is none.
  var stall: Stall? { stallState.load(ordering: .sequentiallyConsistent) == 2 ? firstStall : nil }

  /// The only one, as bits; made at the first arming and never freed.
  ///
  /// atomic: stored with release, loaded with acquire.
  private static let shared = Atomic<UInt>(0)

  static var existing: Pointer? { Pointer(bitPattern: shared.load(ordering: .acquiring)) }

  /// The bell; nil without memory.
  static func existingOrNew() -> Pointer? {
    if let existing { return existing }
    guard let memory = malloc(MemoryLayout<ExitBell>.stride) else { return nil }
    let made = memory.bindMemory(to: ExitBell.self, capacity: 1)
    made.initialize(to: ExitBell())
    let (isMine, seen) = shared.compareExchange(
      expected: 0, desired: UInt(bitPattern: made), ordering: .acquiringAndReleasing)
    if isMine { return made }
    // Another thread was faster.
    free(memory)
    return Pointer(bitPattern: seen)
  }
}

extension ExitBell.Pointer {
  /// Wakes all threads that sleep on the bell; async-signal-safe.
  func ring() {
    pointee.event.wrappingAdd(1, ordering: .acquiringAndReleasing)
    cp_futex_wake(self)
  }

  /// Makes the armed threads end the process now, unless an earlier stall does.
  fileprivate func endProcess(for stall: ExitBell.Stall) {
    let (isFirst, _) = pointee.stallState.compareExchange(
      expected: 0, desired: 1, ordering: .sequentiallyConsistent)
    if !isFirst { return }
    pointee.firstStall = stall
    pointee.stallState.store(2, ordering: .sequentiallyConsistent)
    ring()
  }

  /// Forgets the stall of the parent process; async-signal-safe.
  fileprivate func forgetStall() { pointee.stallState.store(0, ordering: .relaxed) }

  /// Counts a stop; async-signal-safe.
  func countStop(_ cause: ExitStart.Cause) {
    let stop = ExitStart(cause, at: monotonicNow())
    pointee.lastStop.store(stop.bits, ordering: .sequentiallyConsistent)
    pointee.stops.wrappingAdd(1, ordering: .sequentiallyConsistent)
    ring()
  }
}
