#if !hasFeature(Embedded)

  import CPlatform

  extension StopLevel: Comparable, Codable {}

  extension TrackedTask {
    /// How urgently the task was asked to stop: one atomic load.
    ///
    /// It only rises. `cancel`, the registry's token and a shutdown's phases raise it to `.drain`;
    /// `abort`, `ShutdownToken.abort`, a second signal and the deadline of a join or a shutdown to
    /// `.abort`.
    public var stopLevel: StopLevel {
      _ = core.checkCancel()
      return core.word.level
    }

    /// Tells the task to abort: raises its level and ends the library's wait that it is in, also
    /// while it drains.
    ///
    /// Nothing is killed.
    public func abort() {
      if ProcessState.isForkedChild { return }
      core.cancel(.abort)
    }

    /// Runs `body` when the task is told to abort; see `ShutdownToken.onCancel`.
    ///
    /// After a deadline or a second signal it runs on a thread of the library's.
    ///
    /// - Returns: the registration, with which the closure is removed; it need not be kept.
    /// - Throws: `outOfMemory`, `forkedChild`.
    @discardableResult
    public func onAbort(
      _ body: @escaping @Sendable () -> Void
    ) throws(TaskRegistryError) -> CancelRegistration {
      if ProcessState.isForkedChild { throw .forkedChild }
      return try CancelRegistration(.task(core), at: .abort, body)
    }

    /// Returns a descriptor that is readable once the task is told to abort.
    ///
    /// See `ShutdownToken.fileDescriptor`. It is another one than that of `fileDescriptor`.
    ///
    /// - Throws: `outOfMemory`; `systemFailure` when no descriptor is available; `forkedChild`.
    public func abortFileDescriptor() throws(TaskRegistryError) -> Int32 {
      if ProcessState.isForkedChild { throw .forkedChild }
      let (status, descriptor) = core.openDescriptor(.abort)
      try check(status)
      return descriptor
    }
  }

  extension TaskContext {
    /// Says that the task has heard the request to stop, and finishes its work: from now on its
    /// waits end with `cancelled` only at `.abort`.
    ///
    /// The cancel signal of the task stops, and is sent again when the task is told to abort. The
    /// call may be made before the task is asked to stop; a further one changes nothing.
    ///
    /// - Throws: `CancellationError` when the level is `.abort` already.
    ///
    /// *Concurrency:* does not block.
    public func beginDrain() throws(CancellationError) {
      if isOwn && core.beginDrain() == .cancelled { throw CancellationError() }
    }

    /// Runs `body` in a shield: no wait of the library in it ends by the level of the task, neither
    /// to drain nor to abort.
    ///
    /// It is for clean-up that has to wait for something that is certain to end, such as tasks that
    /// it has cancelled. A deadline does not end such a wait.
    ///
    /// - Throws: what `body` throws.
    public func withShield<Result, Failure: Error>(
      _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
      let isShielded = isOwn && core.beginShield() == .ok
      defer { if isShielded { _ = core.endShield() } }
      return try body()
    }

    /// Returns a token of the task's own, to hand to code that takes a token: it is cancelled when
    /// the task is asked to stop, and aborted when the task is told to abort.
    ///
    /// It has the reason of the registry's token if that is cancelled; `.deadline` by the deadline
    /// of a join; else `.none`. The end of the task does not cancel it. Every call returns the same
    /// token.
    ///
    /// - Throws: `outOfMemory`; `invalidArgument` when the task's body is over; `forkedChild`.
    ///
    /// *Concurrency:* does not block.
    public func token() throws(TaskRegistryError) -> ShutdownToken {
      try checkCaller()
      let (status, token) = core.ownToken()
      guard let token else { throw TaskRegistryError(status) }
      token.retain()
      return ShutdownToken(takingOver: token)
    }
  }

  extension ShutdownToken {
    /// Runs `body` when the token is aborted; see `onCancel`.
    ///
    /// - Returns: the registration, with which the closure is removed; it need not be kept.
    /// - Throws: `outOfMemory`, `forkedChild`.
    @discardableResult
    public func onAbort(
      _ body: @escaping @Sendable () -> Void
    ) throws(TaskRegistryError) -> CancelRegistration {
      if ProcessState.isForkedChild { throw .forkedChild }
      return try CancelRegistration(.token(core), at: .abort, body)
    }

    /// Returns a descriptor that is readable once the token is aborted.
    ///
    /// See `fileDescriptor`. It is another one than that.
    ///
    /// - Throws: `outOfMemory`; `systemFailure` when no descriptor is available; `forkedChild`.
    public func abortFileDescriptor() throws(TaskRegistryError) -> Int32 {
      if ProcessState.isForkedChild { throw .forkedChild }
      let (status, descriptor) = core.openDescriptor(.abort)
      try check(status)
      return descriptor
    }

    /// Creates a token without a parent that is cancelled, with the reason `.deadline`, when
    /// `timeout` has passed; see `child(timeout:)`.
    ///
    /// - Throws: `outOfMemory`; `threadUnavailable`; `forkedChild`.
    public convenience init(timeout: Duration) throws(TaskRegistryError) {
      let (status, token) = TokenReference.create(deadline: .after(timeoutNanoseconds(timeout)))
      guard let token else { throw TaskRegistryError(status) }
      self.init(takingOver: token)
    }

    /// How urgently a stop was requested: `.none` while the token is not cancelled.
    public var stopLevel: StopLevel { core.level }

    /// Cancels the token and tells everything below it to abort: the tasks of phase 0, and of later
    /// phases that a shutdown has asked to stop by now.
    ///
    /// - Parameters:
    ///   - reason: why, if the token was not cancelled before.
    ///   - message: as in `cancel`.
    /// - Returns: whether this call was the first that aborts.
    @discardableResult
    public func abort(reason: ShutdownReason, message: String = "") -> Bool {
      if ProcessState.isForkedChild { return false }
      return withUTF8Text(message) { core.cancel(reason: reason.rawValue, message: $0, .abort) }
    }

    /// Waits until one of several tokens is cancelled.
    ///
    /// - Parameters:
    ///   - tokens: one to 64.
    ///   - timeout: how long; nil never times out.
    /// - Returns: the index of the first that is cancelled.
    /// - Throws: `timedOut`; `cancelled` when the calling task is asked to stop first;
    ///   `invalidArgument` for no token, or too many; `forkedChild`.
    ///
    /// *Concurrency:* blocks the calling thread; in `async` code, `await` chooses the form that does
    /// not.
    @available(*, noasync, message: "it blocks the thread: call it with 'await'")
    public static func waitForAny(
      _ tokens: [ShutdownToken], timeout: Duration? = nil
    ) throws(TaskRegistryError) -> Int {
      if ProcessState.isForkedChild { throw .forkedChild }
      guard (1...64).contains(tokens.count) else { throw .invalidArgument }
      let deadline = Deadline.after(timeoutNanoseconds(timeout))
      let (status, index) = withExtendedLifetime(tokens) {
        tokens.map(\.core).withUnsafeBufferPointer {
          TrackedTasks.waitForAny($0, until: deadline)
        }
      }
      try check(status)
      return index
    }

    /// Waits on a condition variable until it is signalled, or until the token is cancelled; in any
    /// thread.
    ///
    /// See `TrackedTask.wait(on:mutex:timeout:)`.
    ///
    /// - Throws: as there; `cancelled` also when the token is cancelled.
    ///
    /// *Concurrency:* blocks the calling thread.
    @available(*, noasync, message: "it blocks the thread")
    public func wait(
      on condition: UnsafeMutablePointer<pthread_cond_t>,
      mutex: UnsafeMutablePointer<pthread_mutex_t>, timeout: Duration? = nil
    ) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      let deadline = Deadline.after(timeoutNanoseconds(timeout))
      try check(waitOnCondition(condition, mutex, endedBy: core, until: deadline))
    }
  }

  extension TaskRegistry {
    /// Rejects spawns from now on, without asking a task to stop.
    ///
    /// Only clean-up work is still accepted.
    public func close() {
      if ProcessState.isForkedChild { return }
      core.close()
    }

    /// Whether spawns are rejected: the registry, or one that it is in, was closed, shut down or
    /// cancelled.
    public var isClosed: Bool { core.isClosed }
  }

#endif
