import Testing

@testable import TrackedTasks

/// The conclusions from what Linux reports about a thread.
@Suite struct StragglerFactsTests {
  private typealias Diagnosis = StragglerFacts.Diagnosis
  private static let ms: Int64 = 1_000_000

  private static func diagnose(
    _ state: Unicode.Scalar?, progress: Int64 = -1, cpu: Int64 = 0, age: Int64 = 1000 * ms,
    since: Int64 = -1, span: Int64 = 0
  ) -> Diagnosis {
    StragglerFacts.diagnose(
      scheduler: state.map { UInt8(ascii: $0) } ?? 0, progressAge: progress, cpu: cpu, age: age,
      cpuSince: since, span: span)
  }

  /// **Proves:** the diagnosis is the one of the table: unknown and stopped come first, then
  /// progress, then CPU time, then how it is scheduled (E1).
  ///
  /// **Why it matters:** "blocked" and "spinning" send people to two different places.
  /// **Catches:** a limit of a tenth for a half; a task that progresses called spinning; -1 taken
  /// for a time.
  @Test func theTable() {
    let ms = Self.ms
    // Nothing is known without a state, whatever else is.
    #expect(Self.diagnose(nil, progress: 0, cpu: 1000 * ms) == .unknown)
    for state: Unicode.Scalar in ["T", "t"] {
      #expect(Self.diagnose(state, progress: 0, cpu: 1000 * ms) == .stopped)
    }
    for state: Unicode.Scalar in ["S", "D", "I"] {
      #expect(Self.diagnose(state) == .blocked)
      #expect(Self.diagnose(state, cpu: -1) == .blocked)
      #expect(Self.diagnose(state, cpu: 100 * ms) == .blocked)
      #expect(Self.diagnose(state, cpu: 100 * ms + 1) == .working)
      #expect(Self.diagnose(state, cpu: 500 * ms) == .working)
      #expect(Self.diagnose(state, cpu: 500 * ms + 1) == .spinning)
    }
    #expect(Self.diagnose("R") == .working)
    #expect(Self.diagnose("R", cpu: -1) == .working)
    #expect(Self.diagnose("R", cpu: 501 * ms) == .spinning)
    // Progress of less than a second ago, asleep or awake.
    for state: Unicode.Scalar in ["R", "S"] {
      #expect(Self.diagnose(state, progress: 0, cpu: 999 * ms) == .progressing)
      #expect(Self.diagnose(state, progress: 1000 * ms - 1, cpu: 999 * ms) == .progressing)
      #expect(Self.diagnose(state, progress: 1000 * ms, cpu: 999 * ms) == .spinning)
    }
  }

  /// **Proves:** the CPU time since the task was asked to stop counts, if that was at least a
  /// millisecond ago, and all its CPU time otherwise (E1).
  ///
  /// **Why it matters:** a task that computed for a day and now waits for a lock is blocked.
  /// **Catches:** the time since the spawn for the time since the request.
  @Test func theTimeSinceTheRequestCounts() {
    let ms = Self.ms
    #expect(Self.diagnose("S", cpu: 900 * ms, since: 0, span: 100 * ms) == .blocked)
    #expect(Self.diagnose("S", cpu: 900 * ms, since: 11 * ms, span: 100 * ms) == .working)
    #expect(Self.diagnose("S", cpu: 0, since: 51 * ms, span: 100 * ms) == .spinning)
    #expect(Self.diagnose("S", cpu: 900 * ms, since: 0, span: ms - 1) == .spinning)
    #expect(Self.diagnose("S", cpu: 0, since: ms - 1, span: ms - 1) == .blocked)
    #expect(Self.diagnose("S", cpu: 900 * ms, since: 0, span: ms) == .blocked)
    #expect(Self.diagnose("S", cpu: 900 * ms, since: -1, span: 100 * ms) == .spinning)
  }

  /// **Proves:** each diagnosis has a name of its own, in lower case (E1, E10).
  ///
  /// **Why it matters:** a schema lists them, and programs compare with them.
  /// **Catches:** a name copied and not changed.
  @Test func namesAreDistinct() {
    let names = (UInt32(0)...9).compactMap { Diagnosis(rawValue: $0)?.text.description }
    #expect(names.count == 10 && Set(names).count == 10)
    #expect(names.allSatisfy { $0.allSatisfy { ("a"..."z").contains($0) } })
    #expect(Diagnosis(rawValue: 10) == nil)
  }

  /// **Proves:** a straggler's facts are those of the probe; one that has ended by then is shown as
  /// ended, with the last facts that are known, and its reference is released (E1).
  ///
  /// **Why it matters:** the deadline may be long ago when it is probed, and the text says where it
  /// is stuck now.
  /// **Catches:** facts kept from the deadline; a state of that time beside the diagnosis "ended".
  @Test func theFactsAreThoseOfTheProbe() throws {
    let registry = try TaskRegistry()
    let (started, mayContinue, continues, end) = (Gate(), Gate(), Gate(), Gate())
    let task = try registry.spawn("one", kind: .backgroundLoop) { task in
      task.checkpoint("before")
      started.open()
      mayContinue.wait()
      task.checkpoint("after")
      continues.open()
      end.wait()
    }
    started.wait()
    let atDeadline = try #require(task.core.facts(in: registry.core))
    #expect(task.core.pin())
    var straggler = StragglerFacts(atDeadline, task: task.core)
    #expect(straggler.activity.checkpoint.map { String(cString: $0) } == "before")
    mayContinue.open()
    continues.wait()
    straggler.probe()
    #expect(straggler.activity.checkpoint.map { String(cString: $0) } == "after")
    #expect(straggler.state == .running && straggler.diagnosis != .ended)
    end.open()
    try registry.shutdown(grace: ample)
    straggler.probe()
    #expect(straggler.state == .ended && straggler.diagnosis == .ended)
    #expect(straggler.task == nil && straggler.facts.id == task.id)
    #expect(straggler.activity.checkpoint.map { String(cString: $0) } == "after")
  }
}
