import CPlatform
import Synchronization

/// What a join or a shutdown came to (J8).
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
}

/// The counters at one moment; a report is the difference of two.
private struct JoinBaseline {
  let returned: UInt64
  let failed: UInt64
  let exited: UInt64
  let rejected: UInt64
  let start: Int64

  init(_ registry: RegistryReference) {
    start = monotonicNow()
    let endings = registry.pointer
    returned = endings.pointee.endings.returned.load(ordering: .sequentiallyConsistent)
    failed = endings.pointee.endings.failed.load(ordering: .sequentiallyConsistent)
    exited = endings.pointee.endings.exited.load(ordering: .sequentiallyConsistent)
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
  /// How long a shutdown waits for threads that have no task any more, beyond its deadline: they
  /// leave in microseconds unless a destructor of the application's holds them up.
  private static var threadAllowance: Int64 { 1_000_000_000 }

  /// Waits until every task has ended (J1).
  ///
  /// - Parameters:
  ///   - timeout: nanoseconds to the deadline; negative is for ever.
  ///   - listStraggler: called with 0, 1, … for each task alive at the deadline, after the abort
  ///     grace if there is one.
  /// - Returns: the status, and the counts for a report.
  func joinAll(
    timeout: Int64, listStraggler: (Int, TaskFacts) -> Void
  ) -> (Status, JoinTally) {
    if ProcessState.isForkedChild { return (.forked, JoinTally()) }
    if TaskReference.heldUpByCaller?.registry.isWithin(self) == true {
      return (.deadlock, JoinTally())
    }
    let before = JoinBaseline(self)
    return withCancellationDisabled {
      let (status, stragglers) = drain(until: .after(timeout), listStraggler)
      return (status, report(since: before, stragglers))
    }
  }

  /// Closes, cancels the token, joins tasks and threads.
  func shutdown(
    reason: UInt32, message: UnsafePointer<UInt8>?, grace: Int64,
    listStraggler: (Int, TaskFacts) -> Void
  ) -> (Status, JoinTally) {
    if ProcessState.isForkedChild { return (.forked, JoinTally()) }
    if isOwnThread || TaskReference.heldUpByCaller?.registry.isWithin(self) == true {
      return (.deadlock, JoinTally())
    }
    let before = JoinBaseline(self)
    let deadline = Deadline.after(grace)
    return withCancellationDisabled {
      close()
      _ = token.cancel(reason: reason, message: message)
      var (status, stragglers) = drain(until: deadline, isShutdown: true, listStraggler)
      // A group has no threads.
      if status == .ok && parent == nil {
        let now = monotonicNow()
        let latest = Deadline(nanoseconds: max(deadline.isNever ? now : deadline.nanoseconds, now))
        let threads = joinThreads(until: latest.extended(by: Self.threadAllowance))
        stragglers.threadsLeft = UInt32(clamping: threads.left)
        switch threads.end {
        case .ready: break
        case .timedOut: status = .deadline
        case .cancelled: status = .cancelled
        }
      }
      return (status, report(since: before, stragglers))
    }
  }

  private func report(since before: JoinBaseline, _ stragglers: JoinTally) -> JoinTally {
    var tally = before.tally(until: JoinBaseline(self))
    tally.pending = stragglers.pending
    tally.aborted = stragglers.aborted
    tally.abandoned = stragglers.abandoned
    tally.threadsLeft = stragglers.threadsLeft
    return tally
  }

  /// The deadline of every shutdown of the registry, under way or still to come, is now (C13).
  func hurry() {
    pointer.pointee.isHurried.store(true, ordering: .sequentiallyConsistent)
    monitor.withLock { $0.waiters.wake(WaitKey.drained) }
  }

  private var isHurried: Bool { pointer.pointee.isHurried.load(ordering: .sequentiallyConsistent) }

  /// Waits until no task is alive, or deals with those that are at the deadline.
  private func drain(
    until deadline: Deadline, isShutdown: Bool = false, _ listStraggler: (Int, TaskFacts) -> Void
  ) -> (Status, JoinTally) {
    let caller = Worker.currentTask
    _ = spin(for: pointer.pointee.spin.joiner, until: deadline) {
      hotWorkerRunsHere || caller?.word.isCancelRequested == true
    } until: {
      isDrained
    }
    switch waitUntilDrained(deadline, isShutdown: isShutdown) {
    case .ready: return (.ok, JoinTally())
    case .cancelled: return (.cancelled, JoinTally())
    case .timedOut: return abandonStragglers(listStraggler)
    }
  }

  /// Blocks until no task is alive.
  func waitUntilDrained(_ deadline: Deadline, isShutdown: Bool = false) -> WaitEnd {
    var isCounted = false
    let end = monitor.wait(for: WaitKey.drained, until: deadline) {
      pointer.pointee.drainWaiters.wrappingAdd(1, ordering: .sequentiallyConsistent)
      isCounted = true
    } isReady: {
      isDrained || isShutdown && isHurried
    }
    if isCounted {
      pointer.pointee.drainWaiters.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    }
    return end == .ready && isShutdown && !isDrained ? .timedOut : end
  }

  /// Whether the worker that is most likely to end the last task was last seen on the caller's
  /// processor, where it gets no further while the caller spins.
  ///
  /// A hint.
  private var hotWorkerRunsHere: Bool {
    let bits = topmost.pointer.pointee.hot.load(ordering: .acquiring)
    guard let worker = Worker.Pointer(bitPattern: bits) else { return false }
    return worker.pointee.cpu.load(ordering: .relaxed) == cp_current_cpu()
  }
}
