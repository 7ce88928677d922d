import Testing

@testable import TrackedTasks

/// One straggler, as Swift reports it.
@Suite struct StragglerReportTests {
  private static func makeStraggler() throws -> StragglerFacts {
    let registry = try TaskRegistry()
    let gate = Gate()
    let task = try registry.spawnDeaf("one", until: gate)
    var straggler = StragglerFacts(try #require(task.core.facts(in: registry.core)), task: nil)
    straggler.path = GroupPath()
    gate.open()
    try registry.shutdown(grace: ample)
    straggler.probedAt = straggler.facts.spawnedAt + 10
    return straggler
  }

  /// **Proves:** numbers that stand for "not known" in the core are nil, and all others are
  /// themselves (E1, E2).
  ///
  /// **Why it matters:** a CPU time of -1 ns makes sums wrong, and 0 is a valid time.
  /// **Catches:** 0 taken for unknown; nil where there is a value.
  @Test func whatIsNotKnownIsNil() throws {
    var straggler = try Self.makeStraggler()
    let unknown = StragglerReport(straggler)
    #expect(unknown.cpu == nil && unknown.cpuSince == nil && unknown.cpuSinceSpan == nil)
    #expect(unknown.schedulerState == nil && unknown.waitChannel == nil)
    #expect(unknown.syscall == nil && unknown.syscallName == nil)
    #expect(unknown.cancelRequestedFor == nil && unknown.progressAge == nil)
    #expect(unknown.diagnosis == .unknown && unknown.age == .nanoseconds(10))
    straggler.cpu = 0
    straggler.cpuSince = 0
    straggler.cpuSpan = 5
    straggler.facts.cancelledAt = straggler.probedAt - 3
    straggler.cancelChecks = 7
    straggler.thread.schedulerState = UInt8(ascii: "D")
    straggler.thread.waitChannel = InlineArray(repeating: 0)
    straggler.thread.waitChannel[0] = 0x6261
    straggler.thread.syscall = 0
    straggler.diagnosis = .blocked
    straggler.facts.activity = ActivityFacts(
      progress: Progress(done: 1, total: 0, unit: nil, at: straggler.probedAt), readsFlag: true)
    let known = StragglerReport(straggler)
    #expect(known.cpu == .zero && known.cpuSince == .zero && known.cpuSinceSpan == .nanoseconds(5))
    #expect(known.schedulerState == "D" && known.waitChannel == "ab")
    #expect(known.syscall == 0 && known.syscallName != nil)
    #expect(
      known.cancelRequestedFor == .nanoseconds(3) && known.cancelChecks == 7
        && known.readsFlagDirectly)
    #expect(known.progressAge == .zero && known.progress?.total == nil)
    #expect(known.diagnosis == .blocked)
    // Asked to stop while it was examined.
    straggler.facts.cancelledAt = straggler.probedAt + 1
    #expect(StragglerReport(straggler).cancelRequestedFor == .zero)
  }

  /// **Proves:** there is a case for each diagnosis of the core, by number and name (E1).
  ///
  /// **Why it matters:** one that is missing would be shown as unknown.
  /// **Catches:** a case left out, or two exchanged.
  @Test func everyDiagnosisHasACase() {
    let all = StragglerReport.Diagnosis.allCases
    #expect(all.map(\.rawValue) == Array(0...9))
    for diagnosis in all {
      let core = StragglerFacts.Diagnosis(rawValue: diagnosis.rawValue)
      #expect(core?.text.description == diagnosis.description)
      #expect("\(diagnosis)" == diagnosis.description)
    }
    #expect(StragglerFacts.Diagnosis(rawValue: UInt32(all.count)) == nil)
  }
}
