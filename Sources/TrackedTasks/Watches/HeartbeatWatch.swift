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

/// What reports that a task, or a thread, misses its promised heartbeats (E7).
///
/// The events of one task alternate: its stage says which may come next.
struct HeartbeatWatch {
  /// Looks whether the task has beaten; the first field, so that its address is known.
  fileprivate var timer: Timer

  // immutable after init
  /// Whose watch it is; no reference is held, as it goes before that does.
  fileprivate let subject: Subject
  fileprivate let promise: HeartbeatPromise.Pointer

  // Guarded by the timer thread's Monitor.
  /// Whether the body is over, or the thread's promise.
  fileprivate var isOver = false
  /// Whether the timer thread is not held any more, nor is the promise to be watched, though the thread that
  /// promised has not ended it yet.
  fileprivate(set) var isRetired = false
  /// Nanoseconds for which the task had not beaten when that was found.
  fileprivate var stalledFor: Int64 = 0
  /// How long the task had been silent when it beat again; while `beaten` or `recovering`.
  fileprivate var silence: Int64 = 0

  // Owned by the thread that reports a stall.
  fileprivate var step = Step.stall

  /// What is to be reported next, should the log callback end the thread.
  fileprivate enum Step {
    case stall, recovery, end
  }

  typealias Pointer = UnsafeMutablePointer<HeartbeatWatch>

  /// Who has promised.
  enum Subject {
    case task(TaskReference)
    /// A thread that is no task.
    case thread(ThreadPromise.Pointer)

    var registry: RegistryReference {
      switch self {
      case .task(let task): task.registry
      case .thread(let thread): thread.pointee.registry
      }
    }
  }

  /// What was told of a task, as its promise has it.
  enum Stage: UInt32 {
    /// The stage while the task keeps its promise, as far as anybody was told.
    case quiet = 0
    /// The stage while it is being reported that it is stalled.
    case reporting = 1
    /// The stage once that is reported.
    case reported = 2
    /// The stage of a task that beat while the stall was being reported: that is reported right afterwards.
    case beatMeanwhile = 3
    /// The stage while the task's own thread reports that it has recovered.
    case recovering = 4
    /// The stage while the timer thread looks no more, as nothing is promised: a beat has it look again.
    case idle = 5
  }

  /// Makes one, which holds the timer thread.
  static func make(
    _ subject: Subject, _ promise: HeartbeatPromise.Pointer, interval: Int64
  ) -> (Status, Pointer?) {
    guard let memory = malloc(MemoryLayout<HeartbeatWatch>.size) else { return (.noMemory, nil) }
    let status = TimerThread.hold()
    if status != .ok {
      free(memory)
      return (status, nil)
    }
    let this = memory.bindMemory(to: HeartbeatWatch.self, capacity: 1)
    this.initialize(
      to: HeartbeatWatch(timer: Timer(.heartbeat(this)), subject: subject, promise: promise))
    TimerThread.change { state in
      state.promiseIsMade()
      state.recordInterval(interval)
    }
    return (.ok, this)
  }
}

