import Testing

@testable import TrackedTasks

/// The numbers and sentences of the results of calls.
@Suite struct StatusTests {
  private static let all: [Status] = (-13...0).compactMap { Status(rawValue: $0) }

  /// **Proves:** the fourteen statuses have the numbers of the C header (P4).
  ///
  /// **Why it matters:** the numbers are part of the binary interface.
  /// **Catches:** two cases exchanged.
  @Test func numbersAreThoseOfTheHeader() {
    let expected: [Status] = [
      .ok, .invalid, .noMemory, .again, .limit, .closed, .deadline, .timedOut, .cancelled,
      .deadlock, .forked, .system, .truncated, .stalled,
    ]
    for (number, status) in expected.enumerated() { #expect(status.rawValue == -Int32(number)) }
    #expect(Self.all.count == expected.count)
    #expect(Status(rawValue: -14) == nil && Status(rawValue: 1) == nil)
  }

  /// **Proves:** each status has a sentence of its own, in one line (O2).
  ///
  /// **Why it matters:** it ends up in log files.
  /// **Catches:** a sentence copied and not changed.
  @Test func everyStatusHasASentenceOfItsOwn() {
    let texts = Self.all.map(\.text.description)
    #expect(Set(texts).count == Self.all.count)
    for text in texts {
      #expect(text.count > 5 && text.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F }, "\(text)")
    }
  }
}
