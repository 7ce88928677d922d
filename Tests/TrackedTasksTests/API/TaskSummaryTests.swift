import Foundation
import Testing

@testable import TrackedTasks

/// Values that leave the library: their contents, and that they survive encoding.
@Suite struct TaskSummaryTests {
  private static func roundTrip<Value: Codable>(_ value: Value) throws -> Value {
    try JSONDecoder().decode(Value.self, from: JSONEncoder().encode(value))
  }

  /// **Proves:** summaries and reports come back equal from encoding and decoding (N2, J8).
  ///
  /// **Why it matters:** services send them to monitoring systems.
  /// **Catches:** a field left out of the encoding.
  @Test func summariesAndReportsSurviveEncoding() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let started = Gate()
    let task = try registry.spawn("encodes: é€🌍", kind: .application(3)) { _ in
      started.open()
      gate.wait()
    }
    started.wait()
    let before = registry.snapshot()
    #expect(try Self.roundTrip(before) == before)
    task.cancel()
    let after = registry.snapshot()
    #expect(try Self.roundTrip(after) == after)
    let report = try #require(
      reportOfMissedDeadline { () throws(TaskRegistryError) in
        try registry.joinAll(timeout: .zero)
      })
    #expect(try Self.roundTrip(report) == report)
    gate.open()
    let outcome = try task.wait(timeout: ample)
    #expect(try Self.roundTrip(outcome) == outcome)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** outcomes, kinds and reasons of every sort survive encoding (O1, S3, C1).
  ///
  /// **Why it matters:** as above.
  /// **Catches:** the message of a failure lost.
  @Test func smallValuesSurviveEncoding() throws {
    let registry = try TaskRegistry()
    let failed = try registry.spawn("fails", kind: .rpcHandler) { _ in
      throw TaskRegistryError.limitReached
    }
    let outcome = try failed.wait(timeout: ample)
    #expect(try Self.roundTrip(outcome) == outcome)
    for kind in [TaskKind.peerConnection, .application(9)] {
      #expect(try Self.roundTrip([kind]) == [kind])
    }
    #expect(try Self.roundTrip([ShutdownReason.fatal]) == [.fatal])
    try registry.shutdown(grace: ample)
  }
}
