import CPlatform
import Synchronization

// LOCKING
// A join guards nothing of its own. Its predicates are atomics, read without a lock; the registry's
// Monitor guards the list of waiters and is taken to enter it, to leave it and to wake those on it.
//
// Why no end is missed: a joiner enters the list, counts itself in `endWaiters`, and then reads
// whether all tasks have ended. A worker counts the end and then reads `endWaiters`. Both are
// sequentially consistent, so one of them sees the other. `forceDeadline` works the same way: it
// stores the flag first and then locks each registry's Monitor, one at a time, to wake its waiters.
//
// Nothing is logged, sampled or written to a report under the Monitor. `follow` does all three
// between two waits, while the caller is on no list. An end in that gap is not lost: the next wait
// reads the predicate before it blocks.

/// The result of a join or a shutdown in numbers (J8).
struct JoinTally {
  var ended: UInt64 = 0
  var failed: UInt64 = 0
  var exited: UInt64 = 0
  var pending: UInt64 = 0
  var aborted: UInt64 = 0
  var abandoned: UInt64 = 0
  var rejected: UInt64 = 0
  /// Nanoseconds.
  var elapsed: Int64 = 0
  var threadsLeft: UInt32 = 0
  /// Unjoined tasks that are alive (S9).
  var unjoined: UInt64 = 0
  /// How far the deadline was moved, in nanoseconds (E4).
  var extended: Int64 = 0
  /// The time that the application's callbacks took within the call.
  var callbacks = CallbackTimes()
  /// The tasks that had ended when the call came, but not when the token was cancelled.
  var before = EndedBefore()
}

/// The counters at one moment; a tally is the difference of two.
struct JoinBaseline {
  let returned: UInt64
  let failed: UInt64
  let exited: UInt64
  let withdrawn: UInt64
  /// Modulo 2^32.
  let endedOfLater: UInt32
  let rejected: UInt64
  let start: Int64

  init(_ registry: RegistryReference) {
    start = monotonicNow()
    let endings = registry.pointer
    endedOfLater = endings.pointee.phases.endedCountOfLater
    returned = endings.pointee.endings.returned.load(ordering: .sequentiallyConsistent)
    failed = endings.pointee.endings.failed.load(ordering: .sequentiallyConsistent)
    exited = endings.pointee.endings.exited.load(ordering: .sequentiallyConsistent)
    withdrawn = endings.pointee.endings.withdrawn.load(ordering: .sequentiallyConsistent)
    rejected = endings.pointee.rejected.load(ordering: .relaxed)
  }

  func tally(until now: JoinBaseline) -> JoinTally {
    var tally = JoinTally()
    tally.failed = now.failed &- failed
    tally.exited = now.exited &- exited
    tally.ended = now.returned &- returned &+ tally.failed &+ tally.exited
    tally.rejected = now.rejected &- rejected
    tally.elapsed = now.start &- start
    return tally
  }
}

extension RegistryReference {
  /// Waits until every task has ended (J1).
  ///
  /// - Parameters:
  ///   - timeout: nanoseconds to the deadline; negative never times out.
  ///   - earlier: the counters when the join began, if that was before this call.
  ///   - full: a new report to be filled in completely; nil if none is wanted.
  ///   - listStraggler: called with 0, 1, … for each task alive at the deadline, after the abort
  ///     grace if there is one.
  /// - Returns: the status, and the counts for a report.
  func joinAll(
    timeout: Int64, since earlier: JoinBaseline? = nil, full: ReportReference? = nil,
    listStraggler: (Int, TaskFacts) -> Void
  ) -> (Status, JoinTally) {
    if ProcessState.isForkedChild { return (.forked, JoinTally()) }
    if isHeldUpByCaller { return (.deadlock, JoinTally()) }
    let exempt = ExemptJoin(in: self)
    defer { exempt?.end() }
    let before = earlier ?? JoinBaseline(self)
    var clock = GraceClock(start: before.start, grace: timeout, samples: full != nil)
    var waiting = WaitingReport(full, in: self)
    waiting.beginRecordingStops()
    return withUnsafeMutablePointer(to: &waiting) { waiting in
      CallFrame.measuringCallbacks(waiting, ifLeft: { WaitingReport.giveUp($0) }) {
        let (status, stragglers) = waitForTasks(&clock, .untilDeadline, full, listStraggler)
        if ProcessState.isForkedChild { return (.forked, JoinTally()) }
        waiting.pointee.endRecordingStops()
        let tally = tally(since: before, stragglers)
        full?.complete(
          tally, in: self, grace: timeout, occasion: .join,
          ReportParts(threads: options.reportsThreads))
        full?.logCircles(of: self)
        if ProcessState.isForkedChild { return (.forked, JoinTally()) }
        return (status, full?.pointer.pointee.tally ?? tally)
      }
    }
  }

