import CPlatform
import Synchronization

// LOCKING
// Guarded by the timer thread's Monitor, but for the fields of the notes, which are atomics. No event is
// sent under it: the timer thread finds a stall under the lock, and posts its report, which a thread of
// `EventThread` sends. Whoever ends the body takes the watch from the queue, and a report that nobody has taken up
// back, under the lock, and waits for a report that is under way: so no report names a task that has ended, and
// none comes after a log's context may have been freed.
//
// The task stores its beat and then looks at the stage; the timer thread stores the stage and then looks
// at the beat again, both sequentially consistently: no beat is missed by both.

/// What reports that a task misses its promised heartbeats (E7).
///
/// The events of one task alternate: its stage says which may come next.
struct HeartbeatWatch {
  /// Looks whether the task has beaten; the first field, so that its address is known.
  fileprivate var timer: Timer

  // immutable after init
  /// Whose watch it is; no reference is held, as it goes before the task does.
  fileprivate let task: TaskReference
  /// Nanoseconds.
  fileprivate let interval: Int64

  // Guarded by the timer thread's Monitor.
  /// Whether the body is over.
  fileprivate var isOver = false
  /// Nanoseconds for which the task had not beaten when that was found.
  fileprivate var stalledFor: Int64 = 0
  /// How long the task had been silent when it beat again; while `beaten`.
  fileprivate var silence: Int64 = 0

  // Owned by the thread that reports a stall.
  fileprivate var step = Step.stall

  /// What is to be reported next, should the log callback end the thread.
  fileprivate enum Step {
    case stall, recovery, end
  }

  typealias Pointer = UnsafeMutablePointer<HeartbeatWatch>

  /// What was told of a task, as its notes have it.
  enum Stage: UInt32 {
    /// The stage while the task keeps its promise, as far as anybody was told.
    case quiet = 0
    /// The stage while the timer thread reports that it is stalled.
    case telling = 1
    /// The stage once that is reported.
    case told = 2
    /// The stage of a task that beat while the stall was being reported: the timer thread reports that,
    /// too.
    case beaten = 3
    /// The stage while the task's own thread reports that it has recovered.
    case recovering = 4
  }

  /// Makes one, which holds the timer thread.
  fileprivate static func make(
    for task: TaskReference, interval: Int64
  ) -> (Status, Pointer?) {
    guard let memory = malloc(MemoryLayout<HeartbeatWatch>.size) else { return (.noMemory, nil) }
    let status = TimerThread.hold()
    if status != .ok {
      free(memory)
      return (status, nil)
    }
    let this = memory.bindMemory(to: HeartbeatWatch.self, capacity: 1)
    this.initialize(
      to: HeartbeatWatch(timer: Timer(.heartbeat(this)), task: task, interval: interval))
    return (.ok, this)
  }
}

extension TaskNotes {
  fileprivate var stage: HeartbeatWatch.Stage {
    HeartbeatWatch.Stage(rawValue: heartbeatStage.load(ordering: .sequentiallyConsistent))
      ?? .quiet
  }

  fileprivate func enter(_ stage: HeartbeatWatch.Stage) {
    heartbeatStage.store(stage.rawValue, ordering: .sequentiallyConsistent)
  }

  fileprivate var watch: HeartbeatWatch.Pointer? {
    HeartbeatWatch.Pointer(bitPattern: heartbeatWatch.load(ordering: .relaxed))
  }

  /// When the next beat is overdue.
  fileprivate func overdueAt(_ interval: Int64) -> Int64 {
    // One more, as a beat at the end of the interval is in time.
    let (sum, overflow) = beatAt.load(ordering: .sequentiallyConsistent)
      .addingReportingOverflow(interval)
    return overflow || sum == .max ? .max : sum + 1
  }
}

