import Glibc
import Testing

@testable import TrackedTasks

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

  /// **Proves:** options that break their requirements start nothing (F3, P4).
  ///
  /// **Why it matters:** as for the C functions.
  /// **Catches:** a number that is passed on unchecked.
  @Test func wrongOptionsAreRejected() throws {
    let registry = try TaskRegistry()
    func isRejected(_ change: (inout ServiceOptions) -> Void) {
      var options = ServiceOptions()
      change(&options)
      #expect(throws: TaskRegistryError.invalidArgument) { try registry.runUntilStopped(options) }
    }
    isRejected { $0.signals = [65] }
    isRejected { $0.signals = [SIGKILL] }
    isRejected { $0.reportDescriptor = -1 }
    isRejected { $0.reportFile = "a\0b" }
    isRejected { $0.exitAfter = .zero }
    isRejected { $0.shutdown.warnPercent = 100 }
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
