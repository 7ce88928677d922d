import CPlatform

#if !hasFeature(Embedded)

  /// A handle of one task: the original's abort handle, with an outcome.
  ///
  /// *Concurrency:* every member may be used from any thread unless it says otherwise.
  public final class TrackedTask: Sendable, Identifiable {
    // SAFETY: the core's records are made for many threads; this object holds one reference.
    nonisolated(unsafe) let core: TaskReference

    /// Takes over a reference.
    init(takingOver core: TaskReference) { self.core = core }

    deinit { if !ProcessState.isForkedChild { core.unpin() } }

    /// The task that the calling thread runs; nil outside a task.
    public static var current: TrackedTask? {
      guard !ProcessState.isForkedChild, let task = Worker.currentTask else { return nil }
      task.retainHandle()
      return TrackedTask(takingOver: task)
    }

    /// Unique in the process, never reused.
    public var id: UInt64 { core.id }

    /// The name, as it was kept: at most 63 bytes of UTF-8 (S2).
    public var name: String { core.name.withText { String(cString: $0) } }

    /// What the task is for.
    public var kind: TaskKind { TaskKind(rawValue: core.kind) }

    /// Whether the task was asked to stop: one atomic load (C3).
    public var isCancelled: Bool { core.checkCancel() }

    /// Asks the task to stop: raises its flag and ends the wait of this library that it is in.
    ///
    /// Nothing is killed (C5).
    public func cancel() {
      if ProcessState.isForkedChild { return }
      core.cancel()
    }

    /// Waits until the task has ended (O3).
    ///
    /// - Parameter timeout: how long; nil is for ever.
    /// - Returns: how it ended.
    /// - Throws: `timedOut`; `cancelled` when the calling task is asked to stop first;
    ///   `wouldDeadlock` when called by the task itself.
    /// *Concurrency:* blocks the calling thread; in `async` code use `waitAsync`.
    @discardableResult
    public func wait(timeout: Duration? = nil) throws(TaskRegistryError) -> TaskOutcome {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(core.wait(until: .after(timeoutNanoseconds(timeout))))
      return TaskOutcome(of: core)
    }

    /// Sleeps; the sleep ends when the task is asked to stop (C4).
    ///
    /// - Throws: `cancelled` when the task was asked to stop before or meanwhile;
    ///   `invalidArgument` when the caller is not this task.
    /// *Concurrency:* the task's own thread only, which it blocks.
    public func sleep(for duration: Duration) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      guard Worker.currentTask == core else { throw .invalidArgument }
      try check(sleepCallingThread(for: max(0, duration.wholeNanoseconds)))
    }

    /// Waits on a condition variable of the caller's until it is signalled; the wait ends first when the
    /// task is asked to stop (C9).
    ///
    /// Like `pthread_cond_wait` it may return for no reason, so that the caller loops around its own
    /// condition. However it ends, the caller holds the mutex. To stop a task in such a wait the
    /// condition variable is broadcast.
    ///
    /// - Parameters:
    ///   - condition: initialised, and alive until every wait on it has returned.
    ///   - mutex: likewise; locked by the caller, once, and not robust.
    ///   - timeout: how long, on `CLOCK_MONOTONIC`; nil is for ever.
    /// - Throws: `timedOut`; `cancelled`; `invalidArgument` when the caller is not this task, or does not
    ///   hold a mutex that can tell; `threadUnavailable` or `outOfMemory`, without having waited;
    ///   `systemFailure`.
    /// *Concurrency:* the task's own thread only, which it blocks.
    public func wait(
      on condition: UnsafeMutablePointer<pthread_cond_t>,
      mutex: UnsafeMutablePointer<pthread_mutex_t>, timeout: Duration? = nil
    ) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      guard Worker.currentTask == core else { throw .invalidArgument }
      try check(waitOnCondition(condition, mutex, until: .after(timeoutNanoseconds(timeout))))
    }

    /// Says that the task has seen that it is to stop: its cancel signal is sent no more (C10).
    ///
    /// Without a request to stop, or without such a signal, it does nothing.
    ///
    /// - Throws: `invalidArgument` when the caller is not this task; `forkedChild`.
    /// *Concurrency:* the task's own thread only; does not block.
    public func acknowledgeCancel() throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      guard Worker.currentTask == core else { throw .invalidArgument }
      core.acknowledgeCancel()
    }
  }

#endif
