#if !hasFeature(Embedded)

  /// How systemd is notified.
  public struct SystemdOptions: Hashable, Sendable {
    /// The socket's path, or `@` and an abstract name; nil: the value of the environment variable
    /// NOTIFY_SOCKET.
    public var socket: String?
    /// The interval in which `WATCHDOG=1` is due; zero: never; nil: the value of WATCHDOG_USEC, if
    /// WATCHDOG_PID is not set or is this process.
    public var watchdog: Duration?
    /// How often `STATUS=` reports what a stop is waiting for.
    public var statusInterval: Duration

    /// Creates options: each argument is the property of its name, with its default.
    public init(
      socket: String? = nil, watchdog: Duration? = nil, statusInterval: Duration = .seconds(1)
    ) {
      self.socket = socket
      self.watchdog = watchdog
      self.statusInterval = statusInterval
    }

    /// Calls `body` with the arguments of `SystemdWatch.start`; nil, without a call, if the options
    /// break their documented requirements.
    func withArguments<Result>(
      _ body: (_ socket: UnsafePointer<UInt8>?, _ watchdog: Int64, _ status: Int64) -> Result
    ) -> Result? {
      let status = statusInterval.wholeNanoseconds
      guard status > 0, (watchdog ?? .zero) >= .zero, socket?.utf8.contains(0) != true else {
        return nil
      }
      let due = watchdog.map { $0 == .zero ? -1 : $0.wholeNanoseconds } ?? 0
      guard let socket else { return body(nil, due, status) }
      return withUTF8Text(socket) { body($0, due, status) }
    }
  }

  extension TaskRegistry {
    /// Starts notifying systemd: the service is ready, and its state is reported from then on.
    ///
    /// The protocol is that of sd_notify(3). `READY=1` is sent at once. `WATCHDOG=1` is sent at
    /// half the interval in which it is due, while the registry `isHealthy`. `STOPPING=1` is sent
    /// when its token is cancelled. From then on `STATUS=` reports the tasks that the stop is
    /// waiting for, and `EXTEND_TIMEOUT_USEC=` is sent while tasks end or report progress. Without
    /// a socket the call does nothing. A process can have one such notifier at a time; it holds a
    /// reference to the registry until `stopNotifyingSystemd`.
    ///
    /// - Parameters:
    ///   - socket: the socket's path, or `@` and an abstract name; nil: the value of the
    ///     environment variable NOTIFY_SOCKET.
    ///   - watchdog: the interval in which `WATCHDOG=1` is due; zero: never; nil: the value of
    ///     WATCHDOG_USEC, if WATCHDOG_PID is not set or is this process.
    ///   - statusInterval: how often `STATUS=` reports what a stop is waiting for.
    /// - Throws: `invalidArgument` when an argument breaks these requirements, and when systemd is
    ///   being notified already; `systemFailure` when the socket cannot be created or `READY=1`
    ///   cannot be sent; `outOfMemory`, `threadUnavailable`, `forkedChild`.
    public func startNotifyingSystemd(
      socket: String? = nil, watchdog: Duration? = nil, statusInterval: Duration = .seconds(1)
    ) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      var options = SystemdOptions()
      options.socket = socket
      options.watchdog = watchdog
      options.statusInterval = statusInterval
      let result = options.withArguments {
        SystemdWatch.start(for: core, socket: $0, watchdog: $1, status: $2)
      }
      guard let result else { throw .invalidArgument }
      try check(result)
    }

    /// Stops notifying systemd.
    ///
    /// Nothing more is sent, except for a stop or a reload that was not sent yet.
    ///
    /// - Throws: `invalidArgument` when systemd is not being notified for this registry, or no
    ///   socket was found; `wouldDeadlock` on the library's timer thread; `forkedChild`.
    ///
    /// *Concurrency:* waits for a datagram that is being sent.
    public func stopNotifyingSystemd() throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(SystemdWatch.end(for: core))
    }
  }

#endif
