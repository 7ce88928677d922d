import CPlatform
import Synchronization

// LOCKING
// The worker is taken from the spare ones and returned to them under the registry's Monitor;
// between the two it is the adopted thread's own. The end of the task is that of any other
// (`Completion.swift`).
//
// The worker stays counted as a thread until it is returned: a shutdown that returns `.ok` has
// waited for the callbacks for the end of the task, as it does for those on its own threads (G4). A
// reference to the registry's memory is held until then. What is left afterwards is the release of
// that reference.

/// Threads of the application's that are tasks for a time (A1 to A5).
///
/// Everything that a task does on its own thread finds the task by the thread's `Worker`: waits and
/// their notes, checkpoints, heartbeats, the parker that a raised flag unparks. So an adopted thread
/// borrows a worker for as long as it is a task, and what it borrows is all that is changed about
/// it: its mask, stack, name, scheduling and cancellation state are left alone, and nobody waits for
/// its end.
///
/// The task ends by `leave`, or, if the thread ends before, by the destructor of the thread-specific
/// key. Both go through `Worker.releaseAndLog` and `complete`, as the end of a body does; a log
/// callback that ends the thread in the middle of `leave` is followed by the destructor, which goes
/// on from there.
extension RegistryReference {
  /// Makes the calling thread a task.
  ///
  /// - Parameter request: the task; without a body.
  /// - Returns: as `spawn`; `.invalid` in a task, and in a callback.
  func adopt(_ request: SpawnRequest) -> (Status, TaskReference?) {
    if ProcessState.isForkedChild { return (.forked, nil) }
    if Worker.currentTask != nil { return (.invalid("tr_adopt", "the caller is a task"), nil) }
    if ProcessState.frame != 0 || Worker.currentOrDeparted != nil {
      return (.invalid("tr_adopt", "the caller is in a callback, or a thread of the library"), nil)
    }
    return withCancellationDisabled {
      // A closed registry may be on its way to be freed, and takes no threads.
      if gate.isClosed || token.isCancelled { return (reject(request, .closed), nil) }
      guard let worker = lendWorker() else { return (reject(request, .noMemory), nil) }
      let (status, handle) = enter(request) { task, _ in
        worker.begin(task)
        return .ok
      }
      if status != .ok {
        // Unless a log callback has ended the thread: then its destructor does this.
        if !ProcessState.isForkedChild { worker.detach() }
        return (status, nil)
      }
      // A task has one heartbeat interval, its own.
      _ = ThreadHeartbeats.withdraw()
      return (.ok, handle)
    }
  }

  /// Gives the calling thread a worker; nil without memory.
  private func lendWorker() -> Worker.Pointer? {
    let root = self.root
    guard let worker = root.takeSpareWorker() else { return nil }
    root.retainStorage()
    worker.pointee.isAdopted = true
    worker.pointee.task = nil
    // Only the first value of the key needs memory.
    if ProcessState.setFirstThreadValue(UInt(bitPattern: worker)) != 0 {
      worker.giveBack()
      return nil
    }
    worker.pointee.threadID = cp_gettid()
    worker.pointee.cpuBase.store(ThreadClock.own, ordering: .relaxed)
    worker.pointee.cpu.store(cp_current_cpu(), ordering: .relaxed)
    return worker
  }

  /// The calling thread's own task, if a join of this registry that the thread makes waits for all
  /// others and not for it (A4).
  @inline(never)
  var exemptCaller: TaskReference? {
    guard let worker = Worker.current, worker.pointee.isAdopted, let task = worker.pointee.task,
      task.word.hasOptionalState && task.traits.contains(.joinsOthers),
      task.registry.isWithin(self)
    else { return nil }
    return task
  }

  /// How many of the registry's tasks a join of the calling thread leaves out: 1, or, almost always,
  /// 0.
  var exemptCount: UInt64 { exemptCaller == nil ? 0 : 1 }

  /// How many tasks of `phase` the calling thread waits for; as `joinableCount(of:)`.
  func waitedCount(of phase: UInt32) -> UInt64 {
    let count = joinableCount(of: phase)
    return exemptCaller?.phase == phase ? count &- 1 : count
  }

  /// Counts a wait of the calling thread, which leaves its own task out, among `exemptWaiters`.
  func countExemptWaiter(_ change: Int32) {
    pointer.pointee.exemptWaiters.wrappingAdd(change, ordering: .sequentiallyConsistent)
  }

  /// The phases after `phase` that have tasks for which the calling thread waits, one bit each.
  func waitedPhases(after phase: UInt32) -> UInt32 {
    let present = pointer.pointee.phases.present(after: phase)
    guard let own = exemptCaller?.phase, own > phase, liveCount(of: own) <= 1 else {
      return present
    }
    return present & ~(1 << own)
  }

