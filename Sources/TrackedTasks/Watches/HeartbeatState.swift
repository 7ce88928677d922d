import CPlatform
import Synchronization

/// The heartbeat interval of a thread, and its last heartbeat (E7).
///
/// It is the first field of a task's `TaskActivity`, or of a `ThreadHeartbeats`. All fields are
/// atomics: a snapshot may read them while they change.
struct HeartbeatState: ~Copyable {
  typealias Pointer = UnsafeMutablePointer<HeartbeatState>

  // atomic: nanoseconds; negative while paused; 0 if there is no interval. Written by the spawner,
  // and then by the thread itself; finally, as 0, by a thread that retires it. Sequentially
  // consistent with `stage`, like `beatAt`.
  let interval = Atomic<Int64>(0)
  // atomic: the time of the last heartbeat, on `RunClock`; 0 before the first; `.max` during a wait
  // that is left out.
  let beatAt = Atomic<Int64>(0)
  // atomic: a `HeartbeatStage`; see LOCKING in `HeartbeatWatch.swift`.
  let stage = Atomic<UInt32>(0)
  // atomic: 1 if the library's own waits are left out. Relaxed; the thread's own.
  let sparesWaits = Atomic<UInt32>(0)
  // atomic: its `HeartbeatWatch`, as bits. Written by the spawner and the thread itself.
  let watch = Atomic<UInt>(0)

  /// When the next heartbeat is overdue, on `RunClock`; `.max` while no interval is set.
  static func overdue(_ interval: Int64, _ beatAt: Int64) -> Int64 {
    if interval <= 0 || beatAt == 0 || beatAt == .max { return .max }
    // One more, as a heartbeat at the end of the interval is in time.
    let (sum, overflow) = beatAt.addingReportingOverflow(interval)
    return overflow || sum == .max ? .max : sum + 1
  }
}

extension UnsafeMutablePointer<HeartbeatState> {
  /// Stores every field.
  func clear(interval: Int64) {
    pointee.interval.store(interval, ordering: .relaxed)
    pointee.beatAt.store(0, ordering: .relaxed)
    pointee.stage.store(0, ordering: .relaxed)
    pointee.sparesWaits.store(0, ordering: .relaxed)
    pointee.watch.store(0, ordering: .relaxed)
  }

  /// When the next heartbeat is overdue, on `RunClock`; `.max` while no interval is set.
  var overdueAt: Int64 {
    let interval = pointee.interval.load(ordering: .sequentiallyConsistent)
    return HeartbeatState.overdue(
      interval, pointee.beatAt.load(ordering: .sequentiallyConsistent))
  }

  /// Whether a heartbeat is overdue.
  var isOverdue: Bool {
    pointee.interval.load(ordering: .relaxed) > 0 && overdueAt <= RunClock.now()
  }

  // MARK: The thread with the interval

  /// The interval of the calling thread: its task's, or, outside a task, its own.
  static var ofCaller: HeartbeatState.Pointer? {
    if let task = Worker.currentTask {
      return task.word.hasOptionalState && task.traits.contains(.heartbeat) ? task.heartbeats : nil
    }
    return HeartbeatState.Pointer(bitPattern: ProcessState.threadHeartbeats)
  }

  /// Starts the interval.
  func begin() {
    pointee.beatAt.store(RunClock.now(), ordering: .sequentiallyConsistent)
    if let watch { TimerThread.withQueue { watch.arm(&$0) } }
  }

  /// Records a heartbeat.
  func beat() -> Status { beat {} }

  /// Records a heartbeat, and then changes the interval.
  ///
  /// The end of a stall is reported afterwards: the log's function may take longer than an interval,
  /// and may itself set another one.
  @inline(__always)
  private func beat(_ change: () -> Void) -> Status {
    let before = pointee.beatAt.load(ordering: .relaxed)
    let now = RunClock.now()
    pointee.beatAt.store(now, ordering: .sequentiallyConsistent)
    change()
    if currentStage == .quiet { return .ok }
    return watch?.hasRecovered(silence: before == .max ? 0 : now &- before) ?? .ok
  }

