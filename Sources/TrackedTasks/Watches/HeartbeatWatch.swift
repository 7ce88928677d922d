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
  var timer: Timer

  // immutable after init
  /// The task or thread; no reference is held, as the watch is freed before it.
  let subject: HeartbeatSubject
  let heartbeats: HeartbeatState.Pointer

  // Guarded by the timer thread's Monitor.
  /// Whether the body, or the thread's interval, is over.
  var isOver = false
  /// Whether the watch no longer holds the timer thread and no longer checks, although the thread
  /// has not ended its interval yet.
  fileprivate(set) var isRetired = false
  /// How long the task had been silent, in nanoseconds, when that was found.
  var stalledFor: Int64 = 0
  /// How long the task had been silent, in nanoseconds, when its heartbeat came; while
  /// `beatMeanwhile` or `recovering`.
  var silence: Int64 = 0
  /// What has been done about the stall.
  var ladder = StallLadder()
  /// Whether an event is posted or being reported, from `reporting` or `beatMeanwhile` on.
  var isDelivering = false

  // Owned by the thread that reports a stall; before, guarded by the timer thread's Monitor.
  var step = Step.stall

  /// What is to be reported next if the log callback ends the thread.
  enum Step {
    case stall, explanation, last, recovery, end
  }

  typealias Pointer = UnsafeMutablePointer<HeartbeatWatch>

  /// Makes one, which holds the timer thread.
  static func make(
    _ subject: HeartbeatSubject, _ heartbeats: HeartbeatState.Pointer, interval: Int64
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
  var timer: Timer.Pointer {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: Timer.self)
  }

  /// The registry whose log is used.
  var registry: RegistryReference { pointee.subject.registry }

  /// Changes what has been done about the stall.
  ///
  /// The ladder is copied, changed and stored whole: to ThreadSanitizer, a change in place is one of
  /// the whole watch, and so a race with whoever reads a constant of it.
  ///
  /// Requires the lock.
  func withLadder<Result>(_ change: (inout StallLadder) -> Result) -> Result {
    var ladder = pointee.ladder
    let result = change(&ladder)
    pointee.ladder = ladder
    return result
  }

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
    // It was not reported.
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
    // It was not reported.
    if isWithdrawn {
      pointee.isDelivering = false
      pointee.heartbeats.enter(.quiet)
    }
    state.intervalIsOver()
    return isWithdrawn
  }
}
