import CPlatform
import Synchronization

// LOCKING: see `TaskRuns.swift`.

/// Between two runs of a task that starts again (B1 to B3).
extension Worker {
  /// Decides what follows the end of a run, and puts the task to rest if it starts again.
  ///
  /// It is called again if the log callback ends the thread in the middle.
  ///
  /// - Parameters:
  ///   - task: the calling thread's own, which starts again.
  ///   - how: how the body has ended.
  ///   - worker: the calling thread's.
  /// - Returns: whether it rests. Then the thread has no task any more; else the task has to end.
  @inline(never)
  static func restsAfterRun(
    _ task: TaskReference, _ how: TaskWord.Ending, on worker: Pointer
  ) -> Bool {
    if worker.pointee.stage == .body {
      guard task.decidesToRest(how) else { return false }
      worker.pointee.ending = how
      worker.pointee.stage = .resting
      task.leaveRun()
      task.logRun(how)
      if ProcessState.isForkedChild { return true }
    } else {
      // The log callback has ended the thread, maybe the one for the end of a stall.
      task.leaveRun()
    }
    if task.rest(how) {
      worker.endsUnjoinedTask()
      worker.pointee.task = nil
      worker.pointee.hasRested = true
      return true
    }
    worker.pointee.stage = .body
    return false
  }

  /// What the thread does that has put its task to rest, before it is reset for the next one.
  ///
  /// - Parameters:
  ///   - ticks: how long the body ran.
  ///   - worker: the calling thread's.
  /// - Returns: how long the application's code ran.
  static func endOfRun(_ ticks: UInt64, on worker: Pointer) -> UInt64 {
    let hasRunCallbacks = worker.pointee.hasRunCallbacks
    worker.pointee.hasRunCallbacks = false
    return hasRunCallbacks || ticks == 0 ? .max : ticks
  }

  /// Ends a task that was asked to stop before its next run began.
  ///
  /// - Returns: as `run`.
  @inline(never)
  static func endWithoutRun(
    _ task: TaskReference, on worker: Pointer
  ) -> (ticks: UInt64, wasStopped: Bool) {
    let last = UInt64(task.activity.pointee.lastEnding.load(ordering: .relaxed))
    // Before its first run there is no last one.
    worker.pointee.ending = last == 0 ? .returned : TaskWord.Ending(rawValue: last) ?? .returned
    task.bodyHasEnded()
    let ticks = releaseAndLog(task, on: worker)
    if ProcessState.isForkedChild { return (0, true) }
    complete(task, on: worker)
    worker.pointee.hasRested = true
    return (endOfRun(ticks, on: worker), true)
  }

  /// A task whose run is due, for a thread that has just put one to rest.
  @inline(__always)
  static func takeDueTask(for worker: Pointer) -> TaskReference? {
    worker.pointee.hasRested ? takeTask(for: worker) : nil
  }

  @inline(never)
  private static func takeTask(for worker: Pointer) -> TaskReference? {
    worker.pointee.hasRested = false
    if worker.pointee.isUnchecked { return nil }
    let registry = worker.pointee.registry
    guard let task = TaskRuns.takeDue(in: registry) else { return nil }
    task.assign(to: worker)
    worker.pointee.mailbox.store(MailboxWord.task(task.pointer).bits, ordering: .releasing)
    return task
  }
}

extension TaskReference {
  /// Whether another run follows, as far as the policy and the flag say; a restart's time is stored.
  fileprivate func decidesToRest(_ how: TaskWord.Ending) -> Bool {
    if word.isCancelRequested { return false }
    let runs = self.runs
    guard let plan = runs.pointee.plan else {
      return how == .returned || !traits.contains(.endsOnFailure)
    }
    let now = monotonicNow()
    switch plan.pointee.runHasEnded(
      how, from: runs.pointee.startedAt, at: now, chance: TaskRuns.chance(at: now, of: id))
    {
    case .end: return false
    case .giveUp:
      activity.pointee.hasGivenUp.store(1, ordering: .relaxed)
      return false
    case .restart(let delay):
      runs.pointee.due = SharedMoment.first(
        from: Deadline(nanoseconds: now).extended(by: delay).nanoseconds,
        slack: SharedMoment.slack(of: delay))
      return true
    }
  }

  /// Suspends what belongs to a run: heartbeats, the cancel signal.
  ///
  /// Harmless if it is repeated.
  fileprivate func leaveRun() {
    if traits.contains(.heartbeat) { _ = heartbeats.pause() }
    restCancelSignal()
  }

