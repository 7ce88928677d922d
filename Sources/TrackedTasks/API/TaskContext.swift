import CPlatform

#if !hasFeature(Embedded)

  /// What a task can do itself: its body receives it.
  ///
  /// It stays in the task's own thread; `handle` may go anywhere. Calls that only report something
  /// throw nothing; waits throw `CancellationError` when the task is asked to stop.
  ///
  /// *Concurrency:* the task's own thread only.
  public struct TaskContext {
    /// The task, to hand to others.
    public let handle: TrackedTask

    init(_ task: TrackedTask) { handle = task }

    /// That of the task which the calling thread runs; nil outside a task.
    public static var current: TaskContext? { TrackedTask.current.map { TaskContext($0) } }

    /// The task itself.
    var core: TaskReference { handle.core }

    /// Unique in the process, never reused.
    public var id: UInt64 { handle.id }

    /// The name, at most 63 bytes of UTF-8.
    public var name: String { handle.name }

    /// What the task is for.
    public var kind: TaskKind { handle.kind }

    /// The phase of a shutdown in which the task is asked to stop.
    public var phase: Int { handle.phase }

    /// Whether the task was asked to stop: one atomic load.
    public var isCancelled: Bool { handle.isCancelled }

    /// How urgently the task was asked to stop: one atomic load.
    public var stopLevel: StopLevel { handle.stopLevel }

    /// Asks the task to stop, as anybody else may.
    public func cancel() { handle.cancel() }

    /// Returns if the task was not asked to stop.
    ///
    /// - Throws: `CancellationError` if it was.
    public func checkCancellation() throws(CancellationError) {
      if isCancelled { throw CancellationError() }
    }

    /// Sleeps for `duration`; the sleep ends early when the task is asked to stop.
    ///
    /// - Throws: `CancellationError` when the task was asked to stop before or meanwhile.
    ///
    /// *Concurrency:* blocks.
    @available(*, noasync, message: "it blocks the thread")
    public func sleep(for duration: Duration) throws(CancellationError) {
      if !isOwn { return }
      if sleepCallingThread(for: max(0, duration.wholeNanoseconds)) == .cancelled {
        throw CancellationError()
      }
    }

    /// Waits on a condition variable until it is signalled; ends early when the task is asked to
    /// stop.
    ///
    /// Like `pthread_cond_wait` it may wake spuriously, so call it in a loop around your condition.
    /// However the wait ends, the caller holds the mutex. To stop a task in such a wait, a thread
    /// of the library broadcasts the condition variable.
    ///
    /// - Parameters:
    ///   - condition: initialised, and alive until every wait on it has returned.
    ///   - mutex: initialised, and alive as long; locked by the caller, once, and not robust.
    ///   - timeout: how long, on `CLOCK_MONOTONIC`; nil never times out.
    /// - Throws: `timedOut`; `cancelled`; `invalidArgument` when an error-checking mutex is not the
    ///   caller's, or when the mutex is robust; `outOfMemory` or `threadUnavailable`, without having
    ///   waited; `systemFailure`.
    ///
    /// *Concurrency:* blocks.
    @available(*, noasync, message: "it blocks the thread")
    public func wait(
      on condition: UnsafeMutablePointer<pthread_cond_t>,
      mutex: UnsafeMutablePointer<pthread_mutex_t>, timeout: Duration? = nil
    ) throws(TaskRegistryError) {
      try checkCaller()
      try check(waitOnCondition(condition, mutex, until: .after(timeoutNanoseconds(timeout))))
    }

    /// Stops the task's cancel signal: the task has seen that it is asked to stop.
    ///
    /// Without a request to stop, or without such a signal, it does nothing.
    ///
    /// *Concurrency:* does not block.
    public func acknowledgeCancel() {
      if isOwn { core.acknowledgeCancel() }
    }

    // MARK: The way through the core

    /// Whether the caller is this task, in the process that it was spawned in.
    ///
    /// The type keeps others out, unless they take pains. What only reports does nothing then.
    var isOwn: Bool {
      if ProcessState.isForkedChild { return false }
      let isOwn = Worker.currentTask == core
      assert(isOwn, "a TaskContext was used outside the thread of its task")
      return isOwn
    }

    /// Throws unless the caller is this task.
    func checkCaller() throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      guard Worker.currentTask == core else { throw .invalidArgument }
    }
  }

  @available(*, unavailable)
  extension TaskContext: Sendable {}

#endif