  /// Sets another interval from now on; 0 is none.
  func change(to interval: Int64, sparesWaits: Bool) -> Status {
    let status = beat {
      pointee.sparesWaits.store(sparesWaits ? 1 : 0, ordering: .relaxed)
      pointee.interval.store(interval, ordering: .sequentiallyConsistent)
    }
    if status != .ok { return status }
    watch?.intervalHasChanged(to: interval)
    return .ok
  }

  /// Suspends the interval until `resume`.
  func pause() -> Status {
    let interval = pointee.interval.load(ordering: .relaxed)
    if interval < 0 { return .ok }
    return beat { if interval > 0 { negate(interval) } }
  }

  /// Sets the interval that `pause` suspended.
  func resume() -> Status {
    let interval = pointee.interval.load(ordering: .relaxed)
    if interval >= 0 { return beat() }
    // The heartbeat first: the next one is due one interval from now.
    pointee.beatAt.store(RunClock.now(), ordering: .sequentiallyConsistent)
    negate(interval)
    return beat()
  }

  /// A thread that retires the interval sets it to 0, and it must stay 0.
  private func negate(_ interval: Int64) {
    _ = pointee.interval.compareExchange(
      expected: interval, desired: -interval, ordering: .sequentiallyConsistent)
  }

  /// Starts a wait that is left out: no heartbeat is due until it is over.
  ///
  /// - Parameter reports: whether the start counts as a heartbeat, which may send an event.
  fileprivate func rest(reports: Bool) {
    if reports { _ = beat() }
    pointee.beatAt.store(.max, ordering: .sequentiallyConsistent)
  }

  /// Ends such a wait.
  fileprivate func rise() {
    pointee.beatAt.store(RunClock.now(), ordering: .sequentiallyConsistent)
    // Every other stage is left to the next heartbeat.
    if currentStage == .idle { _ = watch?.hasRecovered(silence: 0) }
  }

  // MARK: The stage

  var watch: HeartbeatWatch.Pointer? {
    HeartbeatWatch.Pointer(bitPattern: pointee.watch.load(ordering: .relaxed))
  }

  var currentStage: HeartbeatStage {
    HeartbeatStage(rawValue: pointee.stage.load(ordering: .sequentiallyConsistent)) ?? .quiet
  }

  func enter(_ stage: HeartbeatStage) {
    pointee.stage.store(stage.rawValue, ordering: .sequentiallyConsistent)
  }
}

/// Runs `body`, one of the library's own waits, which the calling thread's interval may leave out
/// (E7).
///
/// - Parameters:
///   - reports: whether the end of a stall may be reported here, as no lock of the application's is
///     held.
///   - body: the wait.
/// - Returns: what `body` returned.
func withHeartbeatsSuspended<Result>(reports: Bool = true, _ body: () -> Result) -> Result {
  guard let heartbeats = HeartbeatState.Pointer.ofCaller,
    heartbeats.pointee.sparesWaits.load(ordering: .relaxed) != 0,
    // A wait within a wait.
    heartbeats.pointee.beatAt.load(ordering: .relaxed) != .max
  else { return body() }
  heartbeats.rest(reports: reports)
  let result = body()
  // It may call the log's function; the wait may have set errno for its caller.
  let error = cp_errno()
  if !ProcessState.isForkedChild { heartbeats.rise() }
  cp_set_errno(error)
  return result
}

extension TaskReference {
  /// The task's interval, in its `TaskActivity`.
  ///
  /// Requires that it has one.
  var heartbeats: HeartbeatState.Pointer {
    // SAFETY: the first field of a `TaskActivity`.
    UnsafeMutableRawPointer(activity).assumingMemoryBound(to: HeartbeatState.self)
  }

  // MARK: The life of an interval

  /// Makes what a task with a heartbeat interval needs.
  ///
  /// Its `TaskActivity` was cleared.
  func prepareHeartbeats(interval: Int64) -> Status {
    let (status, watch) = HeartbeatWatch.make(.task(self), heartbeats, interval: interval)
    heartbeats.pointee.watch.store(UInt(bitPattern: watch), ordering: .relaxed)
    return status
  }

