import Testing

@testable import TrackedTasks

/// Errors of the Swift API.
@Suite struct TaskRegistryErrorTests {
  /// **Proves:** each status of the core becomes the error that is meant (P4).
  ///
  /// **Why it matters:** callers decide by the case.
  /// **Catches:** two cases exchanged.
  @Test func statusesBecomeTheErrorsTheyMean() {
    let table: [(Status, TaskRegistryError)] = [
      (.invalid, .invalidArgument), (.noMemory, .outOfMemory), (.again, .threadUnavailable),
      (.limit, .limitReached), (.closed, .closed), (.timedOut, .timedOut),
      (.cancelled, .cancelled), (.deadlock, .wouldDeadlock), (.forked, .forkedChild),
      (.system, .systemFailure),
    ]
    for (status, error) in table {
      #expect(TaskRegistryError(status) == error)
      #expect(error.description == status.text.description)
      #expect(throws: error) { try check(status) }
    }
    #expect(errorOf { () throws(TaskRegistryError) in try check(.ok) } == nil)
  }

  /// **Proves:** a missed deadline carries its report and describes it by name (J4, J8).
  ///
  /// **Why it matters:** the error is often all that is printed.
  /// **Catches:** the description that says only that there was a deadline.
  @Test func aMissedDeadlineDescribesItsStragglers() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    try registry.spawnDeaf("stuck upload", kind: .peerConnection, until: gate)
    let error = errorOf { () throws(TaskRegistryError) in try registry.joinAll(timeout: .zero) }
    let text = "\(try #require(error))"
    #expect(text.contains("stuck upload"))
    #expect(text.contains("peer-connection"))
    #expect(text.contains("1 abandoned"))
    gate.open()
    try registry.shutdown(grace: ample)
  }
}
