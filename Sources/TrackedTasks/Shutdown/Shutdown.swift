import Synchronization

// STATES
// One call of `shutdown`, from its start to its return:
//
//     [shutdown] ──→ PHASE 0 … n ──→ TASKS ──────────────→ THREADS ──→ end
//                                      ├──→ STRAGGLERS ───────┘
//                                      │        └──→ end
//                                      └──→ end
//
//     start → PHASE 0      [close, TokenReference.cancel]
//     PHASE → later PHASE  [goThroughPhases, ask(upTo:)]: the phase has ended or its time is over
//     PHASE → TASKS        [goThroughPhases]: no later phase has tasks; or the caller's flag is up,
//                          and all later phases are asked at once [ask(upTo:)]
//     TASKS → THREADS      [waitForTasks]: no task is alive
//     TASKS → STRAGGLERS   [waitForTasks]: the deadline has passed or was forced
//     TASKS → end          [waitForTasks]: .cancelled, as the caller's flag is up
//     STRAGGLERS → THREADS [abandonStragglers]: nobody is a straggler after all
//     STRAGGLERS → end     [abandonStragglers]: .deadline, or .cancelled by the caller's flag
//     THREADS → end        [endThreads]: .ok if all are gone, else .deadline or .cancelled
//
// The callbacks for a phase [PhaseCallbacks] are called, under no lock, when it has been asked and
// when its wait has ended; that for the end of the last phase comes after TASKS, and after
// STRAGGLERS, and is followed by those for the phases behind it, which have no tasks.
//
// PHASE n:
//  -  The gate is closed and the token is cancelled. Only a clean-up task is still admitted, and
//     only if a task of the registry or of a group below it spawns it.
//  -  Tasks of the phases 1 to n have their flags up, or get them up as they are spawned (`asked`
//     is more than n); those of phase 0 are asked by the token. Clean-up tasks are not asked.
//  -  The wait ends when the phase has no live task, when its time is over, when the deadline has
//     passed or is forced, or when the caller's flag rises. The last phase has no time of its own
//     but all that is left; if there is only phase 0, TASKS does the waiting.
//  -  If the deadline is forced, a phase other than 0 has `forcedGrace` from its start, also if
//     less was left to the deadline.
// TASKS:
//  -  Every phase that has tasks was asked, and no phase has an end of its own any more.
// STRAGGLERS:
//  -  The gate is overdue: clean-up tasks, too, are born at level abort.
//  -  Each task that was alive at the deadline is told to abort, and its word says that it is
//     overdue. A reference to each is held during the abort grace, as far as there was memory for
//     it.
// THREADS:
//  -  No task is alive, and none will be. A root registry retires (I3): each of its workers leaves
//     as soon as it has no task. A group has no threads.
//  -  The call waits for the workers' threads, then for callbacks that run elsewhere, then for the
//     timer thread. The limit is the deadline or now, whichever is later, plus `threadAllowance`.
//
// In a child process that a callback has forked, the call returns `.forked` from wherever it is.

/// How a shutdown proceeds; checked, and with the defaults filled in.
struct ShutdownRequest {
  var reason: UInt32
  /// NUL-terminated; nil is none.
  var message: UnsafePointer<UInt8>?
  /// Nanoseconds to the deadline; negative never times out.
  var grace: Int64
  /// Nanoseconds from the call to the latest deadline; 0: the deadline does not move (E4).
  var maxGrace: Int64 = 0
  /// Nanoseconds; see `GraceClock.window`.
  var progressWindow: Int64 = 1_000_000_000
  /// The percentage of the grace period after which the warning is logged; 0: no warning (E6).
  var warnPercent: UInt32 = 80
  /// How the time is divided among the phases (E5).
  var plan = PhasePlan()
  /// What is called when a phase has begun and when it has ended (E5).
  var phaseCallbacks = PhaseCallbacks()
}

extension RegistryReference {
  /// How long a shutdown waits, beyond its deadline, for threads that have no task any more: they
  /// leave in microseconds unless a destructor of the application's delays them.
  private static var threadAllowance: Int64 { 1_000_000_000 }

