#if !hasFeature(Embedded)

  extension TrackedTask {
    /// Keeps the promise of `SpawnOptions.heartbeat` (E7).
    ///
    /// A task that has promised nothing may call it, too. One that was reported as stalled is reported as
    /// recovered.
    ///
    /// - Throws: `invalidArgument` when the caller is not this task; `forkedChild`.
    /// *Concurrency:* the task's own thread only; does not block, but may send that event.
    public func heartbeat() throws(TaskRegistryError) {
      try checkCaller()
      try check(noteHeartbeat())
    }
  }

  extension TaskRegistry {
    /// Whether every task keeps its promise to beat: what a watchdog wants to know (E7).
    ///
    /// False in a child of fork.
    public var isHealthy: Bool { !ProcessState.isForkedChild && core.isHealthy }

    /// The live tasks that have missed a heartbeat they promised, those of groups included (E7).
    public func stalledTasks() -> [TaskSummary] {
      if ProcessState.isForkedChild { return [] }
      let clocks = ClockPair.now
      var summaries: [TaskSummary] = []
      _ = core.listStalled(at: clocks.monotonic) { summaries.append(TaskSummary($1, clocks)) }
      return summaries
    }
  }

#endif
