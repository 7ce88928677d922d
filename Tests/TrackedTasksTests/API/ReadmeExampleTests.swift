import Testing
import TrackedTasks

/// The ten lines of Swift that the README shows, run.
@Suite struct ReadmeExampleTests {
  /// **Proves:** the README's example ends its task and reports success (J1, G4).
  ///
  /// **Why it matters:** it is the first thing a user tries.
  /// **Catches:** a shutdown that does not raise the flag of a sleeping task.
  @Test func heartbeatStopsAtShutdown() throws {
    let registry = try TaskRegistry()
    try registry.spawn("heartbeat", kind: .backgroundLoop) { task in
      while !task.isCancelled { try task.sleep(for: .seconds(1)) }
    }
    let report = try registry.shutdown(message: "SIGTERM", grace: .seconds(30))
    #expect(report.ended == 1)
    #expect(report.failed == 0)
    #expect(registry.isEmpty)
  }
}