  /// Closes, cancels the token, asks phase by phase, and joins tasks and threads; parameters and
  /// result as in `joinAll`.
  func shutdown(
    _ request: ShutdownRequest, full: ReportReference? = nil,
    listStraggler: (Int, TaskFacts) -> Void
  ) -> (Status, JoinTally) {
    if ProcessState.isForkedChild { return (.forked, JoinTally()) }
    if isOwnThread || isHeldUpByCaller { return (.deadlock, JoinTally()) }
    let exempt = ExemptJoin(in: self)
    defer { exempt?.end() }
    let before = JoinBaseline(self)
    var clock = GraceClock(
      start: before.start, grace: request.grace, maxGrace: request.maxGrace,
      // At least a millisecond: each window costs a walk over the tasks.
      window: max(request.progressWindow, 1_000_000),
      warnPercent: options.log.isListening ? request.warnPercent : 0, samples: full != nil)
    var waiting = WaitingReport(full, in: self)
    waiting.beginRecordingStops()
    return withUnsafeMutablePointer(to: &waiting) { waiting in
      CallFrame.measuringCallbacks(waiting, ifLeft: { WaitingReport.giveUp($0) }) {
        close()
        let first = full == nil ? 0 : waitedCount(of: 0)
        _ = token.cancel(reason: request.reason, message: request.message)
        if ProcessState.isForkedChild { return (.forked, JoinTally()) }
        full?.setEndedBefore(
          pointer.pointee.cancelBaseline.ended(until: before).ofPhaseZero)
        let last = goThroughPhases(&clock, request, asked: first, full)
        // Its phase is passed over if it is alone there.
        if last != nil, let task = exempt?.task, task.phase != 0, !task.word.isCleanup {
          task.cancel()
        }
        if ProcessState.isForkedChild { return (.forked, JoinTally()) }
        var (status, stragglers) = waitForTasks(&clock, .untilForced, full, listStraggler)
        if ProcessState.isForkedChild { return (.forked, JoinTally()) }
        if let last, status != .cancelled, !request.phaseCallbacks.areNone {
          let callbacks = PhaseCalls(registry: self, start: clock.start, request, full)
          callbacks.end(last)
          callbacks.pass(last + 1..<PhasePlan.count)
          if ProcessState.isForkedChild { return (.forked, JoinTally()) }
        }
        waiting.pointee.endRecordingStops()
        if status == .ok {
          let now = monotonicNow()
          // A deadline that a second signal has forced was not later than now.
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
        full?.complete(
          tally, in: self, grace: request.grace, occasion: .shutdown,
          ReportParts(threads: options.reportsThreads))
        full?.logCircles(of: self)
        if ProcessState.isForkedChild { return (.forked, JoinTally()) }
        return (status, full?.pointer.pointee.tally ?? tally)
      }
    }
  }

  /// Ends everything that runs apart from tasks, once the tasks have ended: threads without a task,
  /// callbacks, the timer thread.
  ///
  /// A group has no threads.
  ///
  /// - Returns: how the wait for them ended, and how many are left.
  private func endThreads(until deadline: Deadline) -> (WaitEnd, left: UInt32) {
    retireHeartbeats(forWatchdog: false)
    if parent == nil {
      let threads = joinThreads(until: deadline, ifForced: Self.threadAllowance)
      if threads.end != .ready { return (threads.end, UInt32(clamping: threads.left)) }
    }
    let end = waitForCallbackRuns(until: deadline, ifForced: Self.threadAllowance)
    if end != .ready { return (end, 1) }
    if parent == nil { Quiescence.endTimerThread(until: deadline) }
    return (.ready, 0)
  }

  /// The least time, in nanoseconds, that a phase has after it was asked when a second signal
  /// forces the deadline: tasks that have only just been asked can still do what they must (C13).
  private var forcedGrace: Int64 {
    max(100_000_000, options.abortGrace(after: .untilForced))
  }

  /// The phases after `phase` that have tasks, one bit each.
  ///
  /// A task that was admitted before the closing may not be counted in its phase yet. If no later
  /// phase has a task, a second reading sees that one, or its spawner sees `settling` and raises its
  /// flag. Only if that reading finds none either, all phases count as asked: a second signal aborts
  /// those that were (C13).
  private func laterPhases(after phase: UInt32) -> UInt32 {
    var later = waitedPhases(after: phase)
    if later != 0 { return later }
    pointer.pointee.phases.settling.wrappingAdd(1, ordering: .sequentiallyConsistent)
    later = waitedPhases(after: phase)
    if later == 0 { advanceAsked(to: PhasePlan.count) }
    pointer.pointee.phases.settling.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    return later
  }

  /// Asks one phase after the other to stop, each when the one before has ended or its time is over
  /// (E5).
  ///
  /// Phase 0 was asked by the token; if no other phase has tasks, this returns, and the wait for
  /// all tasks does the rest. A second signal ends the time of the phases asked so far. The
  /// remaining ones are still asked in order, each with a moment for its tasks to do what they must
  /// (C13). If the caller's own flag rises, which ends the call, all remaining phases are asked at
  /// once.
  ///
  /// - Parameters:
  ///   - clock: the clock of the call.
  ///   - request: how the time is divided, and what is called.
  ///   - first: how many tasks of phase 0 were alive before the token was cancelled.
  ///   - full: the report, if one is made.
  /// - Returns: the last phase, whose end the caller waits for; nil if the call is cut short by its
  ///   caller's flag, or this is a child that a callback has forked.
  private func goThroughPhases(
    _ clock: inout GraceClock, _ request: ShutdownRequest, asked first: UInt64,
    _ full: ReportReference?
  ) -> UInt32? {
    let plan = request.plan
    let callbacks = PhaseCalls(registry: self, start: clock.start, request, full)
    defer { clock.beginPhase(limit: clock.phaseLimit) }
    var phase: UInt32 = 0
    var asked = first
    // When the phase was asked: its time includes the asking.
    var now = clock.start
    while true {
      let later = laterPhases(after: phase)
      let isEndless = clock.deadline.isNever
      let left = isEndless ? Int64.max : max(0, clock.deadline.nanoseconds &- now)
      let time = later == 0 ? left : plan.time(of: phase, before: later, of: left)
      // A later phase has this much time even if the deadline is forced.
      let least = phase == 0 ? 0 : forcedGrace
      let share = isDeadlineForced ? least : isEndless ? -1 : time
      full?.begin(phase, asked: asked, at: now &- clock.start, share: share)
      callbacks.begin(phase)
      if ProcessState.isForkedChild { return nil }
      let begin = Deadline(nanoseconds: now)
      let most = plan.mostTime(of: phase)
      let limit = most == 0 ? nil : begin.extended(by: most)
      if phase == 0 && later == 0 {
        clock.beginPhase(limit: limit)
        return 0
      }
      // The last phase is waited for until the deadline, wherever that moves.
      clock.beginPhase(
        until: isEndless || later == 0 ? .never : begin.extended(by: time), moves: time > 0,
        limit: limit)
      var waitEnd = follow(&clock, .untilForced, phase: phase) {
        waitUntilOver(phase, $0, .untilForced)
      }
      if waitEnd == .timedOut && isDeadlineForced && least > 0 {
        waitEnd = waitUntilOver(phase, begin.extended(by: least), .untilDeadline)
      }
      if ProcessState.isForkedChild { return nil }
      full?.end(phase, remaining: waitedCount(of: phase), at: monotonicNow() &- clock.start)
      if later == 0 { return phase }
      if waitEnd == .cancelled {
        ask(upTo: PhasePlan.count - 1)
        return nil
      }
      callbacks.end(phase)
      // Tasks of a phase between them may have been spawned since `later` was read.
      let present = later | waitedPhases(after: phase)
      let next = UInt32(present.trailingZeroBitCount)
      callbacks.pass(phase + 1..<next)
      if ProcessState.isForkedChild { return nil }
      phase = next
      asked = waitedCount(of: phase)
      now = monotonicNow()
      ask(upTo: phase)
      clock.sampleSoon(
        after: now, within: isEndless ? -1 : max(0, clock.deadline.nanoseconds &- now))
      if ProcessState.isForkedChild { return nil }
    }
  }
}
