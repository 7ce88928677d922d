import Testing

@testable import TrackedTasks

/// What tasks are for.
@Suite struct TaskKindTests {
  /// **Proves:** the kinds have the numbers and names of the C API (S3).
  ///
  /// **Why it matters:** C and Swift programs read the same tables.
  /// **Catches:** two kinds exchanged.
  @Test func kindsHaveTheNumbersOfTheHeader() {
    let named: [(TaskKind, UInt32, String)] = [
      (.backgroundLoop, 1, "background-loop"), (.peerConnection, 2, "peer-connection"),
      (.rpcHandler, 3, "rpc-handler"), (.maintenance, 4, "maintenance"),
      (.application(), 0x100, "application"), (.application(5), 0x105, "application"),
      (TaskKind(rawValue: 0), 0, "unknown"), (TaskKind(rawValue: 0xFF), 0xFF, "unknown"),
    ]
    for (kind, number, name) in named {
      #expect(kind.rawValue == number)
      #expect(kind.description == name)
    }
  }

  /// **Proves:** known are 1 to 4 and everything from 0x100, over the whole range below (S3).
  ///
  /// **Why it matters:** the numbers between are kept for kinds to come.
  /// **Catches:** a border off by one.
  @Test func onlyTheNumbersBetweenAreUnknown() {
    for number in 0...0x200 as ClosedRange<UInt32> {
      let isKnown = (number >= 1 && number <= 4) || number >= 0x100
      #expect(TaskKind(rawValue: number).isKnown == isKnown)
    }
    #expect(TaskKind(rawValue: .max).isKnown)
  }
}
