import Foundation
import Testing

@testable import TrackedTasks

/// What tasks say of themselves.
@Suite struct TaskProgressTests {
  /// **Proves:** the progress a task last reported is in its summary, survives encoding, and reads
  /// well; a task that reported none has none (E3, N2).
  ///
  /// **Why it matters:** an operator sees there what takes so long.
  /// **Catches:** a total of 0 shown as one; a text that is not passed on.
  @Test func summariesShowWhatWasReported() throws {
    let registry = try TaskRegistry()
    let reported = Gate()
    let gate = Gate()
    let silent = try registry.spawnDeaf("silent", until: gate)
    let task = try registry.spawn("reports", kind: .maintenance) { task in
      task.checkpoint("flushing")
      task.progress(29)
      task.progress(30, of: 100, unit: "blocks")
      reported.open()
      gate.wait()
    }
    reported.wait()
    let summaries = registry.snapshot()
    let summary = try #require(summaries.first { $0.id == task.id })
    #expect(summary.checkpoint == "flushing")
    let progress = try #require(summary.progress)
    #expect(progress.description == "30 of 100 blocks")
    #expect(progress.reportedAt >= summary.spawnedAt)
    #expect(progress.reportedAt <= summary.spawnedAt.advanced(by: summary.age))
    let other = try #require(summaries.first { $0.id == silent.id })
    #expect(other.checkpoint == nil && other.progress == nil && !other.isStalled)
    let coded = try JSONDecoder().decode([TaskSummary].self, from: JSONEncoder().encode(summaries))
    #expect(coded == summaries)
    gate.open()
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** total and unit may be left out, and a checkpoint taken back (E3).
  ///
  /// **Why it matters:** most loops do not know how long they are.
  /// **Catches:** "of 0".
  @Test func partsMayBeMissing() throws {
    let registry = try TaskRegistry()
    let task = try registry.spawn("reports", kind: .maintenance) { task in
      task.checkpoint("before")
      task.checkpoint(nil)
      task.progress(7)
      let summary = try #require(registry.snapshot().first)
      #expect(summary.checkpoint == nil)
      #expect(summary.progress?.total == nil && summary.progress?.unit == nil)
      #expect(summary.progress?.description == "7")
      task.progress(8, unit: "peers")
      #expect(registry.snapshot().first?.progress?.description == "8 peers")
    }
    #expect(try task.wait(timeout: ample).ending == .returned)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a text that was made at run time is shown when it is gone itself, up to a NUL
  /// (E3).
  ///
  /// **Why it matters:** texts come from tables and files, too.
  /// **Catches:** a pointer into the string of the call.
  @Test func textsMayBeMadeAtRunTime() throws {
    let registry = try TaskRegistry()
    let task = try registry.spawn("reports", kind: .maintenance) { task in
      for step in ["an index that is longer than a small string", "déjà vu", "cut\0off", ""] {
        let text = "writing " + step
        let unit = "entries of " + step
        task.checkpoint(text)
        task.progress(1, unit: unit)
        let summary = try #require(registry.snapshot().first)
        let whole = step == "cut\0off" ? "cut" : step
        #expect(summary.checkpoint == "writing " + whole)
        #expect(summary.progress?.unit == "entries of " + whole)
      }
    }
    #expect(try task.wait(timeout: ample).ending == .returned)
    try registry.shutdown(grace: ample)
  }
}
