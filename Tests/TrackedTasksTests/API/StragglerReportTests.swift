import Testing

@testable import TrackedTasks

/// One straggler, as Swift tells of it.
@Suite struct StragglerReportTests {
  private static func makeFacts() throws -> StragglerFacts {
    let registry = try TaskRegistry()
    let gate = Gate()
    let task = try registry.spawnDeaf("one", until: gate)
    var facts = StragglerFacts(try #require(task.core.facts(in: registry.core)), task: nil)
    facts.path = GroupPath()
    gate.open()
    try registry.shutdown(grace: ample)
    facts.probedAt = facts.spawnedAt + 10
    return facts
  }

  /// **Proves:** numbers that stand for "not known" in the core are nil, and all others are themselves (E1, E2).
  ///
  /// **Why it matters:** a processor time of -1 ns makes sums wrong, and 0 is one.
  /// **Catches:** 0 taken for unknown; nil where there is a value.
  @Test func whatIsNotKnownIsNil() throws {
    var facts = try Self.makeFacts()
    let unknown = StragglerReport(facts)
    #expect(unknown.cpu == nil && unknown.cpuSince == nil && unknown.cpuSinceSpan == nil)
    #expect(unknown.schedulerState == nil && unknown.waitChannel == nil)
    #expect(unknown.syscall == nil && unknown.syscallName == nil)
    #expect(unknown.cancelRequestedFor == nil && unknown.progressAge == nil)
    #expect(unknown.diagnosis == .unknown && unknown.age == .nanoseconds(10))
    facts.cpu = 0
    facts.cpuSince = 0
    facts.cpuSpan = 5
    facts.cancelledAt = facts.probedAt - 3
    facts.cancelChecks = 7
    facts.thread.schedulerState = UInt8(ascii: "D")
    facts.thread.waitChannel = InlineArray(repeating: 0)
    facts.thread.waitChannel[0] = 0x6261
    facts.thread.syscall = 0
    facts.diagnosis = .blocked
    facts.activity.readsFlag = true
    facts.activity.progress = Progress(done: 1, total: 0, unit: nil, at: facts.probedAt)
    let known = StragglerReport(facts)
    #expect(known.cpu == .zero && known.cpuSince == .zero && known.cpuSinceSpan == .nanoseconds(5))
    #expect(known.schedulerState == "D" && known.waitChannel == "ab")
    #expect(known.syscall == 0 && known.syscallName != nil)
    #expect(
      known.cancelRequestedFor == .nanoseconds(3) && known.cancelChecks == 7
        && known.readsFlagDirectly)
    #expect(known.progressAge == .zero && known.progress?.total == nil)
    #expect(known.diagnosis == .blocked)
    // Asked while it was looked at.
    facts.cancelledAt = facts.probedAt + 1
    #expect(StragglerReport(facts).cancelRequestedFor == .zero)
  }

  /// **Proves:** there is a case for each diagnosis of the core, by number and name (E1).
  ///
  /// **Why it matters:** one that is missing would be shown as unknown.
  /// **Catches:** a case left out, or two exchanged.
  @Test func everyDiagnosisHasACase() {
    let all = StragglerReport.Diagnosis.allCases
    #expect(all.map(\.rawValue) == Array(0...7))
    for diagnosis in all {
      let core = StragglerFacts.Diagnosis(rawValue: diagnosis.rawValue)
      #expect(core?.text.description == diagnosis.description)
      #expect("\(diagnosis)" == diagnosis.description)
    }
    #expect(StragglerFacts.Diagnosis(rawValue: UInt32(all.count)) == nil)
  }
}
