#if !hasFeature(Embedded)

  // LOCKING
  // `Handover`'s Monitor guards two facts that can become true in either order: the task that waits
  // has been spawned, and the surrounding Swift task has been cancelled.

  extension ShutdownToken {
    /// `wait`, without blocking the caller's thread.
    ///
    /// - Throws: `timedOut`; `cancelled` when the surrounding Swift task is cancelled;
    ///   `threadUnavailable` when the system refuses a thread for the wait.
    ///
    /// *Concurrency:* the wait occupies a thread of the library, not one of the cooperative pool.
    public func waitAsync(timeout: Duration? = nil) async throws(TaskRegistryError) {
      try await AsyncWait.run { () throws(TaskRegistryError) in try self.wait(timeout: timeout) }
    }
  }

  extension TrackedTask {
    /// `wait`, without blocking the caller's thread.
    ///
    /// Errors and threads are as in `ShutdownToken.waitAsync`.
    @discardableResult
    public func waitAsync(
      timeout: Duration? = nil
    ) async throws(TaskRegistryError) -> TaskOutcome {
      try await AsyncWait.run { () throws(TaskRegistryError) in try self.wait(timeout: timeout) }
    }
  }

  extension TaskRegistry {
    /// `joinAll`, without blocking the caller's thread.
    ///
    /// Errors and threads are as in `ShutdownToken.waitAsync`; it also throws `deadlineExceeded`.
    @discardableResult
    public func joinAllAsync(
      timeout: Duration? = nil, explained: Bool = false
    ) async throws(TaskRegistryError) -> JoinReport {
      try await AsyncWait.run { () throws(TaskRegistryError) in
        try self.joinAll(timeout: timeout, explained: explained)
      }
    }

    /// `wait`, without blocking the caller's thread.
    ///
    /// Errors and threads are as in `ShutdownToken.waitAsync`; it also throws `wouldDeadlock`.
    public func waitAsync(timeout: Duration? = nil) async throws(TaskRegistryError) {
      try await AsyncWait.run { () throws(TaskRegistryError) in try self.wait(timeout: timeout) }
    }

    /// `shutdown`, without blocking the caller's thread.
    ///
    /// If the surrounding Swift task is cancelled, that means abort, now: the tasks of the phases
    /// asked so far are told to abort, and the grace of this and every later shutdown of the
    /// registry is over, as by a second signal. The call still joins, and throws
    /// `deadlineExceeded` with the report if tasks were alive then, never `cancelled`.
    ///
    /// Other errors and threads are as in `ShutdownToken.waitAsync`.
    @discardableResult
    public func shutdownAsync(
      reason: ShutdownReason = .userRequested, message: String = "", grace: Duration? = nil,
      options: ShutdownOptions = ShutdownOptions(), explained: Bool = false,
      onPhase: (@Sendable (PhaseEvent) -> Void)? = nil
    ) async throws(TaskRegistryError) -> JoinReport {
      try await AsyncWait.run { () throws(TaskRegistryError) in
        try self.shutdown(
          reason: reason, message: message, grace: grace, options: options, explained: explained,
          onPhase: onPhase)
      } onCancel: {
        self.core.forceDeadline(bySecond: 0, after: 0, of: 0)
        CallbackRun.begin(in: self.core)
      }
    }
  }

  /// Runs a blocking call of this library as a task of a registry of the library's own.
  ///
  /// The task gives the call a thread, and a flag by which a cancelled Swift task ends the wait.
  enum AsyncWait {
    /// The registry of the waiting threads.
    ///
    /// No program shuts it down. Its idle threads end after a while, except for one, which joins
    /// the others.
    static let registry = Result { () throws(TaskRegistryError) in
      var options = RegistryOptions()
      options.idleThreads = 1
      return try TaskRegistry(options)
    }

    static func run<Value: Sendable>(
      _ call: @escaping @Sendable () throws(TaskRegistryError) -> Value,
      onCancel: (@Sendable () -> Void)? = nil
    ) async throws(TaskRegistryError) -> Value {
      let registry = try registry.get()
      guard let handover = Handover() else { throw .outOfMemory }
      let result = await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          do throws(TaskRegistryError) {
            let waiting = try registry.spawn("taskreg async wait", kind: .application()) { _ in
              continuation.resume(
                returning: Result { () throws(TaskRegistryError) in try call() })
            }
            handover.threadExists(waiting)
          } catch {
            continuation.resume(returning: Result<Value, TaskRegistryError>.failure(error))
          }
        }
      } onCancel: {
        if let onCancel { onCancel() } else { handover.isCancelled() }
      }
      return try result.get()
    }
  }

  /// Cancels the waiting task once it exists and the Swift task has been cancelled.
  private final class Handover: Sendable {
    // SAFETY: the state inside is reached only through the Monitor.
    nonisolated(unsafe) private let monitor: Monitor<State>

    struct State: MonitorState {
      var task: TrackedTask?
      var isCancelled = false
      func checkInvariants() {}
    }

    init?() {
      guard let monitor = Monitor(State()) else { return nil }
      self.monitor = monitor
    }

    deinit { monitor.destroy() }

    func threadExists(_ task: TrackedTask) {
      let cancel = monitor.withLock { state in
        state.task = task
        return state.isCancelled
      }
      if cancel { task.cancel() }
    }

    func isCancelled() {
      let task = monitor.withLock { state in
        state.isCancelled = true
        return state.task
      }
      task?.cancel()
    }
  }

#endif
