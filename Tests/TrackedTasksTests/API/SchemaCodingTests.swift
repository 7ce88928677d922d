import CPlatform
import Foundation
import Testing

@testable import TrackedTasks

/// Values as JSON: what docs/schema describes, as the library's own writer writes it.
///
/// Tests/formats checks that writer against the schemas, so that the comparison with it does.
@Suite struct SchemaCodingTests {
  private static func parse(_ text: String) throws -> NSDictionary {
    try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? NSDictionary)
  }

  private static func encode(_ value: some Encodable) throws -> Any {
    try JSONSerialization.jsonObject(with: JSONEncoder().encode(value))
  }

  private static func roundTrip<Value: Codable>(_ value: Value) throws -> Value {
    try JSONDecoder().decode(Value.self, from: JSONEncoder().encode(value))
  }

  /// The members of an object, with those that differ from list to list replaced by whether they are
  /// null.
  private static func masked(_ value: Any?) -> NSDictionary {
    let object = NSMutableDictionary(dictionary: value as? [String: Any] ?? [:])
    for key in object.allKeys.compactMap({ $0 as? String }) {
      if let inner = object[key] as? NSDictionary { object[key] = masked(inner) }
      if key.hasSuffix("_ns") { object[key] = object[key] is NSNull ? "none" : "some" }
    }
    return object
  }

  /// Tasks of every sort, alive until `gate` opens: what they have said, how they run, what they wait for.
  private static func populate(_ registry: TaskRegistry, until gate: Gate) throws {
    let group = try registry.group(named: "net")
    let running = Gate()
    let deaf = try group.spawn(
      "deaf: \"é\"\n🌍", kind: .application(0x5c4e),
      options: SpawnOptions(isUnjoined: true, phase: 3)
    ) { task in
      task.label("https://example.org/\u{1}")
      task.checkpoint("flushing")
      task.progress(30, of: 100, unit: "blocks")
      running.open()
      gate.wait()
    }
    running.wait()
    try registry.spawn("waits", kind: .rpcHandler) { task in
      try task.beginDrain()
      task.progress(7)
      _ = try task.withShield { try deaf.wait() }
    }
    let fails = try registry.spawn(
      "fails", kind: .backgroundLoop,
      options: SpawnOptions(
        restart: TaskRestart(
          .onFailure, shortestDelay: .seconds(600), longestDelay: .seconds(600)))
    ) { _ in throw TaskRegistryError.limitReached }
    try registry.spawn(
      "ticks", kind: .maintenance,
      options: SpawnOptions(schedule: TaskSchedule(every: .seconds(600), firstDelay: .seconds(600)))
    ) { _ in }.pause()
    #expect(
      eventually { registry.snapshot().contains { $0.id == fails.id && $0.state == .waiting } })
    #expect(eventually { registry.snapshot().contains { $0.drainingFor != nil } })
  }

  /// **Proves:** a list of tasks is encoded as the library writes one: each member of the schema, with
  /// the same contents, and no other; and comes back from that as it was, but for its moments (N2, E9).
  ///
  /// **Why it matters:** one reader serves what C writes and what Swift sends.
  /// **Catches:** a key of Swift's own; an enumeration as a number; a duration in seconds and
  /// attoseconds; a member left out.
  @Test func aListIsEncodedAsItIsWritten() throws {
    try TaskKind.setName("schema", of: .application(0x5c4e))
    let registry = try TaskRegistry()
    let gate = Gate()
    try Self.populate(registry, until: gate)
    let listed = registry.snapshot()
    let written = try Self.parse(registry.snapshotString(as: .json))
    let tasks = try #require(written["tasks"] as? [Any])
    #expect(listed.count == 4 && tasks.count == 4)
    for task in listed {
      let same = try #require(
        tasks.first { (($0 as? NSDictionary)?["id"] as? NSNumber)?.uint64Value == task.id })
      let encoded = try Self.masked(Self.encode(task))
      #expect(encoded == Self.masked(same))
      let back = try Self.roundTrip(task)
      #expect(back == task)
      // Both clocks are read within the test.
      let off = back.spawnedAt.duration(to: task.spawnedAt)
      #expect(off < .seconds(5) && off > .seconds(-5))
      #expect((back.cancelRequestedAt != nil) == (task.cancelRequestedAt != nil))
    }
    let summary = try #require(listed.first { $0.label != nil })
    let encoded = try #require(Self.encode(summary) as? NSDictionary)
    #expect(encoded["state"] as? String == "running" && encoded["kind"] as? String == "application")
    #expect(encoded["kind_name"] as? String == "schema" && encoded["kind_number"] as? Int == 0x5d4e)
    #expect(encoded["age_ns"] as? Int64 == summary.age.wholeNanoseconds)
    #expect(encoded["group"] as? String == "net" && encoded["unjoined"] as? Bool == true)
    gate.open()
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a report is encoded as the library writes it, to the last member, and its parts come
  /// back from what is written as they were (E1, E10).
  ///
  /// **Why it matters:** as above; and what is sent in parts must not have other names than the whole.
  /// **Catches:** a member that only one of the two writes; a holder or a symbol that is lost.
  @Test(arguments: [false, true]) func aReportIsEncodedAsItIsWritten(isShutdown: Bool) throws {
    let registry = try makeRegistry(grace: .milliseconds(10))
    let gate = Gate()
    let calls = Counter()
    try Self.populate(registry, until: gate)
    try registry.token.onCancel { calls.add() }
    try registry.spawnSleeper()
    var report: TaskReport
    if isShutdown {
      let join = try #require(
        reportOfMissedDeadline { () throws(TaskRegistryError) in
          try registry.shutdown(
            reason: .fatal, message: "disk \"full\"", grace: .milliseconds(200), explained: true)
        })
      report = try #require(join.explanation)
      #expect(!report.slowest.isEmpty && !report.phases.isEmpty)
      #expect(try Self.roundTrip(join) == join)
      let encoded = try #require(Self.encode(join) as? NSDictionary)
      let written = try Self.parse(report.string(as: .json))
      for (key, value) in encoded where key as? String != "stragglers" {
        #expect(written[key] as? NSObject == value as? NSObject, "\(key)")
      }
    } else {
      report = try registry.explain(withThreads: true)
      #expect(!report.threads.isEmpty && !report.stragglers.isEmpty)
    }
    let text = try report.string(as: .json)
    let encoded = try #require(Self.encode(report) as? NSDictionary)
    let written = try Self.parse(text)
    #expect(Set(encoded.allKeys as? [String] ?? []) == Set(written.allKeys as? [String] ?? []))
    for (key, value) in written {
      #expect(encoded[key] as? NSObject == value as? NSObject, "\(key)")
    }
    struct Parts: Decodable {
      let occasion: TaskReport.Occasion
      let stragglers: [StragglerReport]
      let slowest: [EndedTask]
      let phases: [PhaseReport]
      let threads: [ThreadReport]?
    }
    let parts = try JSONDecoder().decode(Parts.self, from: Data(text.utf8))
    #expect(parts.occasion == report.occasion && parts.stragglers == report.stragglers)
    #expect(parts.slowest == report.slowest && parts.phases == report.phases)
    #expect((parts.threads ?? []) == report.threads)
    gate.open()
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** the cases of enumerations have the names that the schema has for them, and nothing else
  /// is taken for one (E10).
  ///
  /// **Why it matters:** the names of the two are in different files.
  /// **Catches:** a case without a name; two with one name; a number taken for a case.
  @Test func namesAreThoseOfTheSchema() throws {
    func names<Case: Codable & CaseIterable & Hashable>(_: Case.Type) throws -> [String] {
      try Case.allCases.map {
        #expect(try Self.roundTrip([$0]) == [$0])
        return try #require((Self.encode([$0]) as? [String])?.first)
      }
    }
    #expect(
      try names(StragglerReport.Diagnosis.self) == [
        "unknown", "starting", "blocked", "spinning", "working", "progressing", "stopped", "ended",
        "idle", "waiting",
      ])
    #expect(
      try names(StragglerReport.BacktraceOutcome.self) == [
        "not-enabled", "taken", "blocked", "unanswered", "ended", "left-out",
      ])
    #expect(
      try names(WaitReport.Kind.self) == [
        "unknown", "nothing", "mutex", "rwlock", "signal", "thread", "descriptor", "descriptors",
        "file-lock", "child", "time", "task", "tasks", "token", "stop", "room",
      ])
    #expect(
      try names(LibraryWait.Kind.self) == [
        "time", "cancel", "descriptor", "condition", "task", "tasks", "token", "room",
        "descriptors",
      ])
    #expect(
      try names(TaskDescriptor.Kind.self) == [
        "not-known", "file", "device", "terminal", "pipe", "tcp", "udp", "unix", "socket",
        "eventfd",
        "timerfd", "epoll", "signalfd", "inotify", "other",
      ])
    for text in ["[\"sleeping\"]", "[2]", "[\"unknown\"]"] {
      #expect(throws: DecodingError.self) {
        try JSONDecoder().decode([TaskSummary.State].self, from: Data(text.utf8))
      }
    }
  }
}
