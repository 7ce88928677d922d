import Testing

@testable import TrackedTasks

/// When the time until the end of the process began, and through what.
@Suite struct ExitStartTests {
  /// **Proves:** a word keeps the moment and the cause, whatever they are, and both come back from
  /// its bits alone (F1).
  ///
  /// **Why it matters:** a signal handler stores it in one step, and the report reads it.
  /// **Catches:** a shift by one bit; a time that reaches into the cause.
  @Test(arguments: [0, 1, 2, 3, 4, 7, 1_000_000_000, 1 << 60, (1 << 61) - 1])
  func timeAndCauseShareTheBits(time: Int64) {
    for cause in [ExitStart.Cause.none, .call, .signal, .request] {
      let start = ExitStart(cause, at: time)
      #expect(start.time == time && start.cause == cause)
      #expect(ExitStart(bits: start.bits) == start)
    }
  }

  /// **Proves:** the word of zero bits has not begun, and no beginning is that word, not even one
  /// at the time 0 (F1).
  ///
  /// **Why it matters:** an arming that waits for a signal begins with 0, and a compare-and-swap
  /// replaces that.
  /// **Catches:** a cause with the number 0; a beginning that is taken for none.
  @Test func zeroHasNotBegun() {
    #expect(ExitStart(bits: 0).cause == .none && ExitStart(bits: 0).time == 0)
    for cause in [ExitStart.Cause.call, .signal, .request] {
      #expect(ExitStart(cause, at: 0).bits != 0)
    }
  }

  /// **Proves:** of two beginnings through the same cause the later one is the larger word, so that
  /// no time is negative (F1).
  ///
  /// **Why it matters:** the end is due `after` nanoseconds from it.
  /// **Catches:** a time that is shifted as if it had a sign.
  @Test func timesKeepTheirOrder() {
    let times: [Int64] = [0, 1, 1 << 30, 1 << 60, (1 << 61) - 1]
    for (earlier, later) in zip(times, times.dropFirst()) {
      #expect(ExitStart(.signal, at: earlier).bits < ExitStart(.signal, at: later).bits)
      #expect(ExitStart(.signal, at: later).time >= 0)
    }
  }

  /// **Proves:** the report names a signal only where one began the time, and nothing after a call
  /// (F2).
  ///
  /// **Why it matters:** "of the signal" where none came sends people looking for one.
  /// **Catches:** a text that is another cause's.
  @Test func eachCauseHasItsText() {
    func text(_ cause: ExitStart.Cause) -> String { cause.text.description }
    #expect(text(.none).isEmpty && text(.call).isEmpty)
    #expect(text(.signal) == " of the signal")
    #expect(text(.request) == " of the request to stop")
  }
}