extension UnsafeMutablePointer<HeartbeatWatch> {
  private var timer: Timer.Pointer {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: Timer.self)
  }

  /// Queues the next look.
  ///
  /// Requires the lock.
  fileprivate func arm(_ queue: inout TimerQueue) {
    let due = pointee.task.notes.pointee.overdueAt(pointee.interval)
    if due != .max { queue.insert(timer, due: due) }
  }

  /// Looks whether the task is stalled, and queues the next look if it is not.
  ///
  /// Requires the lock. Called by the timer thread.
  ///
  /// - Returns: whether `report` is to be called, without the lock. The registry's memory is held for it.
  func finds(stallAt now: Int64, again queue: inout TimerQueue) -> Bool {
    let notes = pointee.task.notes
    if notes.pointee.overdueAt(pointee.interval) <= now {
      notes.pointee.enter(.telling)
      if notes.pointee.overdueAt(pointee.interval) <= now {
        pointee.stalledFor = now &- notes.pointee.beatAt.load(ordering: .relaxed)
        pointee.step = .stall
        pointee.task.registry.retainStorage()
        return true
      }
      notes.pointee.enter(.quiet)
    }
    arm(&queue)
    return false
  }

  /// Reports the stall, and its end if that came meanwhile.
  ///
  /// Called by a thread of `EventThread`. The task does not end before this is done; a log callback that waited
  /// for that would wait for itself. One that ends its thread has heard all the same.
  func report() {
    let goOn: CallFrame.Function = { watch in
      // SAFETY: it is the watch that is handed over with this function, which lives until the last step.
      watch.unsafelyUnwrapped.assumingMemoryBound(to: HeartbeatWatch.self).goOnReporting()
    }
    CallFrame.call(.library, self, goOn, ifLeft: goOn)
  }

  /// Goes on where it left off.
  private func goOnReporting() {
    let task = pointee.task
    let registry = task.registry
    if pointee.step == .stall {
      pointee.step = .recovery
      task.logStall(silence: pointee.stalledFor, interval: pointee.interval)
      if ProcessState.isForkedChild { return }
    }
    let key = UInt(bitPattern: self)
    var isBeaten = true
    if pointee.step == .recovery {
      isBeaten = TimerThread.withQueue { _ in
        if task.notes.pointee.stage != .beaten {
          // The task may end from here on, and the watch with it.
          task.notes.pointee.enter(.told)
          return false
        }
        pointee.step = .end
        return true
      }
      if isBeaten { task.logRecovery(silence: pointee.silence, holdingUp: .task(task)) }
      if ProcessState.isForkedChild { return }
    }
    if isBeaten {
      TimerThread.withQueue { queue in
        if !pointee.isOver { arm(&queue) }
        // Likewise.
        task.notes.pointee.enter(.quiet)
      }
    }
    registry.monitor.withLock { $0.waiters.wake(key) }
    registry.releaseStorage()
  }

  /// Reports nothing any more.
  fileprivate func disarm() {
    let isWithdrawn = TimerThread.change { state in
      pointee.isOver = true
      state.queue.remove(timer)
      return state.withdraw(timer)
    }
    // Nobody was told of the stall.
    if isWithdrawn {
      pointee.task.notes.pointee.enter(.quiet)
      pointee.task.registry.releaseStorage()
    }
  }

  /// The task, which was reported as stalled or is about to be, has beaten.
  ///
  /// Called on the task's own thread.
  fileprivate func hasRecovered(silence: Int64) -> Status {
    let task = pointee.task
    let isMine = TimerThread.withQueue { _ in
      switch task.notes.pointee.stage {
      case .telling:
        pointee.silence = silence
        task.notes.pointee.enter(.beaten)
        return false
      case .told:
        task.notes.pointee.enter(.recovering)
        return true
      case .quiet, .beaten, .recovering: return false
      }
    }
    if !isMine { return .ok }
    task.logRecovery(silence: silence)
    if ProcessState.isForkedChild { return .forked }
    TimerThread.withQueue { queue in
      task.notes.pointee.enter(.quiet)
      arm(&queue)
    }
    return .ok
  }

  /// Frees it.
  ///
  /// Requires that nobody can find it any more.
  fileprivate func destroy() {
    free(self)
    TimerThread.letGo()
  }
}

extension TaskReference {
  /// The task that cannot end before the calling thread returns to the library: the one it runs, or one whose
  /// stall it reports.
  ///
  /// - Returns: whether `isMeant` says of one that it is the task in question.
  static func isHeldUpByCaller(_ isMeant: (TaskReference) -> Bool) -> Bool {
    if let task = Worker.currentTask, isMeant(task) { return true }
    return CallFrame.isHoldingUp {
      if case .task(let task) = $0 { isMeant(task) } else { false }
    }
  }

  // MARK: The life of a promise

  /// Gets what a task that promises heartbeats needs, if anybody listens to what is to be reported.
  ///
  /// Its notes are cleared.
  func prepareHeartbeats(interval: Int64) -> Status {
    if !registry.options.log.isListening { return .ok }
    let (status, watch) = HeartbeatWatch.make(for: self, interval: interval)
    notes.pointee.heartbeatWatch.store(UInt(bitPattern: watch), ordering: .relaxed)
    return status
  }

  /// The promise begins to hold: the task's thread is about to enter the body.
  func beginHeartbeats() {
    notes.pointee.beatAt.store(monotonicNow(), ordering: .sequentiallyConsistent)
    if let watch = notes.pointee.watch { TimerThread.withQueue { watch.arm(&$0) } }
  }

  /// The promise holds no longer: the body is over, or does not run.
  ///
  /// Waits for a report that is under way.
  func endHeartbeats() {
    notes.pointee.heartbeatInterval.store(0, ordering: .relaxed)
    guard let watch = notes.pointee.watch else { return }
    watch.disarm()
    _ = registry.monitor.wait(for: UInt(bitPattern: watch), until: .never, heedsFlag: false) {
      let stage = notes.pointee.stage
      return stage != .telling && stage != .beaten
    }
    notes.pointee.heartbeatWatch.store(0, ordering: .relaxed)
    watch.destroy()
  }

  /// The task keeps its promise; called on its own thread.
  fileprivate func beat() -> Status {
    let notes = self.notes
    let before = notes.pointee.beatAt.load(ordering: .relaxed)
    let now = monotonicNow()
    notes.pointee.beatAt.store(now, ordering: .sequentiallyConsistent)
    if notes.pointee.stage == .quiet { return .ok }
    return notes.pointee.watch?.hasRecovered(silence: now &- before) ?? .ok
  }
}

/// Keeps the promise of the calling task to beat (E7).
///
/// - Returns: `.ok`, also for a task that promised nothing; `.invalid` outside a task.
func noteHeartbeat() -> Status {
  guard let task = Worker.currentTask else {
    return .invalid("tr_heartbeat", "the caller is not a task")
  }
  return task.word.hasExtras && task.traits.contains(.heartbeat) ? task.beat() : .ok
}
