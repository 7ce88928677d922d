import Glibc
import Testing

@testable import TrackedTasks

extension OneSignalWatch {
  /// A service in one call, and an end of the process that is taken back.
  ///
  /// The C suite proves the rest. There is one signal watch and one end at a time: serialized.
  @Suite(.serialized) struct ServiceRunTests {
    /// **Proves:** the call returns once the token is cancelled, with the report and the status, and
    /// leaves nothing behind (F3).
    ///
    /// **Why it matters:** it is what the main function of a Swift daemon does.
    /// **Catches:** a watch that stays; a report that is not written; a status of success for a
    /// failure.
    @Test(arguments: [(ShutdownReason.fatal, Int32(1)), (.requestedByRun, 0)])
    func aServiceRunsUntilItIsStopped(reason: ShutdownReason, expected: Int32) throws {
      let file = TemporaryFile()
      let registry = try TaskRegistry()
      try registry.spawn("obeys", kind: .backgroundLoop) { task in
        try? task.sleep(for: .seconds(3600))
      }
      #expect(registry.token.cancel(reason: reason))
      var options = ServiceOptions()
      options.notifiesSystemd = false
      options.reportDescriptor = file.descriptor
      #expect(try registry.runUntilStopped(options) == expected)
      #expect(file.text.contains(": all tasks have ended"))
      #expect(throws: TaskRegistryError.invalidArgument) { try registry.stopSignalWatch() }
    }

    /// **Proves:** a service has signals with roles of their own: one explains and stops nothing,
    /// one stops with its own reason, SIGHUP reloads; and the debounce is as given (C13, F3).
    ///
    /// **Why it matters:** a daemon's operators have more than one signal.
    /// **Catches:** an option that is not passed on.
    @Test func signalsHaveTheirRoles() throws {
      let file = TemporaryFile()
      var options = ServiceOptions()
      options.signals = []
      options.hangUpReloads = true
      options.roles = [
        WatchedSignal(SIGUSR2, .explain(descriptor: file.descriptor)),
        WatchedSignal(SIGWINCH, .stop, reason: .fatal),
      ]
      options.debounce = .zero
      options.notifiesSystemd = false
      options.reportDescriptor = nil
      let registry = try TaskRegistry()
      try registry.spawn("asks", kind: .maintenance) { _ in
        killOnceHandled(SIGUSR2)
        #expect(eventually { file.text.contains("asks") })
        #expect(!registry.token.isCancelled)
        kill(getpid(), SIGWINCH)
      }
      #expect(try registry.runUntilStopped(options) == 1)
      #expect(registry.token.reason == .fatal && registry.token.message == "SIGWINCH")

      let reloads = try TaskRegistry()
      options.signals = [SIGHUP]
      try reloads.spawn("asks", kind: .maintenance) { _ in killOnceHandled(SIGHUP) }
      #expect(try reloads.runUntilStopped(options) == 0)
      #expect(reloads.token.reason == .reloadRequested)

      // Every stop counts: a second one at once tells the task to abort, and ends the grace.
      let hasty = try TaskRegistry()
      try hasty.spawn("drains", kind: .maintenance) { task in
        killOnceHandled(SIGWINCH)
        try? task.sleep(for: .seconds(3600))
        kill(getpid(), SIGWINCH)
        #expect(eventually { task.stopLevel == .abort })
      }
      options.grace = nil
      let exit = try hasty.runUntilStopped(options)
      #expect(exit == 1 || exit == 124)
    }

