import CPlatform
import Synchronization

// LOCKING
// Guarded by the timer thread's Monitor, except the fields of the interval, which are atomics. No
// event is sent under it: the timer thread finds a stall under the lock and posts the report, which
// an event thread sends. The thread that ends the body takes, under the lock, the watch out of the
// queue, and a report that no event thread has taken out of the events, and waits for a report that
// is under way. So no report names a task that has ended, and none is sent when the log's context
// may have been freed.
//
// The task stores its heartbeat and then reads the stage; the timer thread stores the stage and
// then reads the heartbeat again, both sequentially consistently: a heartbeat is seen by one of
// them.

/// Reports that a task, or a thread, has missed its heartbeat interval (E7).
///
/// The events about one task alternate: its stage determines which may come next.
struct HeartbeatWatch {
  /// Checks for a heartbeat when it is due; the first field, so that its address is known.
  fileprivate var timer: Timer

  // immutable after init
  /// The task or thread; no reference is held, as the watch is freed before it.
  fileprivate let subject: Subject
  fileprivate let heartbeats: HeartbeatState.Pointer

  // Guarded by the timer thread's Monitor.
  /// Whether the body, or the thread's interval, is over.
  fileprivate var isOver = false
  /// Whether the watch no longer holds the timer thread and no longer checks, although the thread
  /// has not ended its interval yet.
  fileprivate(set) var isRetired = false
  /// How long the task had been silent, in nanoseconds, when that was found.
  fileprivate var stalledFor: Int64 = 0
  /// How long the task had been silent, in nanoseconds, when its heartbeat came; while
  /// `beatMeanwhile` or `recovering`.
  fileprivate var silence: Int64 = 0

  // Owned by the thread that reports a stall.
  fileprivate var step = Step.stall

  /// What is to be reported next if the log callback ends the thread.
  fileprivate enum Step {
    case stall, recovery, end
  }

  typealias Pointer = UnsafeMutablePointer<HeartbeatWatch>

  /// The task or thread that has the heartbeat interval.
  enum Subject {
    case task(TaskReference)
    /// A thread that is not a task.
    case thread(ThreadHeartbeats.Pointer)

    var registry: RegistryReference {
      switch self {
      case .task(let task): task.registry
      case .thread(let thread): thread.pointee.registry
      }
    }
  }

  /// What was reported of a task; stored in its interval.
  enum Stage: UInt32 {
    /// No stall was reported, or its end was.
    case quiet = 0
    /// The stall is being reported.
    case reporting = 1
    /// The stall was reported.
    case reported = 2
    /// A heartbeat came while the stall was being reported: its end is reported right afterwards.
    case beatMeanwhile = 3
    /// The task's own thread is reporting the end of the stall.
    case recovering = 4
    /// The timer thread does not check, as no interval is set: a heartbeat makes it check again.
    case idle = 5
  }

  /// Makes one, which holds the timer thread.
  static func make(
    _ subject: Subject, _ heartbeats: HeartbeatState.Pointer, interval: Int64
  ) -> (Status, Pointer?) {
    guard let memory = malloc(MemoryLayout<HeartbeatWatch>.size) else { return (.noMemory, nil) }
    let status = TimerThread.hold()
    if status != .ok {
      free(memory)
      return (status, nil)
    }
    let this = memory.bindMemory(to: HeartbeatWatch.self, capacity: 1)
    this.initialize(
      to: HeartbeatWatch(timer: Timer(.heartbeat(this)), subject: subject, heartbeats: heartbeats))
    TimerThread.change { state in
      state.intervalIsSet()
      state.recordInterval(interval)
    }
    return (.ok, this)
  }
}

