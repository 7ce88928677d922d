import CPlatform
import Foundation
import Testing

@testable import TrackedTasks

/// The full report of a join, a shutdown or an explain.
@Suite struct TaskReportTests {
  /// Burns CPU time until it is released.
  private static func burn(until gate: Gate) {
    var number: UInt64 = 1
    while !gate.isOpen { for _ in 0..<10_000 { number = number &* 3 &+ 1 } }
    withExtendedLifetime(number) {}
  }

  private static func json(_ report: TaskReport) throws -> [String: Any] {
    let file = TemporaryFile()
    try report.write(to: file.descriptor, as: .json)
    return try #require(JSONSerialization.jsonObject(with: Data(file.bytes)) as? [String: Any])
  }

  /// **Proves:** a shutdown that misses its deadline explains each straggler: its name, where it
  /// is, what it reported and whether it waits or computes; and the written report says the same
  /// (E1, E3, E10).
  ///
  /// **Why it matters:** this is what the operator reads at night.
  /// **Catches:** two stragglers exchanged; a task that waits called spinning; a list in another
  /// order than the text.
  @Test func aMissedShutdownIsExplained() throws {
    let registry = try TaskRegistry()
    let group = try registry.group(named: "net")
    let gate = Gate()
    let running = Gate()
    var second = SpawnOptions()
    second.phase = 3
    let blocked = try group.spawn("blocked: \"é\"\n", kind: .peerConnection, options: second) {
      task in
      task.checkpoint("flushing")
      task.progress(30, of: 100, unit: "blocks")
      gate.wait()
    }
    let spinning = try registry.spawn("spinning", kind: .backgroundLoop) { _ in
      running.open()
      Self.burn(until: gate)
    }
    running.wait()
    #expect(eventually { registry.snapshot().contains { $0.progress != nil } })
    let report = try #require(
      reportOfMissedDeadline { () throws(TaskRegistryError) in
        try registry.shutdown(
          reason: .fatal, message: "disk full", grace: .milliseconds(300), explained: true)
      })
    let explanation = try #require(report.explanation)
    #expect(explanation.occasion == .shutdown && explanation.reason == .fatal)
    #expect(explanation.message == "disk full" && explanation.grace == .milliseconds(300))
    #expect(explanation.stragglerCount == 2 && explanation.slowest.isEmpty)
    #expect(explanation.phases.map(\.phase) == [0, 3])
    #expect(explanation.phases.allSatisfy { $0.asked == 1 && $0.remaining == 1 && $0.share != nil })
    let stragglers = explanation.stragglers
    #expect(Set(stragglers.map(\.id)) == [blocked.id, spinning.id])
    let waits = try #require(stragglers.first { $0.id == blocked.id })
    #expect(waits.name == "blocked: \"é\"\n" && waits.group == "net" && waits.phase == 3)
    #expect(waits.kind == .peerConnection && waits.state == .abandoned && waits.cancelChecks == 0)
    #expect(waits.checkpoint == "flushing" && waits.progress?.description == "30 of 100 blocks")
    #expect(waits.cancelRequestedFor != nil && waits.progressAge != nil && !waits.readsFlagDirectly)
    // It reported progress at its start, which may be less than a second ago.
    #expect([.blocked, .progressing].contains(waits.diagnosis))
    #expect(waits.schedulerState == "S" && waits.frames.map(\.depth) == Array(waits.frames.indices))
    let computes = try #require(stragglers.first { $0.id == spinning.id })
    #expect([.spinning, .working].contains(computes.diagnosis) && computes.group.isEmpty)
    #expect(computes.checkpoint == nil && computes.progress == nil && computes.progressAge == nil)
    #expect((computes.cpu ?? .zero) > .zero && computes.cpuSinceSpan != nil)
    #expect(computes.age > (computes.cancelRequestedFor ?? .zero))
    let object = try Self.json(explanation)
    let listed = try #require(object["stragglers"] as? [[String: Any]])
    #expect(listed.map { $0["name"] as? String } == stragglers.map(\.name))
    #expect(listed.map { $0["diagnosis"] as? String } == stragglers.map(\.diagnosis.description))
    let file = TemporaryFile()
    try explanation.write(to: file.descriptor, as: .text)
    let lines = file.text.split(separator: "\n")
    #expect(lines.count { $0.hasPrefix("straggler ") } == 2)
    #expect(file.text.contains("straggler net/blocked: \"é\"\\x0a: "))
    #expect(file.text.hasPrefix("shutdown (fatal: disk full): 2 tasks did not stop, after "))
    let coded = try JSONDecoder().decode(
      [StragglerReport].self, from: JSONEncoder().encode(stragglers))
    #expect(coded == stragglers)
    gate.open()
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a shutdown that succeeds reports which tasks were the slowest to stop, the slowest
  /// first, and how long its phases took (E5, E6).
  ///
  /// **Why it matters:** the next one, which takes a little longer, misses its deadline.
  /// **Catches:** the report of a success empty; phases out of order.
  @Test func aSuccessNamesTheSlowest() throws {
    let registry = try TaskRegistry()
    var later = SpawnOptions()
    later.phase = 2
    let quick = try registry.spawnSleeper("quick")
    let slow = try registry.spawn("slow", kind: .maintenance, options: later) { task in
      try? task.sleep(for: .seconds(600))
      // It ends after all others, which were asked first, and is asked last itself.
      _ = try? quick.wait()
      let end = monotonicNow() + 20_000_000
      while monotonicNow() < end {}
    }
    let report = try registry.shutdown(grace: ample, explained: true)
    let explanation = try #require(report.explanation)
    let slowest = explanation.slowest
    #expect(Set(slowest.map(\.id)) == [quick.id, slow.id])
    #expect(
      zip(slowest, slowest.dropFirst()).allSatisfy { ($0.stop ?? .zero) >= ($1.stop ?? .zero) })
    #expect((slowest.first { $0.id == slow.id }?.stop ?? .zero) >= .milliseconds(20))
    let phases = explanation.phases
    #expect(
      phases.map(\.phase) == [0, 2] && phases.allSatisfy { $0.asked == 1 && $0.remaining == 0 })
    #expect(phases[1].start >= phases[0].start + phases[0].duration)
    #expect(
      phases[1].duration >= .milliseconds(20)
        && report.elapsed >= phases[1].start + phases[1].duration)
    #expect(explanation.stragglers.isEmpty && explanation.stragglerCount == 0)
    #expect(
      try JSONDecoder().decode([PhaseReport].self, from: JSONEncoder().encode(phases)) == phases)
  }

  /// **Proves:** nothing is explained unless that is requested (E1).
  ///
  /// **Why it matters:** examining takes time for each straggler, when no time is left.
  /// **Catches:** a report made in any case.
  @Test func nothingIsExplainedUnasked() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    try registry.spawnDeaf(until: gate)
    let report = reportOfMissedDeadline { () throws(TaskRegistryError) in
      try registry.joinAll(timeout: .zero)
    }
    #expect(report?.pending == 1 && report?.explanation == nil)
    gate.open()
    #expect(try registry.shutdown(grace: ample).explanation == nil)
  }

  /// **Proves:** an explain reports every live task and asks none to stop; the report outlives
  /// tasks and registry (E1).
  ///
  /// **Why it matters:** a running service does this on a signal.
  /// **Catches:** a flag raised; a report that refers to a task's memory.
  @Test func aLookAsksNobodyToStop() throws {
    let gate = Gate()
    let explanation: TaskReport
    let ids: Set<UInt64>
    do {
      let registry = try TaskRegistry()
      let tasks = try (0..<20).map { try registry.spawnDeaf("task \($0)", until: gate) }
      ids = Set(tasks.map(\.id))
      explanation = try registry.explain()
      #expect(tasks.allSatisfy { !$0.core.word.isCancelRequested })
      gate.open()
      try registry.shutdown(grace: ample)
    }
    #expect(
      explanation.occasion == .explain && explanation.reason == .none && explanation.message.isEmpty
    )
    #expect(explanation.stragglerCount == 20 && Set(explanation.stragglers.map(\.id)) == ids)
    #expect(
      explanation.stragglers.allSatisfy { $0.cancelRequestedFor == nil && $0.cancelChecks == 0 })
    let unix = Double(explanation.examinedAtUnix.components.seconds)
    #expect(abs(Date().timeIntervalSince1970 - unix) < 3600)
    #expect(try Self.json(explanation)["grace_ns"] as? Int == 0)
  }

  /// **Proves:** a report contains the timeout of its call: nil without one, in the written
  /// report too (E10).
  ///
  /// **Why it matters:** "of 0 µs" would be a lie.
  /// **Catches:** -1 shown as a number.
  @Test func forEverIsNoGrace() throws {
    let registry = try TaskRegistry()
    let explanation = try #require(try registry.joinAll(explained: true).explanation)
    #expect(explanation.occasion == .join && explanation.grace == nil)
    let object = try Self.json(explanation)
    #expect(object["grace_ns"] is NSNull && object["occasion"] as? String == "join")
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** the live tasks are written as a table and as JSON (E9).
  ///
  /// **Why it matters:** a command that prints what runs is three lines then.
  /// **Catches:** the two formats exchanged; a task missing.
  @Test func snapshotsAreWritten() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    for number in 0..<3 { try registry.spawnDeaf("task \(number)", until: gate) }
    let file = TemporaryFile()
    try registry.writeSnapshot(to: file.descriptor, as: .json)
    let object = try JSONSerialization.jsonObject(with: Data(file.bytes)) as? [String: Any]
    let tasks = try #require(object?["tasks"] as? [[String: Any]])
    #expect(Set(tasks.compactMap { $0["name"] as? String }) == ["task 0", "task 1", "task 2"])
    let table = TemporaryFile()
    try registry.writeSnapshot(to: table.descriptor, as: .text)
    #expect(table.text.split(separator: "\n").count == 5 && table.text.hasSuffix("3 tasks\n"))
    gate.open()
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a failing write is an error, and errno is set (E9, E10).
  ///
  /// **Why it matters:** a report that is lost silently is never missed.
  /// **Catches:** the status of the writer dropped.
  @Test func whatCannotBeWrittenIsAnError() throws {
    let registry = try TaskRegistry()
    let explanation = try registry.explain()
    let full = open("/dev/full", O_WRONLY)
    for format in [ReportFormat.text, .json] {
      for (fd, expected) in [(-1, TaskRegistryError.invalidArgument), (full, .systemFailure)] {
        cp_set_errno(0)
        #expect(
          errorOf { () throws(TaskRegistryError) in try explanation.write(to: fd, as: format) }
            == expected)
        #expect(cp_errno() == (fd < 0 ? 0 : ENOSPC))
        cp_set_errno(0)
        #expect(
          errorOf { () throws(TaskRegistryError) in try registry.writeSnapshot(to: fd, as: format) }
            == expected)
        #expect(cp_errno() == (fd < 0 ? 0 : ENOSPC))
      }
    }
    close(full)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a report, a list and metrics are strings of the same text that a descriptor gets,
  /// however long (E9, E10).
  ///
  /// **Why it matters:** a handler that answers a request needs the text, not a file.
  /// **Catches:** a text cut at the first room that was tried; half a character at its end.
  @Test func textsAreStringsAsWell() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let tasks = try (0..<40).map { number in
      try registry.spawn("é€😀 \(number)", kind: .maintenance) { task in
        // Those that are alike would be one paragraph (Q6).
        task.checkpoint("é \(number)")
        gate.wait()
      }
    }
    #expect(eventually { registry.snapshot().allSatisfy { $0.checkpoint != nil } })
    let report = try registry.explain(withBacktraces: false)
    for format in [ReportFormat.text, .json] {
      let file = TemporaryFile()
      try report.write(to: file.descriptor, as: format)
      let text = try report.string(as: format)
      #expect(text == String(decoding: file.bytes, as: UTF8.self))
      #expect(text.utf8.count > 4096)
      let list = try registry.snapshotString(as: format)
      #expect(tasks.allSatisfy { list.contains($0.name) } && list.hasSuffix("\n"))
    }
    let file = TemporaryFile()
    try registry.writeMetrics(to: file.descriptor)
    #expect(try registry.metricsText() == String(decoding: file.bytes, as: UTF8.self))
    gate.open()
    try registry.joinAll(timeout: nil)
  }
}