  /// Puts the task to rest; false if it was asked to stop.
  fileprivate func rest(_ how: TaskWord.Ending) -> Bool {
    // A run drains, or is shielded, for itself.
    pointer.pointee.optionalState.traits.store(
      traits.subtracting([.draining, .shielded]).rawValue, ordering: .releasing)
    activity.pointee.lastEnding.store(UInt32(how.rawValue), ordering: .relaxed)
    return runs.rest()
  }

  /// Called when the task's thread has entered a run.
  ///
  /// - Parameter wasAsked: whether the task was asked to stop before.
  /// - Returns: whether the body runs: no further run begins once the task was asked to stop.
  func runBegins(wasAsked: Bool) -> Bool {
    let before = activity.pointee.runCount.load(ordering: .relaxed)
    // 0: the spawn has given it its thread.
    if activity.pointee.startsAt.exchange(0, ordering: .relaxed) != 0 {
      TaskRuns.countWaiting(false)
      if wasAsked { return false }
    }
    if before > 0 {
      advance { $0.messageLeft(false) }
      if !traits.contains(.periodic) { registry.countRestart(kind: kind) }
      if traits.contains(.heartbeat) { _ = heartbeats.resume() }
    }
    activity.pointee.runCount.store(before &+ 1, ordering: .relaxed)
    runs.pointee.startedAt = monotonicNow()
    return true
  }

  /// Whether the run that has begun is not the first.
  var isRunAgain: Bool { activity.pointee.runCount.load(ordering: .relaxed) > 1 }

  /// Reports the end of a run after which the task starts again (O2): for a periodic task only if it
  /// failed, or took longer than the period.
  fileprivate func logRun(_ how: TaskWord.Ending) {
    let isPeriodic = traits.contains(.periodic)
    let now = monotonicNow()
    let ran = max(0, now &- runs.pointee.startedAt)
    let period = runs.pointee.period
    if ran > period { registry.countOverrun(kind: kind) }
    let log = registry.options.log
    if !log.isListening { return }
    if !isPeriodic || how != .returned {
      Worker.current?.pointee.hasRunCallbacks = true
      logEndOfRun(how, next: isPeriodic ? -1 : max(0, runs.pointee.due &- now))
      if ProcessState.isForkedChild { return }
    }
    if ran > period {
      Worker.current?.pointee.hasRunCallbacks = true
      logOverrun(ran, of: period)
    }
  }

  /// Reports a run that took longer than the period.
  private func logOverrun(_ ran: Int64, of period: Int64) {
    send(event: LogEventNumber.taskOverrun, LogEventNumber.warning) { line in
      line.append("run ")
      line.append(activity.pointee.runCount.load(ordering: .relaxed))
      line.append(" took ")
      line.append(duration: ran)
      line.append(" of every ")
      line.append(duration: period)
    }
  }

  /// Reports how a run ended.
  ///
  /// - Parameters:
  ///   - how: how.
  ///   - delay: in how many nanoseconds the task starts again; -1: at its next tick.
  private func logEndOfRun(_ how: TaskWord.Ending, next delay: Int64) {
    let code = code(of: how)
    let level = how == .returned ? LogEventNumber.info : LogEventNumber.warning
    send(event: LogEventNumber.taskRestarting, level, code: code) { line in
      line.append("run ")
      line.append(activity.pointee.runCount.load(ordering: .relaxed))
      switch how {
      case .failed:
        line.append(" failed with code ")
        line.append(code)
      case .exited: line.append(" left the body (pthread_exit or thread cancellation)")
      case .returned, .none: line.append(" returned")
      }
      withMessage { message, isPresent in
        if isPresent {
          line.append(": ")
          line.append(utf8: message)
        }
      }
      if delay >= 0 {
        line.append("; starts again in ")
        line.append(duration: delay)
      }
    }
  }

  /// Sends an event about the task, which is the calling thread's.
  func send(
    event: UInt32, _ level: UInt32, code: Int32 = 0, _ build: (inout FixedText) -> Void
  ) {
    name.withText { name in
      withFixedText(build) {
        registry.options.log.send(
          LogRecord(
            level: level, event: event, kind: kind, taskID: id, code: code, task: name,
            message: $0, registry: registry))
      }
    }
  }

  /// Appends which run it was, and whether there were too many.
  ///
  /// Called on the task's own thread, of a task that starts again.
  func appendRuns(to line: inout FixedText) {
    line.append("; it was run ")
    line.append(activity.pointee.runCount.load(ordering: .relaxed))
    if activity.pointee.hasGivenUp.load(ordering: .relaxed) != 0 {
      line.append(", and is not started again: too many restarts")
    }
  }
}