    /// **Proves:** systemd is notified as the options say: at that socket, alive in that interval,
    /// and how often of the state (F3, E11).
    ///
    /// **Why it matters:** a service whose watchdog is fed by another clock is restarted for nothing.
    /// **Catches:** an option that is not passed on.
    @Test func systemdIsNotifiedAsTheOptionsSay() throws {
      let manager = try ServiceManager("run")
      var options = ServiceOptions()
      options.reportDescriptor = nil
      options.systemd.socket = manager.address
      options.systemd.watchdog = .milliseconds(20)
      options.systemd.statusInterval = .milliseconds(1)
      let registry = try TaskRegistry()
      try registry.spawn("asks", kind: .maintenance) { _ in
        defer { registry.token.cancel(reason: .userRequested) }
        guard manager.receive() == "READY=1", manager.receive() == "WATCHDOG=1" else {
          Issue.record("systemd is not notified, or is not fed")
          return
        }
        registry.token.cancel(reason: .userRequested)
        // More often than every second, and so not by the default.
        var statuses = 0
        while statuses < 3 {
          let text = manager.receive()
          if text.contains("STATUS=stopping: waiting for 1 task: asks") { statuses += 1 }
          if text == "(nothing)" {
            Issue.record("systemd is not notified of the stop")
            return
          }
        }
      }
      #expect(try registry.runUntilStopped(options) == 0)
      close(manager.descriptor)
    }

    /// Sends a signal to the process once the process handles it.
    private func killOnceHandled(_ number: Int32) {
      var action = sigaction()
      let isHandled = eventually {
        sigaction(number, nil, &action) == 0 && action.__sigaction_handler.sa_handler != nil
      }
      #expect(isHandled)
      kill(getpid(), number)
    }

    /// **Proves:** options that break their requirements start nothing (F3, P4).
    ///
    /// **Why it matters:** as for the C functions.
    /// **Catches:** a number that is passed on unchecked.
    @Test func wrongOptionsAreRejected() throws {
      let registry = try TaskRegistry()
      registry.token.cancel(reason: .fatal)  // What is accepted returns.
      func isRejected(_ change: (inout ServiceOptions) -> Void) {
        var options = ServiceOptions()
        change(&options)
        #expect(throws: TaskRegistryError.invalidArgument) { try registry.runUntilStopped(options) }
      }
      isRejected { $0.signals = [65] }
      isRejected { $0.signals = [SIGKILL] }
      isRejected { $0.debounce = .seconds(-1) }
      isRejected { $0.roles = [WatchedSignal(SIGKILL, .stop)] }
      isRejected { $0.roles = [WatchedSignal(SIGUSR2, .explain(descriptor: -1))] }
      isRejected { $0.roles = [WatchedSignal(SIGUSR2, .stop), WatchedSignal(SIGUSR2, .reload)] }
      isRejected { $0.reportDescriptor = -1 }
      isRejected { $0.reportFile = "a\0b" }
      isRejected { $0.exitAfter = .zero }
      isRejected { $0.shutdown.warnPercent = 100 }
      isRejected { $0.systemd.statusInterval = .zero }
      isRejected { $0.systemd.watchdog = .seconds(-1) }
      isRejected { $0.systemd.socket = "a\0b" }
      isRejected { $0.systemd.socket = "relative" }
      isRejected {
        $0.exitAfter = .seconds(3600)
        $0.exit.status = 0
      }
      #expect(throws: TaskRegistryError.invalidArgument) { try ProcessExit.cancel() }
    }

    /// **Proves:** an end that was taken back does not come, and nothing is left to take back (F1).
    ///
    /// **Why it matters:** a reload must not be ended.  **Catches:** a second arming that is lost.
    @Test func anEndIsTakenBack() throws {
      var options = ProcessExit.Options()
      options.startsWithSignal = true
      options.descriptor = nil
      try ProcessExit.arm(after: .seconds(3600), options: options)
      try ProcessExit.arm(after: .seconds(3600))
      try ProcessExit.cancel()
      #expect(throws: TaskRegistryError.invalidArgument) { try ProcessExit.cancel() }
      options.status = 256
      #expect(throws: TaskRegistryError.invalidArgument) {
        try ProcessExit.arm(after: .seconds(3600), options: options)
      }
      options.status = 255
      options.reasonFile = "/nowhere/at/all"
      #expect(throws: TaskRegistryError.systemFailure) {
        try ProcessExit.arm(after: .seconds(3600), options: options)
      }
      #expect(throws: TaskRegistryError.invalidArgument) { try ProcessExit.cancel() }
    }
  }
}