extension UnsafeMutablePointer<HeartbeatWatch> {
  private var timer: Timer.Pointer {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: Timer.self)
  }

  /// The registry whose log is used.
  var registry: RegistryReference { pointee.subject.registry }

  /// Queues the next check, if an interval is set.
  ///
  /// Requires the lock, and the stage `quiet`.
  func arm(_ queue: inout TimerQueue) {
    let heartbeats = pointee.heartbeats
    if pointee.isRetired { return }
    while true {
      let overdueAt = heartbeats.overdueAt
      if overdueAt != .max {
        return queue.insert(timer, due: RunClock.monotonic(at: overdueAt))
      }
      // Every heartbeat from here on sees that.
      heartbeats.enter(.idle)
      if heartbeats.overdueAt == .max { return }
      heartbeats.enter(.quiet)
    }
  }

  /// Queues the next check anew, as the interval has changed.
  ///
  /// Requires the lock. Called on the thread that has the interval.
  private func armAgain(_ queue: inout TimerQueue) {
    switch pointee.heartbeats.currentStage {
    case .quiet, .idle:
      queue.remove(timer)
      pointee.heartbeats.enter(.quiet)
      arm(&queue)
    // Done at the end of these stages.
    case .reporting, .reported, .beatMeanwhile, .recovering: break
    }
  }

  /// Checks whether the task is stalled, and queues the next check if it is not.
  ///
  /// Requires the lock. Called by the timer thread.
  ///
  /// - Returns: whether `report` must be called, without the lock. The registry's memory is
  ///   retained for it.
  func finds(stallAgain queue: inout TimerQueue) -> Bool {
    let heartbeats = pointee.heartbeats
    let now = RunClock.now()
    if heartbeats.overdueAt <= now {
      heartbeats.enter(.reporting)
      if heartbeats.overdueAt <= now {
        pointee.stalledFor = now &- heartbeats.pointee.beatAt.load(ordering: .relaxed)
        if !pointee.subject.registry.options.log.isListening {
          // Treated as reported.
          heartbeats.enter(.reported)
          return false
        }
        pointee.step = .stall
        pointee.subject.registry.retainStorage()
        return true
      }
      heartbeats.enter(.quiet)
    }
    arm(&queue)
    return false
  }

  /// Reports the stall, and its end if that came meanwhile.
  ///
  /// Called by an event thread. The task does not end before this has returned; a log callback that
  /// waited for its end would wait for itself. If the callback ends its thread, the event counts as
  /// reported.
  func report() {
    let goOn: CallFrame.Function = { watch in
      // SAFETY: it is the watch that is passed with this function, which lives until the last step.
      watch.unsafelyUnwrapped.assumingMemoryBound(to: HeartbeatWatch.self).goOnReporting()
    }
    CallFrame.call(.library, self, goOn, ifLeft: goOn)
  }

  /// Continues where the last call stopped.
  private func goOnReporting() {
    let subject = pointee.subject
    let registry = subject.registry
    let heartbeats = pointee.heartbeats
    if pointee.step == .stall {
      pointee.step = .recovery
      let interval = abs(heartbeats.pointee.interval.load(ordering: .relaxed))
      subject.logStall(silence: pointee.stalledFor, interval: interval)
      if ProcessState.isForkedChild { return }
    }
    let key = UInt(bitPattern: self)
    var isBeaten = true
    if pointee.step == .recovery {
      isBeaten = TimerThread.withQueue { _ in
        if heartbeats.currentStage != .beatMeanwhile {
          // The task may end from here on, and the watch with it.
          heartbeats.enter(.reported)
          return false
        }
        pointee.step = .end
        return true
      }
      if isBeaten { subject.logRecovery(silence: pointee.silence, isHeldUp: true) }
      if ProcessState.isForkedChild { return }
    }
    if isBeaten {
      TimerThread.withQueue { queue in
        // Once the body is over, the thread that ends it waits for this alone.
        let isOver = pointee.isOver
        heartbeats.enter(.quiet)
        if !isOver { arm(&queue) }
      }
    }
    registry.monitor.withLock { $0.waiters.wake(key) }
    registry.releaseStorage()
  }

  /// Stops reporting, and frees the watch when a report that is under way is over.
  ///
  /// Called on the thread that has the interval, or by the spawner of a task that does not run.
  func end() {
    let heartbeats = pointee.heartbeats
    let registry = pointee.subject.registry
    let isWithdrawn = TimerThread.change { state in
      pointee.isOver = true
      state.queue.remove(timer)
      return state.withdraw(timer)
    }
    // The stall was not reported.
    if isWithdrawn {
      heartbeats.enter(.quiet)
      registry.releaseStorage()
    }
    _ = registry.monitor.wait(for: UInt(bitPattern: self), until: .never, isCancellable: false) {
      let stage = heartbeats.currentStage
      return stage != .reporting && stage != .beatMeanwhile
    }
    let isRetired = pointee.isRetired
    free(self)
    if !isRetired { TimerThread.change { $0.intervalIsOver() } }
  }

  /// Stops watching the interval and holding the timer thread; called on another thread than the
  /// one that has the interval, which does not know yet.
  ///
  /// Requires the lock.
  ///
  /// - Returns: whether the caller must release the registry's memory, which was retained for a
  ///   report.
  func retire(_ state: inout TimerState) -> Bool {
    if pointee.isRetired { return false }
    pointee.isRetired = true
    pointee.heartbeats.pointee.interval.store(0, ordering: .sequentiallyConsistent)
    state.queue.remove(timer)
    let isWithdrawn = state.withdraw(timer)
    // The stall was not reported.
    if isWithdrawn { pointee.heartbeats.enter(.quiet) }
    state.intervalIsOver()
    return isWithdrawn
  }

  /// Informs the timer thread that the interval has changed.
  ///
  /// Called on the thread that has the interval.
  func intervalHasChanged(to interval: Int64) {
    TimerThread.change { state in
      if pointee.isRetired {
        pointee.heartbeats.pointee.interval.store(0, ordering: .sequentiallyConsistent)
        return
      }
      if interval > 0 { state.recordInterval(interval) }
      armAgain(&state.queue)
    }
  }

  /// Handles a heartbeat after the task was reported as stalled, while that is being reported, or
  /// while it was not checked.
  ///
  /// Called on the thread that has the interval.
  func hasRecovered(silence: Int64) -> Status {
    let heartbeats = pointee.heartbeats
    let isMine = TimerThread.withQueue { queue in
      switch heartbeats.currentStage {
      case .reporting:
        pointee.silence = silence
        heartbeats.enter(.beatMeanwhile)
        return false
      case .reported:
        // A wait that is left out may have come before the heartbeat.
        pointee.silence = max(silence, pointee.stalledFor)
        heartbeats.enter(.recovering)
        return true
      case .idle:
        heartbeats.enter(.quiet)
        arm(&queue)
        return false
      case .quiet, .beatMeanwhile, .recovering: return false
      }
    }
    if !isMine { return .ok }
    pointee.subject.logRecovery(silence: pointee.silence, isHeldUp: false)
    if ProcessState.isForkedChild { return .forked }
    TimerThread.withQueue { queue in
      heartbeats.enter(.quiet)
      arm(&queue)
    }
    return .ok
  }
}