  /// Whether no task is alive for which a join waits, or one that may be that of a thread that waits
  /// for all others.
  @inline(__always)
  var hasOnlyJoiners: Bool {
    let joinable = joinableCount
    return joinable == 0
      || joinable == 1
        && pointer.pointee.exemptWaiters.load(ordering: .sequentiallyConsistent) != 0
  }
}

/// A join of an adopted thread that waits for all tasks but its own (A4).
///
/// The thread is asked to stop with the others, which must not end the join, and does not call
/// `tr_heartbeat` meanwhile.
struct ExemptJoin {
  let task: TaskReference
  private let hasPaused: Bool

  /// Begins one; nil if the caller is another thread.
  ///
  /// `end` follows, unless a callback ends the thread, and with it the task.
  init?(in registry: RegistryReference) {
    guard let task = registry.exemptCaller, task.beginShield() == .ok else { return nil }
    self.task = task
    hasPaused =
      task.traits.contains(.heartbeat)
      && task.heartbeats.pointee.interval.load(ordering: .relaxed) > 0
    if hasPaused { _ = task.heartbeats.pause() }
  }

  /// Ends the shield and the pause.
  func end() {
    if ProcessState.isForkedChild { return }
    if hasPaused { _ = task.heartbeats.resume() }
    _ = task.endShield()
  }
}

extension Worker {
  /// Ends the task of the calling thread, which was adopted.
  ///
  /// - Parameters:
  ///   - code: 0: it has returned; anything else: it has failed.
  ///   - function: whom a rejected call names.
  /// - Returns: `.ok`; `.invalid` if the thread is not one that can leave; `.forked`.
  static func leave(code: Int32, _ function: StaticString) -> Status {
    if ProcessState.isForkedChild { return .forked }
    guard let worker = current, worker.pointee.isAdopted, let task = worker.pointee.task else {
      return .invalid(function, "the calling thread was not adopted, or has left")
    }
    // The call that has called the callback would go on in a task that is over.
    if ProcessState.frame != 0 { return .invalid(function, "the caller is in a callback") }
    return withCancellationDisabled {
      if task.word.hasOptionalState { task.bodyHasEnded() }
      if code != 0 { task.activity.pointee.code.store(code, ordering: .relaxed) }
      worker.pointee.ending = code == 0 ? .returned : .failed
      return worker.finish(task)
    }
  }

  /// The part of `threadIsEnding` for an adopted thread: it ends without `leave`, or a callback has
  /// ended it in the middle of that.
  static func adoptedThreadIsEnding(_ worker: Pointer) {
    // The key reads nil by now, but the log callback must find itself inside the task.
    setCurrent(worker)
    withCancellationDisabled {
      guard let task = worker.pointee.task else { return worker.detach() }
      if worker.pointee.stage == .body {
        if task.word.hasOptionalState { task.bodyHasEnded() }
        worker.pointee.ending = .exited
      }
      _ = worker.finish(task)
    }
  }
}

extension UnsafeMutablePointer<Worker> {
  /// Gives the calling thread, whose worker this is, its task.
  fileprivate func begin(_ task: TaskReference) {
    task.assign(to: self)
    // For threads that spin for the end of the task.
    pointee.mailbox.store(MailboxWord.task(task.pointer).bits, ordering: .releasing)
    task.pointer.pointee.threadID.store(pointee.threadID, ordering: .releasing)
    pointee.task = task
    pointee.stage = .body
    if task.advance({ $0.entered() })?.hasOptionalState == true { task.bodyBegins() }
  }

  /// Ends the task, from the current stage on, and gives the worker back.
  ///
  /// Not inlined: it contains the whole end of a task.
  ///
  /// - Returns: `.ok`, or `.forked` in a child that a callback has forked.
  @inline(never)
  fileprivate func finish(_ task: TaskReference) -> Status {
    Worker.releaseAndLog(task, on: self)
    if ProcessState.isForkedChild { return .forked }
    Worker.complete(task, on: self)
    if ProcessState.isForkedChild { return .forked }
    detach()
    return .ok
  }

  /// The calling thread, which has no task any more, gives its worker back.
  fileprivate func detach() {
    ProcessState.setThreadValue(0)
    giveBack()
  }

  /// Gives a worker that was lent back to its registry, which may be freed by that.
  fileprivate func giveBack() {
    let registry = pointee.registry
    pointee.mailbox.store(MailboxWord.leave.bits, ordering: .releasing)
    pointee.isAdopted = false
    pointee.hasRunCallbacks = false
    registry.giveBack(self)
    registry.endIfUnreachable()
    registry.releaseStorage()
    DeferredFree.tend()
  }
}
