import Foundation
import Testing

/// A `ServiceGroup` in a process of its own, under load, and real signals.
@Suite(.serialized) struct HostTests {
  /// **Proves:** SIGTERM to a ServiceGroup drains the registry: every task ends, the report says so,
  /// and the process exits with 0.
  ///
  /// **Why it matters:** this is what an orchestrator sends at each deployment.
  /// **Catches:** a service that returns before the shutdown; one that does not hear its group.
  @Test(arguments: ["drain", "blocking"]) func aSignalDrainsTheRegistry(mode: String) throws {
    let host = try Host(mode)
    try host.waitFor("ready")
    host.terminate()
    #expect(host.exitStatus == 0, "\(host.output)")
    #expect(host.output.contains("the registry: "))
    #expect(host.output.contains("ended well"))
  }

  /// **Proves:** a task that ignores the stop makes the group fail, with the report that names it and
  /// says what it does.
  ///
  /// **Why it matters:** otherwise the orchestrator kills the process, and nobody knows why.
  /// **Catches:** a report that is swallowed; a shutdown that is not explained.
  @Test func aStragglerIsNamed() throws {
    let host = try Host("stuck")
    try host.waitFor("ready")
    host.terminate()
    #expect(host.exitStatus == 1, "\(host.output)")
    #expect(host.output.contains("stragglers: stuck"))
    #expect(host.output.contains("pause"))
  }

  /// **Proves:** when the group escalates to cancellation, tasks are told to abort, the shutdown waits for
  /// them and still reports, long before its grace is over.
  ///
  /// **Why it matters:** a cancelled group that skips the join loses the clean-up of every task.
  /// **Catches:** a shutdown that throws `cancelled`; one that goes on waiting for the grace.
  @Test func escalationAborts() throws {
    let host = try Host("escalate")
    try host.waitFor("ready")
    let start = ContinuousClock.now
    host.terminate()
    // Whether a group that was cancelled throws what its services throw is up to the group.
    #expect(host.exitStatus >= 0, "\(host.output)")
    #expect(start.duration(to: .now) < .seconds(12))
    #expect(host.output.contains("the registry: "))
    #expect(host.output.contains("1 aborted"), "\(host.output)")
    #expect(!host.output.contains("1 abandoned"))
  }

  /// **Proves:** the failure of an essential task ends the group, without a signal.
  ///
  /// **Why it matters:** a service without its listener must not go on as if it were healthy.
  /// **Catches:** a service that waits for the group only.
  @Test func anEssentialTaskEndsTheGroup() throws {
    let host = try Host("essential")
    #expect(host.exitStatus == 1, "\(host.output)")
    #expect(host.output.contains("the essential task essential has failed"))
  }
}

/// The program AdapterHost, started in one mode.
private final class Host {
  private let process = Process()
  private let pipe = Pipe()
  private(set) var output = ""

  init(_ mode: String) throws {
    // Beside the test bundle.
    process.executableURL = URL(fileURLWithPath: CommandLine.arguments[0])
      .deletingLastPathComponent().appendingPathComponent("AdapterHost")
    process.arguments = [mode]
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    try process.run()
    // One that hangs makes a red test, and not a hanging one.
    let process = self.process
    DispatchQueue.global().asyncAfter(deadline: .now() + 60) {
      if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }
  }

  /// Reads until the output contains `text`.
  func waitFor(_ text: String) throws {
    while !output.contains(text) {
      let data = pipe.fileHandleForReading.availableData
      try #require(!data.isEmpty, "the host has ended: \(output)")
      output += String(decoding: data, as: UTF8.self)
    }
  }

  /// Sends SIGTERM.
  func terminate() { process.terminate() }

  /// Reads the rest of the output, and waits for the end.
  var exitStatus: Int32 {
    output += String(
      decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return process.terminationReason == .exit ? process.terminationStatus : -1
  }
}
