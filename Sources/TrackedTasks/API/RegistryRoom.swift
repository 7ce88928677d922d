#if !hasFeature(Embedded)

  extension TaskRegistry {
    /// Waits until another task would be admitted, in this registry and in those around it, as far as
    /// `maxTasks` decides.
    ///
    /// Another thread may take the room first.
    ///
    /// - Parameter timeout: how long; nil waits indefinitely.
    /// - Throws: `timedOut`; `closed`; `cancelled` when the calling task is asked to stop;
    ///   `forkedChild`.
    ///
    /// *Concurrency:* blocks the calling thread.
    @available(*, noasync, message: "it blocks the thread")
    public func waitForRoom(timeout: Duration? = nil) throws(TaskRegistryError) {
      try check(core.waitForRoom(until: .after(timeoutNanoseconds(timeout))))
    }

    /// Changes how many tasks may be alive at once.
    ///
    /// If more are alive, no task is ended, and none is accepted until fewer are.
    ///
    /// - Parameter most: nil: no limit.
    /// - Throws: `invalidArgument` for less than 1; `forkedChild`.
    public func setMaxTasks(_ most: Int?) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      guard (most ?? 1) > 0 else { throw .invalidArgument }
      core.setMaxTasks(UInt64(most ?? 0))
    }
  }
#endif
