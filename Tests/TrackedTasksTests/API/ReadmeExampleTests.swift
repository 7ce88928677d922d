import Testing
import TrackedTasks

/// The README's program in Swift, line for line: scripts/samples compares the two.
@Suite struct ReadmeExampleTests {
  /// **Proves:** the README's example ends its task and reports success (J1, G4).
  ///
  /// **Why it matters:** it is the first thing a user tries.
  /// **Catches:** a shutdown that does not raise the flag of a sleeping task.
  @Test func heartbeatStopsAtShutdown() throws {
    let registry = try TaskRegistry()
    let task = try registry.spawn("heartbeat", kind: .backgroundLoop) { task in
      while !task.isCancelled {
        print("beat")
        try task.sleep(for: .milliseconds(200))  // throws when asked to stop
      }
    }
    _ = try? task.wait(timeout: .seconds(1))  // the task goes on, so this times out
    let report = try registry.shutdown(reason: .userRequested, message: "done", grace: .seconds(5))
    print(report)
    #expect(report.ended == 1)
    #expect(report.failed == 0)
    #expect(registry.isEmpty)
  }
}
