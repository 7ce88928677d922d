#if !hasFeature(Embedded)

  // The calls that block, for `async` code, where Swift chooses these by the same names.

  extension ShutdownToken {
    /// Waits until the token is cancelled.
    ///
    /// - Parameter timeout: how long; nil never times out.
    /// - Throws: `timedOut`; `cancelled` when the surrounding Swift task is cancelled; `outOfMemory`;
    ///   `threadUnavailable` when the system refuses the thread of the timeouts; `forkedChild`.
    ///
    /// *Concurrency:* holds no thread.
    public func wait(timeout: Duration? = nil) async throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      if isCancelled { return }
      let time = timeoutNanoseconds(timeout)
      if time == 0 { throw .timedOut }
      let wait = AsyncWait()
      // The child's own deadline is the timer. Cancelled for whatever cause, it ends the wait.
      let token = time < 0 ? self : try child(timeout: .nanoseconds(time))
      let registration = try token.onCancel { wait.end(with: .ready) }
      let end = await wait.end()
      registration.remove()
      if isCancelled { return }
      throw end == .cancelled ? .cancelled : .timedOut
    }
  }

  extension ShutdownToken {
    /// Waits until one of several tokens is cancelled.
    ///
    /// - Parameters:
    ///   - tokens: one to 64.
    ///   - timeout: how long; nil never times out.
    /// - Returns: the index of the first that is cancelled.
    /// - Throws: as `wait(timeout:)`; `invalidArgument` for no token, or too many.
    ///
    /// *Concurrency:* holds no thread.
    public static func waitForAny(
      _ tokens: [ShutdownToken], timeout: Duration? = nil
    ) async throws(TaskRegistryError) -> Int {
      if ProcessState.isForkedChild { throw .forkedChild }
      guard (1...64).contains(tokens.count) else { throw .invalidArgument }
      if let index = tokens.firstIndex(where: \.isCancelled) { return index }
      let time = timeoutNanoseconds(timeout)
      if time == 0 { throw .timedOut }
      let wait = AsyncWait()
      let timer = time < 0 ? nil : try ShutdownToken(timeout: .nanoseconds(time))
      // It goes with the timer.
      try timer?.onCancel { wait.end(with: .timedOut) }
      var registrations: [CancelRegistration] = []
      do throws(TaskRegistryError) {
        for token in tokens {
          registrations.append(try token.onCancel { wait.end(with: .ready) })
        }
      } catch {
        for registration in registrations { registration.remove() }
        throw error
      }
      let end = await wait.end()
      for registration in registrations { registration.remove() }
      if let index = tokens.firstIndex(where: \.isCancelled) { return index }
      throw end == .cancelled ? .cancelled : .timedOut
    }
  }

  extension TrackedTask {
    /// Waits until the task has ended.
    ///
    /// - Parameter timeout: how long; nil never times out.
    /// - Returns: how it ended.
    /// - Throws: as `ShutdownToken.wait`.
    ///
    /// *Concurrency:* holds no thread, but polls for `RegistryOptions.spin` first: a short task has
    /// ended by then.
    @discardableResult
    public func wait(timeout: Duration? = nil) async throws(TaskRegistryError) -> TaskOutcome {
      if ProcessState.isForkedChild { throw .forkedChild }
      if core.word.stage == .ended { return TaskOutcome(of: core) }
      // A task that is counted already is a few instructions from its end (J2).
      let time = core.word.stage == .ending ? -1 : timeoutNanoseconds(timeout)
      if time == 0 { throw .timedOut }
      // To suspend and to resume takes longer than most short tasks.
      if core.endsSoon(before: .after(time)) { return TaskOutcome(of: core) }
      let end = try await waitForEnd(within: time)
      if core.word.stage == .ended { return TaskOutcome(of: core) }
      throw end == .cancelled ? .cancelled : .timedOut
    }

    /// Waits until the task has ended; `time` nanoseconds at most, unless that is negative.
    fileprivate func waitForEnd(
      within time: Int64
    ) async throws(TaskRegistryError) -> AsyncWait.End {
      let wait = AsyncWait()
      let timer = time < 0 ? nil : try ShutdownToken(timeout: .nanoseconds(time))
      let timeout = try timer?.onCancel { wait.end(with: .timedOut) }
      let registration = try CancelRegistration(.end(core)) { wait.end(with: .ready) }
      let end = await wait.end()
      registration.remove()
      timeout?.remove()
      return end
    }
  }

  extension TaskRegistry {
    /// Waits until every task has ended, including those spawned meanwhile.
    ///
    /// It asks no task to stop, not even at the end of the timeout.
    ///
    /// - Parameter timeout: how long; nil never times out.
    /// - Throws: as `ShutdownToken.wait`; `wouldDeadlock` from inside a task of this registry.
    ///
    /// *Concurrency:* holds no thread.
    public func wait(timeout: Duration? = nil) async throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      if core.isHeldUpByCaller { throw .wouldDeadlock }
      try await waitUntilEmpty(until: .after(timeoutNanoseconds(timeout)))
    }

    /// Waits until every task has ended, including those spawned meanwhile, or the deadline has
    /// passed.
    ///
    /// No task is asked to stop before the deadline. Parameters and result are those of the form
    /// that blocks.
    ///
    /// - Throws: as `wait(timeout:)`; `deadlineExceeded` with the report.
    ///
    /// *Concurrency:* holds no thread until the deadline; one for the time that it takes to deal
    /// with the stragglers.
    @discardableResult
    public func joinAll(
      timeout: Duration? = nil, explained: Bool = false
    ) async throws(TaskRegistryError) -> JoinReport {
      if ProcessState.isForkedChild { throw .forkedChild }
      if core.isHeldUpByCaller { throw .wouldDeadlock }
      let before = JoinBaseline(core)
      let time = timeoutNanoseconds(timeout)
      do {
        try await waitUntilEmpty(until: .after(time))
      } catch .timedOut {
        // The join below deals with it.
      }
      return try await AsyncCall.result { () throws(TaskRegistryError) in
        try self.joinAll(time, since: before, explained: explained)
      }.get()
    }

    /// Closes the registry, cancels its token and joins its tasks.
    ///
    /// Parameters and result are those of the form that blocks. If the surrounding Swift task is
    /// cancelled, that means abort, now: the tasks of the phases asked so far are told to abort, and
    /// the grace of this and every later shutdown of the registry is over, as `endGracePeriod` does
    /// it. The call still joins, and throws `deadlineExceeded` with the report if tasks were alive
    /// then, never `cancelled`.
    ///
    /// - Throws: as the form that blocks; `threadUnavailable`, with nothing changed, when the system
    ///   refuses a thread.
    ///
    /// *Concurrency:* holds one thread of the library's, on which `onPhase` is called.
    @discardableResult
    public func shutdown(
      reason: ShutdownReason = .userRequested, message: String = "",
      grace: Duration? = .seconds(5),
      options: ShutdownOptions = ShutdownOptions(), explained: Bool = false,
      onPhase: (@Sendable (PhaseEvent) -> Void)? = nil
    ) async throws(TaskRegistryError) -> JoinReport {
      let result = await withTaskCancellationHandler {
        await AsyncCall.result { () throws(TaskRegistryError) in
          try self.shutdown(
            reason: reason, message: message, grace: grace, options: options,
            explained: explained, onPhase: onPhase)
        }
      } onCancel: {
        endGracePeriod()
      }
      return try result.get()
    }

    /// Does what a second signal does: the tasks of the phases asked so far are told to abort, and
    /// the grace of this and every later shutdown of the registry, and of its groups, is over.
    ///
    /// A shutdown that waits goes on to its next phase, whose tasks still have a moment to end, and
    /// to its report. Without a shutdown, nothing waits for the tasks.
    public func endGracePeriod() {
      if ProcessState.isForkedChild { return }
      core.forceDeadline(bySecond: 0, after: 0, of: 0)
      CallbackRun.begin(in: core)
    }

    /// Runs as a service, as the form that blocks.
    ///
    /// If the surrounding Swift task is cancelled, the registry's token is, with the reason
    /// `.userRequested`, and the service stops as by a signal.
    ///
    /// - Throws: as there; `threadUnavailable`, with nothing done, when the system refuses a thread.
    ///
    /// *Concurrency:* holds one thread of the library's, on which `onPhase` is called.
    public func runUntilStopped(
      _ options: ServiceOptions = ServiceOptions(), onPhase: (@Sendable (PhaseEvent) -> Void)? = nil
    ) async throws(TaskRegistryError) -> Int32 {
      let result = await withTaskCancellationHandler {
        await AsyncCall.result { () throws(TaskRegistryError) in
          try self.runUntilStopped(options, onPhase: onPhase)
        }
      } onCancel: {
        token.cancel(reason: .userRequested, message: "the Swift task was cancelled")
      }
      return try result.get()
    }

    /// Waits until the library's own threads have ended, as the form that blocks.
    ///
    /// - Throws: as there; `threadUnavailable` when the system refuses a thread.
    ///
    /// *Concurrency:* holds one thread, which has ended when the process does.
    public static func quiesce(timeout: Duration? = nil) async throws(TaskRegistryError) {
      try await AsyncCall.result { () throws(TaskRegistryError) in
        try quiesce(timeout: timeout)
      }.get()
    }

    /// Waits until no task is alive, one generation of tasks after the other.
    private func waitUntilEmpty(until deadline: Deadline) async throws(TaskRegistryError) {
      while !core.isEmpty {
        if deadline.hasPassed { throw .timedOut }
        let tasks = someLiveTasks()
        for task in tasks {
          let left = deadline.isNever ? -1 : max(0, deadline.nanoseconds &- monotonicNow())
          switch try await task.waitForEnd(within: left) {
          case .ready: break
          case .timedOut: throw .timedOut
          case .cancelled: throw .cancelled
          }
        }
        if tasks.isEmpty {
          // They are counted, but have no record yet or none any more, which takes a moment.
          if (try? await Task.sleep(for: .microseconds(100))) == nil { throw .cancelled }
        }
      }
    }

    /// Some of the tasks that are alive; none only if there is none in a record.
    ///
    /// A walk passes the records of tasks that have ended. With so many at a time, all walks
    /// together pass a 64th of the square of the records, and as few references are held.
    private func someLiveTasks() -> [TrackedTask] {
      var tasks: [TrackedTask] = []
      core.forEachTask { task, _ in
        if task.pin() {
          task.retainHandle()
          task.unpin()
          tasks.append(TrackedTask(takingOver: task))
        }
        return tasks.count < 64
      }
      return tasks
    }
  }

#endif
