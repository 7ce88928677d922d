import Testing

@testable import TrackedTasks

/// What signals ask for, without a signal.
@Suite struct SignalRoleTests {
  /// **Proves:** a role keeps its kind and its reason (C13).
  ///
  /// **Why it matters:** both are read in a signal handler, in one load.
  /// **Catches:** a reason that reaches into the kind.
  @Test(arguments: [0, 1, 0x100, UInt32.max])
  func kindAndReasonShareTheBits(reason: UInt32) {
    for kind in [SignalRole.Kind.stop, .stopNow, .reload, .explain] {
      let role = SignalRole(kind, reason: reason)
      #expect(SignalRole(bits: role.bits).kind == kind && role.reason == reason)
    }
    #expect(SignalRole(bits: 0).kind == .stop)
  }

  /// **Proves:** stops are counted one by one, and "now" counts as the second at least (C13).
  ///
  /// **Why it matters:** the second aborts, and the third ends the process.
  /// **Catches:** a first "now" that ends the process.
  @Test func nowIsTheSecondAtLeast() {
    let (stop, now) = (SignalRole(.stop), SignalRole(.stopNow))
    func counts(_ role: SignalRole) -> [UInt64?] {
      (0..<4).map { StopCount(bits: 5 << 2 | $0).counting(role, at: 7, debounce: 0)?.count }
    }
    #expect(counts(stop) == [1, 2, 3, 3])
    #expect(counts(now) == [2, 2, 3, 3])
    #expect(stop.isStop && now.isStop && !SignalRole(.reload).isStop)
  }

  /// **Proves:** the count has the time of the last stop, which never goes back (C13).
  ///
  /// **Why it matters:** two handlers on two threads may read the clock in one order and count in
  /// the other; without a debounce both stops count.
  /// **Catches:** a negative time that counts as within the debounce.
  @Test func theTimeNeverGoesBack() {
    let stop = SignalRole(.stop)
    let first = StopCount(bits: 0).counting(stop, at: 1 << 60, debounce: 10)
    #expect(first?.time == 1 << 60 && first?.count == 1)
    let second = first?.counting(stop, at: 5, debounce: 0)
    #expect(second?.time == 1 << 60 && second?.count == 2)
    #expect(first?.counting(stop, at: 5, debounce: 10) == nil)
  }

  /// **Proves:** stops in quick succession are one, unless a later one asks for more (C13).
  ///
  /// **Why it matters:** Ctrl-C comes twice; Ctrl-\ after it is meant.
  /// **Catches:** a debounce of everything; one that includes its limit.
  @Test func onlyARepetitionIsDebounced() {
    let (stop, now) = (SignalRole(.stop), SignalRole(.stopNow))
    func counts(_ role: SignalRole, after time: Int64, stops: UInt64, debounce: Int64) -> Bool {
      StopCount(bits: 100 << 2 | stops).counting(role, at: 100 + time, debounce: debounce) != nil
    }
    #expect(counts(stop, after: 0, stops: 0, debounce: 1000))
    #expect(!counts(stop, after: 9, stops: 1, debounce: 10))
    #expect(counts(stop, after: 10, stops: 1, debounce: 10))
    #expect(counts(stop, after: 0, stops: 1, debounce: 0))
    #expect(counts(now, after: 0, stops: 1, debounce: 10))
    #expect(!counts(now, after: 0, stops: 2, debounce: 10))
  }
}
