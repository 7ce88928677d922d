import Testing

@testable import TrackedTasks

/// Why a token was cancelled.
@Suite struct ShutdownReasonTests {
  /// **Proves:** the reasons have the numbers of the C API, and others are recorded as given (C1).
  ///
  /// **Why it matters:** applications have reasons of their own.
  /// **Catches:** an unknown number replaced by none.
  @Test func reasonsHaveTheNumbersOfTheHeader() throws {
    let all: [ShutdownReason] = [
      .none, .userRequested, .rpcRequested, .reloadRequested, .requestedByRun, .fatal, .deadline,
    ]
    for (number, reason) in all.enumerated() { #expect(reason.rawValue == UInt32(number)) }
    for number in [7, 0x100, .max] as [UInt32] {
      let token = try ShutdownToken()
      token.cancel(reason: ShutdownReason(rawValue: number))
      #expect(token.reason.rawValue == number)
    }
  }

  /// **Proves:** a reason reads as its name, one without a name as its number (C1).
  ///
  /// **Why it matters:** reasons end in logs.
  /// **Catches:** two reasons with one name.
  @Test func reasonsReadAsTheirNames() {
    let texts = (0..<7).map { ShutdownReason(rawValue: $0).description }
    #expect(
      texts == [
        "none", "user-requested", "rpc-requested", "reload-requested",
        "requested-by-run", "fatal", "deadline",
      ])
    #expect(ShutdownReason(rawValue: 7).description == "reason 7")
  }
}
