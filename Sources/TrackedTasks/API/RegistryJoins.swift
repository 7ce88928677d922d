#if !hasFeature(Embedded)

  extension TaskRegistry {
    /// Waits until every task has ended, including those spawned meanwhile, or the deadline has
    /// passed.
    ///
    /// No task is asked to stop before the deadline.
    ///
    /// - Parameters:
    ///   - timeout: the time to the deadline; nil never times out.
    ///   - explained: whether the report has an `explanation`. Examining a straggler takes some 30
    ///     µs, after the deadline.
    /// - Returns: the report.
    /// - Throws: `deadlineExceeded` with the report; `wouldDeadlock` from inside a task of this
    ///   registry; `cancelled` when the calling task is asked to stop; `outOfMemory`, with nothing
    ///   changed, if there is no memory for an explanation.
    ///
    /// *Concurrency:* blocks the calling thread; in `async` code, `await` chooses the form that does
    /// not.
    @discardableResult
    @available(*, noasync, message: "it blocks the thread: call it with 'await'")
    public func joinAll(
      timeout: Duration? = nil, explained: Bool = false
    ) throws(TaskRegistryError) -> JoinReport {
      try joinAll(timeoutNanoseconds(timeout), since: nil, explained: explained)
    }

    /// Joins as `joinAll`, counting from `before` if it is not nil.
    func joinAll(
      _ timeout: Int64, since before: JoinBaseline?, explained: Bool
    ) throws(TaskRegistryError) -> JoinReport {
      let explanation = try explained ? TaskReport() : nil
      var stragglers: [TaskSummary] = []
      let (status, tally) = core.joinAll(
        timeout: timeout, since: before, full: explanation?.core
      ) { stragglers.append(TaskSummary($1, .now)) }
      return try report(status, tally, stragglers, explanation)
    }

    /// Waits until the library's own threads have ended.
    ///
    /// They include those of a registry that was released without a shutdown. Call it before the
    /// end of a program that runs under a leak checker, or before fork(2). Threads of a registry in
    /// use are joined by `shutdown`.
    ///
    /// - Parameter timeout: how long; nil never times out.
    /// - Throws: `timedOut`; `cancelled` when the calling task is asked to stop; `wouldDeadlock` on
    ///   a thread that would wait for itself; `forkedChild`.
    ///
    /// *Concurrency:* blocks the calling thread; in `async` code, `await` chooses the form that does
    /// not.
    @available(*, noasync, message: "it blocks the thread: call it with 'await'")
    public static func quiesce(timeout: Duration? = nil) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(Quiescence.wait(until: .after(timeoutNanoseconds(timeout))))
    }

    /// Waits until every task has ended, including those spawned meanwhile.
    ///
    /// Unlike `joinAll`, it asks no task to stop at the end of the timeout.
    ///
    /// - Parameter timeout: how long; nil never times out.
    /// - Throws: `timedOut`; `wouldDeadlock` from inside a task of this registry; `cancelled` when
    ///   the calling task is asked to stop.
    ///
    /// *Concurrency:* blocks the calling thread; in `async` code, `await` chooses the form that does
    /// not.
    @available(*, noasync, message: "it blocks the thread: call it with 'await'")
    public func wait(timeout: Duration? = nil) throws(TaskRegistryError) {
      try check(core.waitUntilEmpty(until: .after(timeoutNanoseconds(timeout))))
    }

    /// Closes the registry, cancels its token and joins its tasks.
    ///
    /// Tasks are asked to stop phase by phase; see `SpawnOptions.phase`. After success no thread of
    /// the registry is left.
    ///
    /// - Parameters:
    ///   - reason: why, as the token reports it.
    ///   - message: one line of text, as the token reports it; 255 bytes of UTF-8 are kept.
    ///   - grace: the time to the deadline; nil never times out, and then a task that does not end
    ///     keeps the program from ending.
    ///   - options: whether the deadline is extended, when a warning is reported, how the time is
    ///     divided.
    ///   - explained: as in `joinAll`.
    ///   - onPhase: is called when a phase has begun and when it has ended. It runs on the calling
    ///     thread, in the shutdown's time: what is due meanwhile comes later.
    /// - Returns: the report.
    /// - Throws: as `joinAll`; `invalidArgument`, with nothing changed, when the options break
    ///   their documented requirements.
    ///
    /// *Concurrency:* blocks the calling thread; in `async` code, `await` chooses the form that does
    /// not.
    @discardableResult
    @available(*, noasync, message: "it blocks the thread: call it with 'await'")
    public func shutdown(
      reason: ShutdownReason = .userRequested, message: String = "",
      grace: Duration? = .seconds(5),
      options: ShutdownOptions = ShutdownOptions(), explained: Bool = false,
      onPhase: ((PhaseEvent) -> Void)? = nil
    ) throws(TaskRegistryError) -> JoinReport {
      var request = ShutdownRequest(reason: reason.rawValue, grace: timeoutNanoseconds(grace))
      guard options.apply(to: &request) else { throw .invalidArgument }
      let explanation = try explained ? TaskReport() : nil
      var stragglers: [TaskSummary] = []
      let (status, tally) = withUTF8Text(message) { text in
        request.message = text
        return request.reporting(to: onPhase) { request in
          core.shutdown(request, full: explanation?.core) {
            stragglers.append(TaskSummary($1, .now))
          }
        }
      }
      return try report(status, tally, stragglers, explanation)
    }

    private func report(
      _ status: Status, _ tally: JoinTally, _ stragglers: [TaskSummary],
      _ explanation: TaskReport?
    ) throws(TaskRegistryError) -> JoinReport {
      let report = JoinReport(tally, stragglers: stragglers, explanation: explanation)
      if status == .deadline { throw .deadlineExceeded(report) }
      try check(status)
      return report
    }
  }

#endif
