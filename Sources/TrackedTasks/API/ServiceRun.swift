#if !hasFeature(Embedded)

  /// How a service runs and stops.
  public struct ServiceOptions: Hashable, Sendable {
    /// The signals that stop it; nil: SIGINT and SIGTERM (and SIGHUP if it reloads), except those
    /// that are ignored.
    public var signals: [Int32]?
    /// Whether SIGHUP cancels with `.reloadRequested`, and is not counted as a stop.
    public var hangUpReloads: Bool
    /// Signals that are watched in addition, or that ask for something other than a stop.
    public var roles: [WatchedSignal]
    /// A signal that comes within this time of the last one that was counted is not counted.
    public var debounce: Duration
    /// The time from the stop to the deadline; nil never times out.
    public var grace: Duration?
    /// How the shutdown proceeds.
    public var shutdown: ShutdownOptions
    /// Whether systemd is notified, if it has started the program.
    public var notifiesSystemd: Bool
    /// How systemd is notified.
    public var systemd: SystemdOptions
    /// How long after the stop the process ends, whatever hangs; nil: it is never ended by force.
    public var exitAfter: Duration?
    /// How it ends then.
    public var exit: ProcessExit.Options
    /// Where the report goes as text; nil: nowhere.
    public var reportDescriptor: Int32?
    /// The path of a file that the report replaces, as JSON; nil: none.
    public var reportFile: String?

    /// Creates options: each argument is the property of its name, with its default.
    public init(
      signals: [Int32]? = nil, hangUpReloads: Bool = false, roles: [WatchedSignal] = [],
      debounce: Duration = .milliseconds(100), grace: Duration? = .seconds(5),
      shutdown: ShutdownOptions = ShutdownOptions(), notifiesSystemd: Bool = true,
      systemd: SystemdOptions = SystemdOptions(), exitAfter: Duration? = nil,
      exit: ProcessExit.Options = ProcessExit.Options(), reportDescriptor: Int32? = 2,
      reportFile: String? = nil
    ) {
      self.signals = signals
      self.hangUpReloads = hangUpReloads
      self.roles = roles
      self.debounce = debounce
      self.grace = grace
      self.shutdown = shutdown
      self.notifiesSystemd = notifiesSystemd
      self.systemd = systemd
      self.exitAfter = exitAfter
      self.exit = exit
      self.reportDescriptor = reportDescriptor
      self.reportFile = reportFile
    }

    /// Calls `body` with the request; nil, without a call, if the options break their documented
    /// requirements.
    fileprivate func withRequest<Result>(_ body: (RunRequest) -> Result) -> Result? {
      var request = RunRequest()
      request.shutdown.grace = timeoutNanoseconds(grace)
      guard shutdown.apply(to: &request.shutdown), (reportDescriptor ?? 0) >= 0,
        (exitAfter ?? .seconds(1)) > .zero, reportFile?.utf8.contains(0) != true
      else { return nil }
      request.notifiesSystemd = notifiesSystemd
      request.reportDescriptor = reportDescriptor ?? -1
      func withSystemd() -> Result? {
        systemd.withArguments {
          (request.socket, request.watchdog, request.statusPause) = ($0, $1, $2)
          return body(request)
        }
      }
      func withFile() -> Result? {
        guard let reportFile else { return withSystemd() }
        return withUTF8Text(reportFile) {
          request.reportFile = $0
          return withSystemd()
        }
      }
      guard let exitAfter else { return withFile() }
      let result = exit.withRequest(after: exitAfter) {
        request.exit = $0
        request.exit?.startsWithSignal = true
        return withFile()
      }
      return result ?? nil
    }
  }

  extension TaskRegistry {
    /// Runs as a service: until a signal, or anything else, cancels the registry's token, and then
    /// through the shutdown.
    ///
    /// The signal watch is started, systemd is notified, and the report is written. What
    /// `exitAfter` has armed stays armed when this returns: end the process, or call
    /// `ProcessExit.cancel`. If the calling task, of another registry, was asked to stop, it is taken
    /// back, unless a signal has asked the process to stop; and if the shutdown had begun, the report
    /// is an explanation of the tasks that are alive.
    ///
    /// - Parameters:
    ///   - options: how the service runs and stops.
    ///   - onPhase: as in `shutdown`.
    /// - Returns: the exit status: 0 if all tasks have ended, 1 if that was after
    ///   `ShutdownReason.fatal`, 124 if the deadline passed with tasks alive.
    /// - Throws: `signalInUse`, with nothing done, as `startSignalWatch`; `invalidArgument`, also when
    ///   there is a signal watch already; `wouldDeadlock` in a
    ///   task of the registry; `cancelled` when the calling task was asked to stop;
    ///   `systemFailure`, also when the report could not be written; `outOfMemory`,
    ///   `threadUnavailable`, `forkedChild`.
    ///
    /// *Concurrency:* blocks the calling thread, usually the main thread; in `async` code, `await`
    /// chooses the form that does not.
    @available(*, noasync, message: "it blocks the thread: call it with 'await'")
    public func runUntilStopped(
      _ options: ServiceOptions = ServiceOptions(), onPhase: ((PhaseEvent) -> Void)? = nil
    ) throws(TaskRegistryError) -> Int32 {
      if ProcessState.isForkedChild { throw .forkedChild }
      if let number = SignalConflict.first(of: options.signals, options.roles) {
        throw .signalInUse(number)
      }
      let result = options.withRequest { request in
        core.runUntilStopped(request) {
          SignalWatch.start(
            for: core, options.signals, hangUpReloads: options.hangUpReloads,
            roles: options.roles, debounce: options.debounce)
        } shutDown: { shutdown, report in
          shutdown.reporting(to: onPhase) { core.shutdown($0, full: report) { _, _ in }.0 }
        }
      }
      guard let (status, exit) = result else { throw .invalidArgument }
      if status != .deadline { try check(status) }
      return exit
    }
  }

#endif
