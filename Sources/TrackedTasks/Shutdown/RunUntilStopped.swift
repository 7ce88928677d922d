import CPlatform

/// What a service does between its start and its end; checked, and with the defaults filled in.
struct RunRequest {
  /// Grace, phases and so on; the reason is that of the token.
  var shutdown = ShutdownRequest(reason: 0, message: nil, grace: defaultGrace)
  /// Whether systemd is notified, if there is a socket.
  var notifiesSystemd = true
  /// Of the systemd watch: see `SystemdWatch.start`.
  var socket: UnsafePointer<UInt8>?
  var watchdog: Int64 = 0
  var statusPause: Int64 = 0
  /// How the process ends if the stop hangs; nil: it is never ended by force.
  var exit: ExitRequest?
  /// Where the report goes as text; negative: nowhere.
  var reportDescriptor: Int32 = 2
  /// The path of a file that gets the report as JSON, NUL-terminated; nil: none.
  var reportFile: UnsafePointer<UInt8>?

  /// Less than the ten seconds that container runtimes allow.
  static var defaultGrace: Int64 { 5_000_000_000 }
}

/// The exit statuses of a service; the numbers are those of `TR_EXIT_…`.
enum RunExit {
  /// All tasks have ended, as they were asked to.
  static var stopped: Int32 { 0 }
  /// All tasks have ended, after something had failed beyond repair.
  static var fatal: Int32 { 1 }
  /// A call failed, so that the service could not run, or could not stop (EX_SOFTWARE).
  static var failed: Int32 { 70 }
  /// The deadline passed with tasks alive.
  static var deadline: Int32 { 124 }
}

extension RegistryReference {
  /// Runs as a service: until its token is cancelled, by a signal or otherwise, and then through
  /// the shutdown (F3).
  ///
  /// - Parameters:
  ///   - request: how it runs and stops.
  ///   - startWatch: starts the signal watch for this registry.
  ///   - shutDown: shuts it down, with a full report.
  /// - Returns: the status, and the exit status for the process.
  func runUntilStopped(
    _ request: RunRequest, startWatch: () -> Status,
    shutDown: (ShutdownRequest, ReportReference) -> Status
  ) -> (Status, exit: Int32) {
    if ProcessState.isForkedChild { return (.forked, RunExit.failed) }
    if isOwnThread || isHeldUpByCaller { return (.deadlock, RunExit.failed) }
    // Now, while there is memory.
    guard let report = ReportReference.make() else { return (.noMemory, RunExit.failed) }
    var status = begin(request, startWatch)
    if status != .ok {
      report.destroy()
      return (status, RunExit.failed)
    }
    status = token.wait(until: .never)
    if ProcessState.isForkedChild { return (.forked, RunExit.failed) }
    if status == .ok {
      // If it was no signal that cancelled the token: that has been counted.
      if request.exit != nil && !SignalWatch.hasStop { ExitBy.stopHasCome(by: .request) }
      var shutdown = request.shutdown
      shutdown.reason = token.reason
      status = shutDown(shutdown, report)
      if ProcessState.isForkedChild { return (.forked, RunExit.failed) }
      if status == .cancelled { explain(request) }
    }
    // The caller's own flag is up: the process goes on, unless a signal has asked it to stop.
    if status == .cancelled && request.exit != nil && !SignalWatch.hasStop {
      _ = ExitBy.cancel()
    }
    if ProcessState.isForkedChild { return (.forked, RunExit.failed) }
    let exit = exitStatus(of: status)
    if status == .ok || status == .deadline {
      let written = Self.write(report, request)
      if status == .ok { status = written }
    }
    let error = cp_errno()
    report.destroy()
    end()
    cp_set_errno(error)
    return (status, exit)
  }

  /// Starts everything, or nothing.
  private func begin(_ request: RunRequest, _ startWatch: () -> Status) -> Status {
    let watched = startWatch()
    if watched != .ok { return watched }
    var status = Status.ok
    if request.notifiesSystemd {
      status = SystemdWatch.start(
        for: self, socket: request.socket, watchdog: request.watchdog, status: request.statusPause)
    }
    if status == .ok, let exit = request.exit { status = ExitBy.arm(exit) }
    if status != .ok {
      let error = cp_errno()
      end()
      cp_set_errno(error)
    }
    return status
  }

  /// Ends the watches that `begin` has started.
  private func end() {
    if SystemdWatch.isInUse(for: self) { _ = SystemdWatch.end(for: self) }
    _ = SignalWatch.end(for: self)
  }

  /// Writes what the live tasks do, in place of the report of a shutdown that was cut short: that has
  /// no stragglers, as its deadline has not come.
  private func explain(_ request: RunRequest) {
    guard let report = explain().1 else { return }
    // The call has failed already; that it also could not be written is no other result.
    _ = Self.write(report, request)
    report.destroy()
  }

  private func exitStatus(of status: Status) -> Int32 {
    switch status {
    case .ok: token.reason == CancelReason.fatal ? RunExit.fatal : RunExit.stopped
    case .deadline: RunExit.deadline
    default: RunExit.failed
    }
  }

  /// Writes the report where it is wanted.
  ///
  /// - Returns: `.ok`; `.system` with errno set, if some of it could not be written.
  private static func write(_ report: ReportReference, _ request: RunRequest) -> Status {
    var status = Status.ok
    var error: Int32 = 0
    if request.reportDescriptor >= 0 {
      status = report.writeText(to: .descriptor(request.reportDescriptor))
      if status != .ok { error = cp_errno() }
    }
    if let path = request.reportFile {
      // SAFETY: CChar and UInt8 have the same layout.
      let file = cp_open_to_write(
        UnsafeRawPointer(path).assumingMemoryBound(to: CChar.self), true)
      let written = file < 0 ? .system : report.writeJSON(to: .descriptor(file))
      if written != .ok {
        status = written
        error = cp_errno()
      }
      if file >= 0 { cp_close(file) }
    }
    if status != .ok { cp_set_errno(error) }
    return status
  }
}
