#if !hasFeature(Embedded)

  /// How a service runs and stops.
  public struct ServiceOptions: Hashable, Sendable {
    /// The signals that stop it; nil: SIGINT and SIGTERM, except those that are ignored.
    public var signals: [Int32]?
    /// The time from the stop to the deadline; nil never times out.
    public var grace: Duration? = .seconds(5)
    /// How the shutdown proceeds.
    public var shutdown = ShutdownOptions()
    /// Whether systemd is notified, if it has started the program.
    public var notifiesSystemd = true
    /// How long after the stop the process ends, whatever hangs; nil: it is never ended by force.
    public var exitAfter: Duration?
    /// How it ends then.
    public var exit = ProcessExit.Options()
    /// Where the report goes as text; nil: nowhere.
    public var reportDescriptor: Int32? = 2
    /// The path of a file that the report replaces, as JSON; nil: none.
    public var reportFile: String?

    /// Creates the default options.
    public init() {}

    /// The signals, one bit each; nil if one is not a signal.
    fileprivate var signalBits: UInt64?? {
      guard let signals else { return .some(nil) }
      var bits: UInt64 = 0
      for number in signals {
        guard number >= 1, number <= SignalWatch.lastSignal else { return nil }
        bits |= SignalWatch.bit(number)
      }
      return bits
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
      func withFile() -> Result {
        guard let reportFile else { return body(request) }
        return withUTF8Text(reportFile) {
          request.reportFile = $0
          return body(request)
        }
      }
      guard let exitAfter else { return withFile() }
      return exit.withRequest(after: exitAfter) {
        request.exit = $0
        request.exit?.startsWithSignal = true
        return withFile()
      }
    }
  }

  extension TaskRegistry {
    /// Runs as a service: until a signal, or anything else, cancels the registry's token, and then
    /// through the shutdown.
    ///
    /// The signal watch is started, systemd is notified, and the report is written. What `exitAfter`
    /// has armed stays armed when this returns: end the process, or call `ProcessExit.cancel`.
    ///
    /// - Parameter options: how the service runs and stops.
    /// - Returns: the exit status: 0 if all tasks have ended, 1 if that was after
    ///   `ShutdownReason.fatal`, 124 if the deadline passed with tasks alive.
    /// - Throws: `invalidArgument`, also when there is a signal watch already; `wouldDeadlock` in a
    ///   task of the registry; `cancelled` when the calling task was asked to stop;
    ///   `systemFailure`, also when the report could not be written; `outOfMemory`,
    ///   `threadUnavailable`, `forkedChild`.
    ///
    /// *Concurrency:* blocks the calling thread, usually the main thread.
    public func runUntilStopped(
      _ options: ServiceOptions = ServiceOptions()
    ) throws(TaskRegistryError) -> Int32 {
      if ProcessState.isForkedChild { throw .forkedChild }
      guard let signals = options.signalBits else { throw .invalidArgument }
      let result = options.withRequest { request in
        core.runUntilStopped(request) {
          SignalWatch.start(for: core, signals: signals, hangUpReloads: false)
        } shutDown: { shutdown, report in
          core.shutdown(shutdown, full: report) { _, _ in }.0
        }
      }
      guard let (status, exit) = result else { throw .invalidArgument }
      if status != .deadline { try check(status) }
      return exit
    }
  }

#endif
