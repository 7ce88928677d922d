import CPlatform
import Synchronization

// LOCKING: see `HeartbeatWatch.swift`.

/// The delivery of a step about a stall by an event thread, and the end of the stall.
extension UnsafeMutablePointer<HeartbeatWatch> {
  /// Reports a step about the stall, and the end of the stall if that came meanwhile.
  ///
  /// Called by an event thread. The task does not end before the last step here; a log callback
  /// that waited for its end would wait for itself. If the callback ends its thread, the event
  /// counts as reported.
  func report() {
    let goOn: CallFrame.Function = { report in
      // SAFETY: it is the value that is passed with this function, in a frame that still exists.
      report.unsafelyUnwrapped.assumingMemoryBound(to: StallReport.self).pointee.goOn()
    }
    var report = StallReport(watch: self)
    withUnsafeMutablePointer(to: &report) {
      CallFrame.call(.library, $0, goOn, ifLeft: goOn)
    }
  }

  /// Continues where the last call stopped.
  ///
  /// - Parameter report: gets what is to be done once the task may end.
  func goOnReporting(_ report: inout StallReport) {
    let subject = pointee.subject
    let registry = subject.registry
    let heartbeats = pointee.heartbeats
    let interval = abs(heartbeats.pointee.interval.load(ordering: .relaxed))
    let step = pointee.step
    switch step {
    case .stall:
      pointee.step = .recovery
      subject.logStall(silence: pointee.stalledFor, interval: interval)
    case .explanation, .last:
      pointee.step = .recovery
      // A heartbeat, or the end of the body, that came since the step was due.
      let isMoot = TimerThread.withQueue { _ in
        pointee.isOver || heartbeats.currentStage == .beatMeanwhile
      }
      if isMoot { break }
      if step == .explanation {
        report.explain(subject)
      } else {
        report.takeLastStep(subject, silence: pointee.stalledFor)
      }
    case .recovery, .end: break
    }
    if ProcessState.isForkedChild { return }
    let key = UInt(bitPattern: self)
    var isBeaten = true
    if pointee.step == .recovery {
      isBeaten = TimerThread.withQueue { queue in
        if heartbeats.currentStage != .beatMeanwhile {
          pointee.isDelivering = false
          // The next step may be due; the timer thread finds out.
          if registry.options.ladder != nil && !pointee.isOver && !pointee.isRetired {
            queue.remove(timer)
            queue.insert(timer, due: monotonicNow())
          }
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
        pointee.isDelivering = false
        queue.remove(timer)
        // Once the body is over, the thread that ends it waits for this alone.
        let isOver = pointee.isOver
        heartbeats.enter(.quiet)
        if !isOver { arm(&queue) }
      }
    }
    registry.monitor.withLock { $0.waiters.wake(key) }
    registry.releaseStorage()
  }

  /// Begins anew with the steps about a stall: a heartbeat has come.
  ///
  /// Requires the lock.
  private func beginAnew(_ queue: inout TimerQueue) {
    withLadder { $0.beat() }
    queue.remove(timer)
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
        beginAnew(&queue)
        pointee.silence = silence
        heartbeats.enter(.beatMeanwhile)
        checkForEnd(&queue)
        return false
      case .reported:
        beginAnew(&queue)
        // A wait that is left out may have come before the heartbeat.
        pointee.silence = max(silence, pointee.stalledFor)
        heartbeats.enter(.recovering)
        checkForEnd(&queue)
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
      queue.remove(timer)
      heartbeats.enter(.quiet)
      arm(&queue)
    }
    return .ok
  }
}
