import CPlatform
import Synchronization

// STATES and LOCKING: see `TaskRuns.swift`.

extension TaskRuns {
  /// Takes a task whose run is due and has no thread yet, for the calling thread of `registry`.
  static func takeDue(in registry: RegistryReference) -> TaskReference? {
    TimerThread.change { state in
      guard let runs = state.dueRuns.take(in: registry) else { return nil }
      runs.pointee.isStarting = false
      runs.pointee.wasRefused = false
      return runs.pointee.task
    }
  }
}

/// The timer of a task that starts again: when its next run begins.
extension UnsafeMutablePointer<TaskRuns> {
  private var timer: Timer.Pointer {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: Timer.self)
  }

  /// Changes the schedule, if there is one.
  ///
  /// It is copied, changed and stored whole: to ThreadSanitizer, a change in place is one of all of
  /// this.
  ///
  /// Requires the lock.
  private func withSchedule<Result>(
    at now: Int64 = monotonicNow(),
    _ change: (inout Schedule, _ now: Int64, _ chance: UInt32) -> Result
  ) -> Result? {
    guard var schedule = pointee.schedule else { return nil }
    // The task's id is in its record, which is not in the cache.
    let chance = TaskRuns.chance(at: now, of: UInt64(UInt(bitPattern: self)))
    let result = change(&schedule, now, chance)
    pointee.schedule = schedule
    return result
  }

  /// Puts the task to rest until its next run; nothing happens if it was asked to stop.
  ///
  /// Called on the task's own thread, which the task has no longer afterwards.
  ///
  /// - Returns: whether it rests.
  func rest() -> Bool {
    let task = pointee.task
    return TimerThread.change { state in
      _ = withSchedule { $0.runHasEnded(at: $1, chance: $2) }
      let due = pointee.schedule?.due ?? pointee.due
      // A moment, if it is one that is over.
      task.activity.pointee.startsAt.store(max(1, due), ordering: .relaxed)
      guard task.advance({ $0.rests() }) != nil else { return false }
      pointee.pause = TaskRuns.firstPause
      wait(until: due, &state)
      return true
    }
  }

  /// Has the task, which is being spawned, wait for its first run.
  func restFirst() {
    TimerThread.change { state in
      let due = pointee.schedule?.due ?? 0
      pointee.task.activity.pointee.startsAt.store(max(1, due), ordering: .relaxed)
      // Whoever has asked it to stop has found it waiting for nothing yet.
      wait(until: pointee.task.word.isCancelRequested ? 0 : due, &state)
    }
  }

  /// Requires the lock.
  private func wait(until due: Int64, _ state: inout TimerState) {
    TaskRuns.countWaiting(true)
    pointee.isWaiting = true
    queue(due, &state)
  }

  /// Queues the timer, which is not queued, unless nothing is due.
  ///
  /// Requires the lock.
  private func queue(_ due: Int64, _ state: inout TimerState) {
    if due == .max { return }
    // The time of a restart is such a moment already.
    let slack = SharedMoment.slack(of: pointee.schedule?.rule.period ?? 0)
    state.queue.insert(timer, due: due < 0 ? 0 : SharedMoment.first(from: due, slack: slack))
  }

  /// Makes the next run due at once, if the task waits for it: it was asked to stop.
  ///
  /// Requires the lock.
  func endRest(_ state: inout TimerState) {
    if !pointee.isWaiting { return }
    state.queue.remove(timer)
    state.queue.insert(timer, due: 0)
  }

  /// Changes when the next run is due.
  ///
  /// Requires the lock.
  ///
  /// - Parameters:
  ///   - state: the timer thread's.
  ///   - change: of the schedule.
  func reschedule(
    _ state: inout TimerState, _ change: (inout Schedule, _ now: Int64, _ chance: UInt32) -> Void
  ) {
    withSchedule(change)
    // A run that was refused a thread is under way already to the schedule: the timer stays as it is.
    guard pointee.isWaiting, let schedule = pointee.schedule, !schedule.isRunning else { return }
    let due = schedule.due
    pointee.task.activity.pointee.startsAt.store(max(1, due), ordering: .relaxed)
    state.queue.remove(timer)
    queue(due, &state)
  }

  /// Makes the next run begin at once.
  ///
  /// Requires the lock.
  func trigger(_ state: inout TimerState) {
    if pointee.schedule == nil { return endRest(&state) }
    reschedule(&state) { schedule, _, _ in schedule.trigger() }
  }

  /// The timer is due: the caller is going to start a run.
  ///
  /// Requires the lock. Called by the timer thread.
  func willStart(at now: Int64) {
    pointee.isWaiting = false
    pointee.isStarting = true
    if !pointee.wasRefused { _ = withSchedule(at: now) { $0.runBegins(at: $1, chance: $2) } }
    pointee.period = pointee.schedule?.rule.period ?? .max
  }

  /// Whether the run may wait for a moment for a thread that is about to be free; see `DueRuns`.
  ///
  /// Not where it needs a thread of its own, by its options.
  var mayWait: Bool { pointee.stackSize == nil && !pointee.wantsFreshThread }

  /// Gives the task a thread for its next run.
  ///
  /// Called by the timer thread, after `willStart`. If the system refuses the thread, it tries again,
  /// after a pause that doubles up to a second.
  func startRun() {
    let task = pointee.task
    let root = task.registry.root
    let status =
      mayWait && root.gate.isClosed && task.word.isCancelRequested
      ? root.dispatchEnd(task)
      : root.dispatch(task, stackSize: pointee.stackSize, fresh: pointee.wantsFreshThread)
    TimerThread.change { state in
      pointee.isStarting = false
      pointee.wasRefused = status != .ok
      if status != .ok {
        pointee.isWaiting = true
        state.queue.insert(timer, due: Deadline.after(pointee.pause).nanoseconds)
        pointee.pause = min(pointee.pause * 2, TaskRuns.longestPause)
      } else if pointee.isOver {
        state.post(timer)
      }
    }
  }

  /// Whether the caller frees this, as the task is over.
  ///
  /// Otherwise the timer thread is at it still, and an event thread does.
  ///
  /// Requires the lock.
  func end(_ state: inout TimerState) -> Bool {
    state.queue.remove(timer)
    pointee.isOver = true
    if pointee.isStarting { state.endedRuns += 1 }
    return !pointee.isStarting
  }

  /// Frees it, on an event thread if `end` has said so; requires that nobody finds it any more.
  func destroy(onEventThread: Bool = false) {
    let registry = pointee.task.registry
    free(self)
    TimerThread.change { state in
      state.holds -= 1
      if onEventThread { state.endedRuns -= 1 }
    }
    registry.releaseStorage()
  }
}