  /// Waits until every task has ended, without asking any to stop (J9).
  ///
  /// - Parameter deadline: when to give up.
  /// - Returns: `.ok`; `.timedOut`; `.cancelled`; `.deadlock`; `.forked`.
  func waitUntilEmpty(until deadline: Deadline) -> Status {
    if ProcessState.isForkedChild { return .forked }
    if isHeldUpByCaller { return .deadlock }
    let exempt = ExemptJoin(in: self)
    defer { exempt?.end() }
    spinUntilEmpty(until: deadline)
    switch waitUntilEmpty(deadline, .untilDeadline) {
    case .ready: return .ok
    case .timedOut: return .timedOut
    case .cancelled: return .cancelled
    }
  }

  /// Whether a join of the calling thread would wait for a task that cannot end before the thread
  /// goes on (J7).
  var isHeldUpByCaller: Bool {
    let exempt = exemptCaller
    return TaskReference.isHeldUpByCaller { $0 != exempt && $0.registry.isWithin(self) }
  }

  /// The counts of a call that started with `before`.
  func tally(since before: JoinBaseline, _ stragglers: JoinTally) -> JoinTally {
    var tally = before.tally(until: JoinBaseline(self))
    tally.pending = stragglers.pending
    tally.aborted = stragglers.aborted
    tally.abandoned = stragglers.abandoned
    tally.threadsLeft = stragglers.threadsLeft
    tally.unjoined = unjoinedCount
    tally.extended = stragglers.extended
    tally.callbacks = CallFrame.callbackTimes
    tally.before = pointer.pointee.cancelBaseline.ended(until: before)
    return tally
  }

  /// Moves the deadline of every shutdown of the registry and of the groups below it to now, also
  /// of shutdowns that have not started, and tells the tasks of the phases asked so far to abort
  /// (C13, C15); their callbacks have yet to run.
  ///
  /// The abort comes first: once the deadline is forced, the shutdown asks the next phase.
  ///
  /// A group that is created meanwhile is included: a thread that waits there reads its ancestors'
  /// flags after it has entered the list of waiters, and the flag is up before any list is walked.
  ///
  /// - Parameters:
  ///   - signal: the number of the second signal; 0 if none was the cause.
  ///   - time: how many nanoseconds after the first it came.
  ///   - first: the number of that.
  func forceDeadline(bySecond signal: Int32, after time: Int64, of first: Int32) {
    abortAsked()
    pointer.pointee.forcedBy.store(signal, ordering: .relaxed)
    pointer.pointee.forcedAfter.store(time, ordering: .relaxed)
    pointer.pointee.forcedAfterSignal.store(first, ordering: .relaxed)
    pointer.pointee.isDeadlineForced.store(true, ordering: .sequentiallyConsistent)
    forEachInTree { registry in
      registry.monitor.withLock {
        $0.waiters.wake(WaitKey.empty)
        $0.waiters.wake(WaitKey.phase)
        $0.waiters.wake(WaitKey.threads)
        $0.waiters.wake(WaitKey.callbacks)
      }
      return true
    }
  }

  /// Whether the deadline was forced, here or in an ancestor.
  var isDeadlineForced: Bool { forcedRegistry != nil }

  /// The registry whose deadline was forced: this one or an ancestor.
  private var forcedRegistry: RegistryReference? {
    var next: RegistryReference? = self
    while let registry = next {
      if registry.pointer.pointee.isDeadlineForced.load(ordering: .sequentiallyConsistent) {
        return registry
      }
      next = registry.parent
    }
    return nil
  }

  /// The second signal that cut shutdowns short, how many nanoseconds after the first it came, and
  /// which that was; nil if none did.
  var secondSignal: (number: Int32, after: Int64, of: Int32)? {
    guard let forced = forcedRegistry else { return nil }
    return (
      forced.pointer.pointee.forcedBy.load(ordering: .relaxed),
      forced.pointer.pointee.forcedAfter.load(ordering: .relaxed),
      forced.pointer.pointee.forcedAfterSignal.load(ordering: .relaxed)
    )
  }

