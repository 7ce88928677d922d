#if !hasFeature(Embedded)

  extension TrackedTask {
    /// Keeps the promise of `SpawnOptions.heartbeat` or `promiseHeartbeats` (E7).
    ///
    /// A task that has promised nothing may call it, too. One that was reported as stalled is reported as
    /// recovered.
    ///
    /// - Throws: `invalidArgument` when the caller is not this task; `forkedChild`.
    /// *Concurrency:* the task's own thread only; does not block, but may send that event.
    public func heartbeat() throws(TaskRegistryError) {
      try checkCaller()
      try check(recordHeartbeat())
    }

    /// Promises to call `heartbeat` at least every `interval` from now on, in the place of what was promised before (E7).
    ///
    /// - Parameters:
    ///   - interval: less than a millisecond is one; zero takes the promise back.
    ///   - exceptWaits: whether time in the library's own waits, such as `sleep`, is left out, and the end of each a
    ///     beat: what an event loop promises.
    /// - Throws: `invalidArgument` when the caller is not this task, its body is over, or the interval is negative;
    ///   `outOfMemory`, `threadUnavailable`; `forkedChild`.
    /// *Concurrency:* the task's own thread only; does not block, but may send an event, as it is a beat.
    public func promiseHeartbeats(
      every interval: Duration, exceptWaits: Bool = false
    ) throws(TaskRegistryError) {
      try checkCaller()
      try check(
        makeHeartbeatPromise(every: interval.wholeNanoseconds, sparesWaits: exceptWaits, in: nil))
    }

    /// Suspends the promise, for an operation that is known to take long, until `resumeHeartbeats` (E7).
    ///
    /// - Throws: `invalidArgument` when the caller is not this task, or has promised nothing; `forkedChild`.
    /// *Concurrency:* as `heartbeat`, which it counts as.
    public func pauseHeartbeats() throws(TaskRegistryError) {
      try checkCaller()
      try check(setHeartbeatsPaused(true))
    }

    /// Promises again, as before `pauseHeartbeats` (E7).
    ///
    /// - Throws: `invalidArgument` when the caller is not this task, or has promised nothing; `forkedChild`.
    /// *Concurrency:* as `heartbeat`, which it counts as.
    public func resumeHeartbeats() throws(TaskRegistryError) {
      try checkCaller()
      try check(setHeartbeatsPaused(false))
    }
  }

  extension TaskRegistry {
    /// Whether every task, and every thread that has promised, keeps its promise to beat: what a watchdog wants to know
    /// (E7).
    ///
    /// False in a child of fork.
    public var isHealthy: Bool { !ProcessState.isForkedChild && core.isHealthy }

    /// Those who have missed a heartbeat they promised: live tasks, those of groups included, and threads that are no
    /// tasks, with the id 0 (E7).
    public func stalledTasks() -> [TaskSummary] {
      if ProcessState.isForkedChild { return [] }
      let clocks = ClockPair.now
      var summaries: [TaskSummary] = []
      _ = core.listStalled { summaries.append(TaskSummary($1, clocks)) }
      return summaries
    }

    // MARK: Threads that are no tasks

    /// Promises, for the calling thread, to call `TaskRegistry.heartbeat` at least every `interval` from now on, in the
    /// place of what it promised before: what the loop of main promises (E7).
    ///
    /// The promise ends when it is taken back, when the thread ends, and when a shutdown of the registry has
    /// succeeded.
    ///
    /// - Parameters:
    ///   - interval: less than a millisecond is one; zero takes the promise back.
    ///   - exceptWaits: as for a task.
    /// - Throws: `invalidArgument` when the interval is negative, or the caller is a task of another registry;
    ///   `closed` when the registry is, and has no task; `wouldDeadlock` in the log callback that hears of the calling
    ///   thread's recovery, if that promise would end; `outOfMemory`, `threadUnavailable`; `forkedChild`.
    /// *Concurrency:* any thread, for itself; waits for a log callback that hears of the promise in whose place it
    /// comes.
    @available(*, noasync)
    public func promiseHeartbeats(
      every interval: Duration, exceptWaits: Bool = false
    ) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(
        makeHeartbeatPromise(every: interval.wholeNanoseconds, sparesWaits: exceptWaits, in: core))
    }

    /// Keeps the promise of the calling thread, or of its task (E7).
    ///
    /// In a thread that is no task and has promised nothing it is itself a promise while systemd's watchdog is told: to
    /// call it in half of the watchdog's interval.
    ///
    /// - Throws: `invalidArgument` in a thread that is no task where nothing was promised and no watchdog is told;
    ///   with one `outOfMemory`, `threadUnavailable`; `forkedChild`.
    /// *Concurrency:* any thread, for itself; does not block, but may send an event.
    @available(*, noasync)
    public static func heartbeat() throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(recordHeartbeat())
    }

    /// Suspends the promise of the calling thread, or of its task, until `resumeHeartbeats` (E7).
    ///
    /// - Throws: `invalidArgument` where nothing was promised; `forkedChild`.
    /// *Concurrency:* as `heartbeat`, which it counts as.
    @available(*, noasync)
    public static func pauseHeartbeats() throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(setHeartbeatsPaused(true))
    }

    /// Promises again, as before `pauseHeartbeats` (E7).
    ///
    /// - Throws: `invalidArgument` where nothing was promised; `forkedChild`.
    /// *Concurrency:* as `heartbeat`, which it counts as.
    @available(*, noasync)
    public static func resumeHeartbeats() throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(setHeartbeatsPaused(false))
    }
  }

#endif
