#if !hasFeature(Embedded)

  extension TaskRegistry {
    /// Tells systemd that the service is ready, and from now on how it is, as sd_notify(3) says (E11).
    ///
    /// `READY=1` is sent at once; `WATCHDOG=1` at half the interval it is due in, while the registry
    /// `isHealthy`; `STOPPING=1` when its token is cancelled; from then on `STATUS=` with the tasks that are
    /// waited for, and `EXTEND_TIMEOUT_USEC=` while tasks end or tell of progress. Without a socket nothing
    /// is done. There is one such telling in a process; it holds a reference to the registry until
    /// `stopNotifyingSystemd`.
    ///
    /// - Parameters:
    ///   - socket: the socket's path, or `@` and an abstract name; nil: what the environment variable
    ///     NOTIFY_SOCKET says.
    ///   - watchdog: in which time a sign of life is due; zero: never; nil: what WATCHDOG_USEC says, if
    ///     WATCHDOG_PID is not set or is this process.
    ///   - statusInterval: how often is told what a stop waits for.
    /// - Throws: `invalidArgument` when an argument makes no sense, and when systemd is being told already;
    ///   `systemFailure` when the socket cannot be made or `READY=1` not be sent; `outOfMemory`,
    ///   `threadUnavailable`, `forkedChild`.
    public func startNotifyingSystemd(
      socket: String? = nil, watchdog: Duration? = nil, statusInterval: Duration = .seconds(1)
    ) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      let status = statusInterval.wholeNanoseconds
      guard status > 0, (watchdog ?? .zero) >= .zero else { throw .invalidArgument }
      let due = watchdog.map { $0 == .zero ? -1 : $0.wholeNanoseconds } ?? 0
      guard let socket else {
        return try check(
          SystemdWatch.start(for: core, socket: nil, watchdog: due, status: status))
      }
      if socket.utf8.contains(0) { throw .invalidArgument }
      let result = withUTF8Text(socket) {
        SystemdWatch.start(for: core, socket: $0, watchdog: due, status: status)
      }
      try check(result)
    }

    /// Ends what `startNotifyingSystemd` began: nothing more is sent.
    ///
    /// - Throws: `invalidArgument` when there is no such thing for this registry, or it found no socket;
    ///   `wouldDeadlock` on the library's timer thread; `forkedChild`.
    /// *Concurrency:* waits for a datagram that is being sent.
    public func stopNotifyingSystemd() throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(SystemdWatch.end(for: core))
    }
  }

#endif
