import CPlatform
import Synchronization

// LOCKING: see `HeartbeatWatch.swift`.

/// What the timer thread does about a heartbeat when it is due.
extension UnsafeMutablePointer<HeartbeatWatch> {
  /// Checks whether the task is stalled, or which step about its stall is next, and queues the next
  /// check.
  ///
  /// Requires the lock, and that the timer is not queued. Called by the timer thread.
  ///
  /// - Returns: what the caller must do. If it is to post the timer, the registry's memory is retained
  ///   for `report`.
  func check(_ queue: inout TimerQueue) -> HeartbeatFinding {
    let heartbeats = pointee.heartbeats
    switch heartbeats.currentStage {
    case .quiet:
      let now = RunClock.now()
      if heartbeats.overdueAt <= now {
        heartbeats.enter(.reporting)
        if heartbeats.overdueAt <= now { return climb(&queue) }
        heartbeats.enter(.quiet)
      }
      arm(&queue)
      return .nothing
    case .reporting, .reported: return climb(&queue)
    case .beatMeanwhile, .recovering:
      checkForEnd(&queue)
      return .nothing
    case .idle: return .nothing
    }
  }

  /// Takes the next step about the stall if its time has come, and queues the next check.
  ///
  /// Requires the lock, and the stage `reporting` or `reported`.
  ///
  /// - Returns: as `check`.
  private func climb(_ queue: inout TimerQueue) -> HeartbeatFinding {
    let heartbeats = pointee.heartbeats
    let options = pointee.subject.registry.options
    var finding = HeartbeatFinding.nothing
    while true {
      let interval = heartbeats.pointee.interval.load(ordering: .sequentiallyConsistent)
      let beatAt = heartbeats.pointee.beatAt.load(ordering: .sequentiallyConsistent)
      let isResting = interval <= 0 || beatAt == .max
      let silence = isResting ? 0 : RunClock.now() &- beatAt
      if pointee.ladder.rung == .quiet && (isResting || silence <= interval) {
        // Since it was found overdue a heartbeat has come, a pause, or a wait that is left out.
        heartbeats.enter(.quiet)
        arm(&queue)
        return .nothing
      }
      if isResting {
        // In a wait that is left out, and was entered without a heartbeat.
        if !pointee.isDelivering { heartbeats.enter(.reported) }
        queue.insert(timer, due: Deadline.after(max(1_000_000, abs(interval))).nanoseconds)
        return finding
      }
      let isDelivering = pointee.isDelivering
      let step = withLadder {
        $0.next(
          silence: silence, interval: interval, plan: options.ladder, isDelivering: isDelivering,
          canEnd: ExitBy.isArmed || EventThread.isRefused)
      }
      switch step {
      case .wait(let silence):
        if !pointee.isDelivering { heartbeats.enter(.reported) }
        let (due, isNever) = beatAt.addingReportingOverflow(silence)
        if !isNever { queue.insert(timer, due: RunClock.monotonic(at: due)) }
        return finding
      case .rest:
        if !pointee.isDelivering { heartbeats.enter(.reported) }
        return finding
      case .report:
        pointee.stalledFor = silence
        if options.log.isListening { finding = deliver(.stall) }
      case .explain:
        if options.log.isListening || options.explainDescriptor >= 0 {
          pointee.stalledFor = silence
          finding = deliver(.explanation)
        }
      case .last:
        if options.ladder?.last == .endProcess {
          let stall = ExitBell.Stall(pointee.subject, silence)
          if ExitBy.endNow(stall) { continue }
          // Whether an event thread delivers an earlier step, or none was available for it.
          if EventThread.isRefused { return .endOfProcess(stall) }
        }
        // Where nothing is armed, an event thread makes the threads.
        pointee.stalledFor = silence
        finding = deliver(.last)
      }
    }
  }

  /// Ends the process, if that is the last step and its time has come once more, while the end of the
  /// stall before is being reported; queues the next check.
  ///
  /// Requires the lock, the stage `beatMeanwhile` or `recovering`, and that the timer is not queued.
  func checkForEnd(_ queue: inout TimerQueue) {
    let plan = pointee.subject.registry.options.ladder
    if plan?.last != .endProcess || pointee.isOver || pointee.isRetired { return }
    let interval = pointee.heartbeats.pointee.interval.load(ordering: .sequentiallyConsistent)
    let beatAt = pointee.heartbeats.pointee.beatAt.load(ordering: .sequentiallyConsistent)
    if interval <= 0 || beatAt == .max {
      queue.insert(timer, due: Deadline.after(max(1_000_000, abs(interval))).nanoseconds)
      return
    }
    let silence = RunClock.now() &- beatAt
    let step = withLadder {
      $0.next(
        silence: silence, interval: interval, plan: plan, isDelivering: true,
        canEnd: ExitBy.isArmed)
    }
    switch step {
    case .wait(let silence):
      let (due, isNever) = beatAt.addingReportingOverflow(silence)
      if !isNever { queue.insert(timer, due: RunClock.monotonic(at: due)) }
    case .last: _ = ExitBy.endNow(ExitBell.Stall(pointee.subject, silence))
    // The first two are never taken beside a delivery.
    case .report, .explain, .rest: break
    }
  }

  /// Makes `report` deliver a step.
  ///
  /// Requires the lock.
  private func deliver(_ step: HeartbeatWatch.Step) -> HeartbeatFinding {
    pointee.heartbeats.enter(.reporting)
    pointee.step = step
    pointee.isDelivering = true
    pointee.subject.registry.retainStorage()
    return .event
  }

  /// The stall that ends the process, if that is the step which has been posted, and is still to be
  /// taken.
  ///
  /// Requires the lock.
  var postedEnd: ExitBell.Stall? {
    let ends = pointee.subject.registry.options.ladder?.last == .endProcess
    if !ends || pointee.step != .last || pointee.isOver { return nil }
    if pointee.heartbeats.currentStage == .beatMeanwhile { return nil }
    return ExitBell.Stall(pointee.subject, pointee.stalledFor)
  }
}

/// What the timer thread must do after it has checked a heartbeat.
enum HeartbeatFinding {
  case nothing
  /// Post the timer: an event thread delivers a step.
  case event
  /// End the process, without the lock: nothing is armed, and no thread is available.
  case endOfProcess(ExitBell.Stall)
}