extension UnsafeMutablePointer<HeartbeatWatch> {
  private var timer: Timer.Pointer {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: Timer.self)
  }

  /// Whose log is told.
  var registry: RegistryReference { pointee.subject.registry }

  /// Queues the next look, if anything is promised.
  ///
  /// Requires the lock; and the stage `quiet`, or that it is over.
  func arm(_ queue: inout TimerQueue) {
    let promise = pointee.promise
    if pointee.isRetired { return }
    while true {
      let overdueAt = promise.overdueAt
      if overdueAt != .max {
        return queue.insert(timer, due: RunClock.monotonic(at: overdueAt))
      }
      // Whoever beats from here on sees that.
      promise.enter(.idle)
      if promise.overdueAt == .max { return }
      promise.enter(.quiet)
    }
  }

  /// Queues the next look anew: something else is promised.
  ///
  /// Requires the lock. Called on the thread that promised.
  private func armAgain(_ queue: inout TimerQueue) {
    switch pointee.promise.currentStage {
    case .quiet, .idle:
      queue.remove(timer)
      pointee.promise.enter(.quiet)
      arm(&queue)
    // Done when that is over.
    case .reporting, .reported, .beatMeanwhile, .recovering: break
    }
  }

  /// Looks whether the task is stalled, and queues the next look if it is not.
  ///
  /// Requires the lock. Called by the timer thread.
  ///
  /// - Returns: whether `report` is to be called, without the lock. The registry's memory is held for it.
  func finds(stallAgain queue: inout TimerQueue) -> Bool {
    let promise = pointee.promise
    let now = RunClock.now()
    if promise.overdueAt <= now {
      promise.enter(.reporting)
      if promise.overdueAt <= now {
        pointee.stalledFor = now &- promise.pointee.beatAt.load(ordering: .relaxed)
        if !pointee.subject.registry.options.log.isListening {
          // As good as told.
          promise.enter(.reported)
          return false
        }
        pointee.step = .stall
        pointee.subject.registry.retainStorage()
        return true
      }
      promise.enter(.quiet)
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
    let subject = pointee.subject
    let registry = subject.registry
    let promise = pointee.promise
    if pointee.step == .stall {
      pointee.step = .recovery
      let interval = abs(promise.pointee.interval.load(ordering: .relaxed))
      subject.logStall(silence: pointee.stalledFor, interval: interval)
      if ProcessState.isForkedChild { return }
    }
    let key = UInt(bitPattern: self)
    var isBeaten = true
    if pointee.step == .recovery {
      isBeaten = TimerThread.withQueue { _ in
        if promise.currentStage != .beatMeanwhile {
          // The task may end from here on, and the watch with it.
          promise.enter(.reported)
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
        // Once the body is over, whoever ends it waits for this alone.
        let isOver = pointee.isOver
        promise.enter(.quiet)
        if !isOver { arm(&queue) }
      }
    }
    registry.monitor.withLock { $0.waiters.wake(key) }
    registry.releaseStorage()
  }

  /// Reports nothing any more, and frees the watch, when a report that is under way is over.
  ///
  /// Called on the thread that promised, or by the spawner of a task that does not run.
  func end() {
    let promise = pointee.promise
    let registry = pointee.subject.registry
    let isWithdrawn = TimerThread.change { state in
      pointee.isOver = true
      state.queue.remove(timer)
      return state.withdraw(timer)
    }
    // Nobody was told of the stall.
    if isWithdrawn {
      promise.enter(.quiet)
      registry.releaseStorage()
    }
    _ = registry.monitor.wait(for: UInt(bitPattern: self), until: .never, isCancellable: false) {
      let stage = promise.currentStage
      return stage != .reporting && stage != .beatMeanwhile
    }
    let isRetired = pointee.isRetired
    free(self)
    if !isRetired { TimerThread.change { $0.promiseIsOver() } }
  }

  /// Watches the promise no more, and needs the timer thread no more; the thread that promised is another, and
  /// does not know yet.
  ///
  /// Requires the lock.
  ///
  /// - Returns: whether the registry's memory is no longer held for a report.
  func retire(_ state: inout TimerState) -> Bool {
    if pointee.isRetired { return false }
    pointee.isRetired = true
    pointee.promise.pointee.interval.store(0, ordering: .sequentiallyConsistent)
    state.queue.remove(timer)
    let isWithdrawn = state.withdraw(timer)
    // Nobody was told of the stall.
    if isWithdrawn { pointee.promise.enter(.quiet) }
    state.promiseIsOver()
    return isWithdrawn
  }

  /// Something else is promised, of which the timer thread is to know.
  ///
  /// Called on the thread that promised.
  func promiseHasChanged(to interval: Int64) {
    TimerThread.change { state in
      if pointee.isRetired {
        pointee.promise.pointee.interval.store(0, ordering: .sequentiallyConsistent)
        return
      }
      if interval > 0 { state.recordInterval(interval) }
      armAgain(&state.queue)
    }
  }

  /// The task, which was reported as stalled or is about to be, or was not looked at, has beaten.
  ///
  /// Called on the thread that promised.
  func hasRecovered(silence: Int64) -> Status {
    let promise = pointee.promise
    let isMine = TimerThread.withQueue { queue in
      switch promise.currentStage {
      case .reporting:
        pointee.silence = silence
        promise.enter(.beatMeanwhile)
        return false
      case .reported:
        // A wait that is left out may have come before the beat.
        pointee.silence = max(silence, pointee.stalledFor)
        promise.enter(.recovering)
        return true
      case .idle:
        promise.enter(.quiet)
        arm(&queue)
        return false
      case .quiet, .beatMeanwhile, .recovering: return false
      }
    }
    if !isMine { return .ok }
    pointee.subject.logRecovery(silence: pointee.silence, isHeldUp: false)
    if ProcessState.isForkedChild { return .forked }
    TimerThread.withQueue { queue in
      promise.enter(.quiet)
      arm(&queue)
    }
    return .ok
  }
}
