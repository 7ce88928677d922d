import Synchronization

/// How a shutdown is to go, checked and with the defaults filled in.
struct ShutdownRequest {
  var reason: UInt32
  /// NUL-terminated; nil is none.
  var message: UnsafePointer<UInt8>?
  /// Nanoseconds to the deadline; negative is for ever.
  var grace: Int64
  /// Nanoseconds from the call to the latest deadline; 0: it does not move (E4).
  var maxGrace: Int64 = 0
  /// Nanoseconds; see `GraceClock.window`.
  var progressWindow: Int64 = 1_000_000_000
  /// How much of the grace passes before the warning; 0: there is none (E6).
  var warnPercent: UInt32 = 80
  /// How the time is divided (E5).
  var plan = PhasePlan()
}

extension RegistryReference {
  /// How long a shutdown waits for threads that have no task any more, beyond its deadline: they
  /// leave in microseconds unless a destructor of the application's holds them up.
  private static var threadAllowance: Int64 { 1_000_000_000 }

  /// Closes, cancels the token, asks phase by phase, joins tasks and threads; parameters and result as in
  /// `joinAll`.
  func shutdown(
    _ request: ShutdownRequest, full: ReportReference? = nil,
    listStraggler: (Int, TaskFacts) -> Void
  ) -> (Status, JoinTally) {
    if ProcessState.isForkedChild { return (.forked, JoinTally()) }
    if isOwnThread || TaskReference.isHeldUpByCaller({ $0.registry.isWithin(self) }) {
      return (.deadlock, JoinTally())
    }
    let before = JoinBaseline(self)
    var clock = GraceClock(
      start: before.start, grace: request.grace, maxGrace: request.maxGrace,
      // At least a millisecond: each window is a walk over the tasks.
      window: max(request.progressWindow, 1_000_000),
      warnPercent: options.log.isListening ? request.warnPercent : 0, samples: full != nil)
    if let full { beginRecordingStops(full) }
    return CallFrame.measuringCallbacks {
      close()
      let first = full == nil ? 0 : liveCount(of: 0)
      _ = token.cancel(reason: request.reason, message: request.message)
      if ProcessState.isForkedChild { return (.forked, JoinTally()) }
      goThroughPhases(&clock, request.plan, asked: first, full)
      if ProcessState.isForkedChild { return (.forked, JoinTally()) }
      var (status, stragglers) = waitForTasks(&clock, isShutdown: true, full, listStraggler)
      if ProcessState.isForkedChild { return (.forked, JoinTally()) }
      if let full { endRecordingStops(full) }
      if status == .ok {
        let now = monotonicNow()
        // What a second signal has made the deadline was not later than now.
        let isNow = clock.deadline.isNever || isDeadlineForced
        let latest = Deadline(nanoseconds: isNow ? now : max(clock.deadline.nanoseconds, now))
        let (end, threadsLeft) = endThreads(until: latest.extended(by: Self.threadAllowance))
        stragglers.threadsLeft = threadsLeft
        switch end {
        case .ready: break
        case .timedOut: status = .deadline
        case .cancelled: status = .cancelled
        }
      }
      let tally = tally(since: before, stragglers)
      full?.complete(tally, in: self, grace: request.grace, occasion: .shutdown)
      return (status, tally)
    }
  }

  /// Ends what runs besides tasks, now that these have ended: threads without a task, callbacks, the timer thread.
  ///
  /// A group has no threads.
  ///
  /// - Returns: how the wait for them ended, and how many are left.
  private func endThreads(until deadline: Deadline) -> (WaitEnd, left: UInt32) {
    retirePromises(forWatchdog: false)
    if parent == nil {
      let threads = joinThreads(until: deadline, ifForced: Self.threadAllowance)
      if threads.end != .ready { return (threads.end, UInt32(clamping: threads.left)) }
    }
    let end = waitForCallbackRuns(until: deadline, ifForced: Self.threadAllowance)
    if end != .ready { return (end, 1) }
    if parent == nil { Quiescence.endTimerThread(until: deadline) }
    return (.ready, 0)
  }

  /// How long a phase has at the least once it was asked, in nanoseconds, when a second signal makes the deadline
  /// now: tasks that have just heard of it can do what they must (C13).
  private var forcedGrace: Int64 { max(100_000_000, options.abortGrace) }

  /// The phases after `phase` that have tasks, a bit each.
  ///
  /// A task that was admitted before the closing may be counted as one of its phase only now: where there is
  /// none of these, it is seen here, or sees that its phase was asked, and is asked as it begins.
  private func laterPhases(after phase: UInt32) -> UInt32 {
    let later = pointer.pointee.phases.present(after: phase)
    if later != 0 { return later }
    advanceAsked(to: PhasePlan.count)
    return pointer.pointee.phases.present(after: phase)
  }

  /// Asks one phase after the other to stop, each when the one before has ended or its time is over (E5).
  ///
  /// The token has asked phase 0; where there is no other, whoever waits for all has nothing more to wait for.
  /// A second signal ends the time of the phases asked so far; those that are left are asked in their order all
  /// the same, each with a moment to do what its tasks need (C13). The caller's own flag, which ends the call,
  /// asks all that are left at once.
  ///
  /// - Parameters:
  ///   - clock: the clock of the call.
  ///   - plan: how the time is divided.
  ///   - first: how many tasks of phase 0 were alive before the token was cancelled.
  ///   - full: the report, if one is made.
  private func goThroughPhases(
    _ clock: inout GraceClock, _ plan: PhasePlan, asked first: UInt64, _ full: ReportReference?
  ) {
    defer { clock.beginPhase() }
    var phase: UInt32 = 0
    var asked = first
    // When it was asked: the time of a phase includes the asking.
    var now = clock.start
    while true {
      let later = laterPhases(after: phase)
      let isEndless = clock.deadline.isNever
      let left = isEndless ? Int64.max : max(0, clock.deadline.nanoseconds &- now)
      let time = later == 0 ? left : plan.time(of: phase, before: later, of: left)
      // Of a later phase this much is its own, whatever signals come.
      let least = phase == 0 ? 0 : min(left, forcedGrace)
      let share = isDeadlineForced ? least : isEndless ? -1 : time
      full?.begin(phase, asked: asked, at: now &- clock.start, share: share)
      if phase == 0 && later == 0 { return }
      // The last is waited for as long as the deadline allows, wherever that moves.
      let begin = Deadline(nanoseconds: now)
      clock.beginPhase(
        until: isEndless || later == 0 ? .never : begin.extended(by: time), moves: time > 0)
      var waitEnd = follow(&clock, isShutdown: true, phase: phase) { waitUntilOver(phase, $0) }
      if waitEnd == .timedOut && isDeadlineForced && least > 0 {
        waitEnd = waitUntilOver(phase, begin.extended(by: least), endsWhenForced: false)
      }
      if ProcessState.isForkedChild { return }
      full?.end(phase, remaining: liveCount(of: phase), at: monotonicNow() &- clock.start)
      if later == 0 { return }
      if waitEnd == .cancelled {
        ask(upTo: PhasePlan.count - 1)
        return
      }
      phase = UInt32(later.trailingZeroBitCount)
      asked = liveCount(of: phase)
      now = monotonicNow()
      ask(upTo: phase)
      clock.sampleSoon(
        after: now, within: isEndless ? -1 : max(0, clock.deadline.nanoseconds &- now))
      if ProcessState.isForkedChild { return }
    }
  }
}
