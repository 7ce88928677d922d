#if !hasFeature(Embedded)

  extension TaskContext {
    /// Reports a heartbeat: the task is within the interval of `SpawnOptions.heartbeat` or
    /// `promiseHeartbeats`.
    ///
    /// A task without an interval may call it too. A task that was reported as stalled is reported
    /// as recovered.
    ///
    /// *Concurrency:* does not block, but may call the log closure for that event.
    public func heartbeat() {
      if isOwn { _ = recordHeartbeat() }
    }

    /// Sets the heartbeat interval: from now on the task calls `heartbeat` at least every
    /// `interval`.
    ///
    /// The call replaces an earlier interval, and counts as a heartbeat.
    ///
    /// - Parameters:
    ///   - interval: less than 1 ms is 1 ms; zero removes the interval.
    ///   - exceptWaits: whether time in the library's own waits, such as `sleep`, does not count,
    ///     and the end of each wait is a heartbeat; for event loops.
    /// - Throws: `invalidArgument` when its body is over, or the interval is negative; `outOfMemory`, `threadUnavailable`; `forkedChild`.
    ///
    /// *Concurrency:* does not block, but may call the log closure.
    public func promiseHeartbeats(
      every interval: Duration, exceptWaits: Bool = false
    ) throws(TaskRegistryError) {
      try checkCaller()
      try check(
        setHeartbeatInterval(every: interval.wholeNanoseconds, sparesWaits: exceptWaits, in: nil))
    }

    /// Pauses the heartbeat interval until `resumeHeartbeats`, for an operation that is known to
    /// take long.
    ///
    /// - Throws: `invalidArgument` when the task has no interval; `forkedChild`.
    ///
    /// *Concurrency:* as `heartbeat`; the call counts as one.
    public func pauseHeartbeats() throws(TaskRegistryError) {
      try checkCaller()
      try check(setHeartbeatsPaused(true))
    }

    /// Resumes the heartbeat interval after `pauseHeartbeats`.
    ///
    /// - Throws: `invalidArgument` when the task has no interval; `forkedChild`.
    ///
    /// *Concurrency:* as `heartbeat`; the call counts as one.
    public func resumeHeartbeats() throws(TaskRegistryError) {
      try checkCaller()
      try check(setHeartbeatsPaused(false))
    }
  }

  extension TaskRegistry {
    /// Whether every task, and every thread with an interval, is within its heartbeat interval.
    ///
    /// This is the check that a watchdog needs. It is false in a child of fork.
    public var isHealthy: Bool { !ProcessState.isForkedChild && core.isHealthy }

    /// Lists what has missed a heartbeat: live tasks, including those of groups, and other threads.
    ///
    /// A thread that is not a task has the id 0.
    public func stalledTasks() -> [TaskSummary] {
      if ProcessState.isForkedChild { return [] }
      let clocks = ClockPair.now
      var summaries: [TaskSummary] = []
      _ = core.listStalled { summaries.append(TaskSummary($1, clocks)) }
      return summaries
    }

    // MARK: Threads that are not tasks

    /// Sets the heartbeat interval of the calling thread, such as the main thread.
    ///
    /// From now on the thread calls `TaskRegistry.heartbeat` at least every `interval`. The call
    /// replaces an earlier interval. The interval ends when the thread sets zero, when the thread
    /// ends, and when a shutdown of the registry succeeds.
    ///
    /// - Parameters:
    ///   - interval: less than 1 ms is 1 ms; zero removes the interval.
    ///   - exceptWaits: as for a task.
    /// - Throws: `invalidArgument` when the interval is negative, or the caller is a task of
    ///   another registry; `closed` when the registry is closed and has no task; `wouldDeadlock` in
    ///   the log closure for the calling thread's own recovery, if the interval that the event is
    ///   about would end; `outOfMemory`, `threadUnavailable`; `forkedChild`.
    ///
    /// *Concurrency:* any thread, for itself; waits for a log closure that is running for the
    /// interval it replaces.
    @available(*, noasync)
    public func promiseHeartbeats(
      every interval: Duration, exceptWaits: Bool = false
    ) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(
        setHeartbeatInterval(every: interval.wholeNanoseconds, sparesWaits: exceptWaits, in: core))
    }

    /// Reports a heartbeat of the calling thread, or of its task.
    ///
    /// In a thread that is not a task and has no interval, while systemd's watchdog is notified,
    /// the call itself sets one: half of the watchdog's interval.
    ///
    /// - Throws: `invalidArgument` in a thread that is not a task, if no interval is set and no
    ///   watchdog is notified; if one is, `outOfMemory`, `threadUnavailable`; `forkedChild`.
    ///
    /// *Concurrency:* any thread, for itself; does not block, but may call the log closure.
    @available(*, noasync)
    public static func heartbeat() throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(recordHeartbeat())
    }

    /// Pauses the heartbeat interval of the calling thread, or of its task, until
    /// `resumeHeartbeats`.
    ///
    /// - Throws: `invalidArgument` where no interval is set; `forkedChild`.
    ///
    /// *Concurrency:* as `heartbeat`; the call counts as one.
    @available(*, noasync)
    public static func pauseHeartbeats() throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(setHeartbeatsPaused(true))
    }

    /// Resumes the heartbeat interval after `pauseHeartbeats`.
    ///
    /// - Throws: `invalidArgument` where no interval is set; `forkedChild`.
    ///
    /// *Concurrency:* as `heartbeat`; the call counts as one.
    @available(*, noasync)
    public static func resumeHeartbeats() throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(setHeartbeatsPaused(false))
    }
  }

#endif