  /// Starts the interval: the task's thread is about to enter the body.
  func beginHeartbeats() { heartbeats.begin() }

  /// Ends the interval: the body is over, or does not run.
  ///
  /// Waits for a report that is under way.
  func endHeartbeats() {
    heartbeats.pointee.interval.store(0, ordering: .relaxed)
    heartbeats.pointee.sparesWaits.store(0, ordering: .relaxed)
    heartbeats.watch?.end()
    heartbeats.pointee.watch.store(0, ordering: .relaxed)
  }

  /// Sets the interval of the calling task, or changes it.
  fileprivate func setHeartbeatInterval(_ interval: Int64, sparesWaits: Bool) -> Status {
    // An interval set later would not be ended by anything.
    if Worker.current?.pointee.stage != .body {
      return .invalid("tr_heartbeat_promise", "the body of the calling task is over")
    }
    if word.hasOptionalState && traits.contains(.heartbeat) {
      return heartbeats.change(to: interval, sparesWaits: sparesWaits)
    }
    if interval == 0 { return .ok }
    _ = openActivity()
    let status = prepareHeartbeats(interval: interval)
    if status != .ok { return status }
    heartbeats.pointee.interval.store(interval, ordering: .relaxed)
    heartbeats.pointee.sparesWaits.store(sparesWaits ? 1 : 0, ordering: .relaxed)
    add(.heartbeat)
    heartbeats.begin()
    return .ok
  }
}

/// Records a heartbeat of the calling thread (E7).
///
/// - Returns: `.ok`, also for a task without an interval; `.invalid` outside a task, in a thread
///   without an interval, if there is no systemd watchdog.
func recordHeartbeat() -> Status {
  if let heartbeats = HeartbeatState.Pointer.ofCaller {
    if Worker.currentTask != nil || !ThreadHeartbeats.isOver { return heartbeats.beat() }
  } else if Worker.currentTask != nil {
    return .ok
  }
  return ThreadHeartbeats.setForWatchdog()
}

/// Sets the calling thread's heartbeat interval: from now on, at least one heartbeat every
/// `interval` nanoseconds (E7).
///
/// - Parameters:
///   - interval: 0 is none from now on.
///   - sparesWaits: whether the time in the library's own waits is left out.
///   - registry: the registry whose health includes the thread; in a task nil, or the task's own.
/// - Returns: `.ok`; `.invalid`; `.noMemory`, `.again`; `.deadlock` as `ThreadHeartbeats.withdraw`.
func setHeartbeatInterval(
  every interval: Int64, sparesWaits: Bool, in registry: RegistryReference?
) -> Status {
  if interval < 0 { return .invalid("tr_heartbeat_promise", "interval_ns is negative") }
  // At least a millisecond: with a shorter interval, the timer thread would do nothing else.
  let interval = interval == 0 ? 0 : max(interval, 1_000_000)
  if let task = Worker.currentTask {
    if let registry, registry != task.registry {
      return .invalid("tr_heartbeat_promise", "registry is not the calling task's")
    }
    return task.setHeartbeatInterval(interval, sparesWaits: sparesWaits)
  }
  if interval == 0 { return ThreadHeartbeats.withdraw() }
  guard let registry else {
    return .invalid("tr_heartbeat_promise", "registry is NULL, and the caller is not a task")
  }
  return ThreadHeartbeats.set(interval, sparesWaits: sparesWaits, in: registry)
}

/// Pauses the calling thread's interval, or resumes it; `.invalid` if it has none.
func setHeartbeatsPaused(_ isPaused: Bool) -> Status {
  guard let heartbeats = HeartbeatState.Pointer.ofCaller else {
    return .invalid(
      isPaused ? "tr_heartbeat_pause" : "tr_heartbeat_resume",
      "the caller has no heartbeat interval")
  }
  return isPaused ? heartbeats.pause() : heartbeats.resume()
}