  /// Waits until no task is alive; at the deadline, deals with the stragglers.
  func waitForTasks(
    _ clock: inout GraceClock, _ policy: WaitPolicy, _ full: ReportReference?,
    _ listStraggler: (Int, TaskFacts) -> Void
  ) -> (Status, JoinTally) {
    spinUntilEmpty(until: clock.deadline)
    let end = follow(&clock, policy) { waitUntilEmpty($0, policy) }
    // Before the abort grace, which is not part of a phase's time. A join has no phases.
    if let full {
      let now = monotonicNow() &- clock.start
      full.endAll(at: now) { end == .ready ? 0 : waitedCount(of: $0) }
    }
    var (status, tally) =
      switch end {
      case .ready: (Status.ok, JoinTally())
      case .cancelled: (.cancelled, JoinTally())
      case .timedOut: abandonStragglers(after: policy, full, listStraggler)
      }
    tally.extended = clock.movedBy
    return (status, tally)
  }

  /// Waits as `wait` does, and meanwhile carries out the steps that the clock gives.
  ///
  /// - Parameters:
  ///   - clock: the clock of the call.
  ///   - policy: the policy of `wait`, which returns `.timedOut` if the deadline is forced.
  ///   - phase: the phase that was asked last.
  ///   - wait: waits until the given deadline at the latest.
  /// - Returns: how the wait ended.
  func follow(
    _ clock: inout GraceClock, _ policy: WaitPolicy, phase: UInt32 = PhasePlan.count - 1,
    _ wait: (Deadline) -> WaitEnd
  ) -> WaitEnd {
    while true {
      let step = clock.step(at: monotonicNow()) { isPhase in
        // A deadline that was forced to now is not extended.
        if isDeadlineForced { return 0 }
        return isPhase ? lastProgress(upTo: phase) : lastProgress()
      }
      switch step {
      case .sample: sampleProcessorTimes()
      case .warn: logDeadlineNear(clock)
      case .moved(let by): logMovedDeadline(by, clock)
      case .phaseOver: return wait(clock.phaseEnd)
      case .expired: return wait(clock.deadline)
      case .wait(let until):
        let waitEnd = wait(until)
        if waitEnd != .timedOut { return waitEnd }
        if policy.end(isDone: false, isForced: isDeadlineForced) != nil { return .timedOut }
      }
      if ProcessState.isForkedChild { return .cancelled }
    }
  }

  /// Blocks until no task is alive for which a join waits, or none but an exempt caller's.
  func waitUntilEmpty(_ deadline: Deadline, _ policy: WaitPolicy) -> WaitEnd {
    let exempt = exemptCount
    var isCounted = false
    var early: WaitEnd?
    let end = monitor.wait(
      for: WaitKey.empty, until: deadline, noting: .tasks, object: UInt64(UInt(bitPattern: pointer))
    ) {
      if exempt != 0 { countExemptWaiter(1) }
      pointer.pointee.endWaiters.wrappingAdd(1, ordering: .sequentiallyConsistent)
      isCounted = true
    } isReady: {
      early = policy.end(isDone: joinableCount <= exempt, isForced: isDeadlineForced)
      return early != nil
    }
    if isCounted {
      pointer.pointee.endWaiters.wrappingSubtract(1, ordering: .sequentiallyConsistent)
      if exempt != 0 { countExemptWaiter(-1) }
    }
    return early ?? end
  }

  /// Spins briefly for the end of the last task.
  private func spinUntilEmpty(until deadline: Deadline) {
    let caller = Worker.currentTask
    let exempt = exemptCount
    _ = spin(for: pointer.pointee.spin.joiner, until: deadline) {
      spinnerRunsHere || caller?.word.isCancelRequested == true
    } until: {
      joinableCount <= exempt
    }
  }

  /// A hint: whether the worker that is most likely to end the last task was last seen on the
  /// caller's CPU, where it cannot run while the caller spins.
  private var spinnerRunsHere: Bool {
    let bits = root.pointer.pointee.spinner.load(ordering: .acquiring)
    guard let worker = Worker.Pointer(bitPattern: bits) else { return false }
    return worker.pointee.cpu.load(ordering: .relaxed) == cp_current_cpu()
  }
}
