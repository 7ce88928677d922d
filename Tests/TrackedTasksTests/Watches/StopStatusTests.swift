import Testing

@testable import TrackedTasks

/// The tasks that a stop waits for, in a few words.
@Suite struct StopStatusTests {
  private static func status(
    of registry: TaskRegistry, after before: StopStatus = StopStatus()
  ) -> (StopStatus, String) {
    var line = ""
    var status = StopStatus()
    let names = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: StopStatus.room)
    defer { names.deallocate() }
    withFixedText(capacity: 8192) {
      status = StopStatus(of: registry.core, after: before, in: &$0, with: names)
    } _: {
      line = String(cString: $0)
    }
    return (status, line)
  }

  /// **Proves:** reporting progress and ending are moves, each once; being spawned and reporting
  /// the same again are not (E11).
  ///
  /// **Why it matters:** a service that hangs must not get more time indefinitely.
  /// **Catches:** a digest that counts unknown values; one that sums only ids.
  @Test func aMoveIsCountedOnce() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let steps = (0..<3).map { _ in (go: Gate(), done: Gate()) }
    let reporter = try registry.spawn("reporter", kind: .maintenance) { task in
      for (number, step) in steps.enumerated() {
        step.go.wait()
        task.progress(UInt64(min(number, 1)))
        step.done.open()
      }
      gate.wait()
    }
    var (before, line) = Self.status(of: registry)
    #expect(line == "waiting for 1 task: reporter")
    func moves() -> Bool {
      let (now, _) = Self.status(of: registry, after: before)
      let moves = now.moves(since: before)
      before = now
      return moves
    }
    #expect(!moves())
    for step in 0..<2 {
      steps[step].go.open()
      steps[step].done.wait()
      #expect(moves())
      #expect(!moves())
    }
    steps[2].go.open()
    steps[2].done.wait()
    #expect(!moves())  // the same numbers again
    let other = Gate()
    let late = try registry.spawnDeaf("late", until: other)
    #expect(!moves())
    other.open()
    try late.wait(timeout: ample)
    #expect(moves())
    #expect(!moves())
    gate.open()
    try reporter.wait(timeout: ample)
    #expect(moves())
    (_, line) = Self.status(of: registry)
    #expect(line == "no task is left")
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** text for people has its control characters escaped, and what is not UTF-8
  /// replaced, cut at a character and never within an escape (E11).
  ///
  /// **Why it matters:** systemd drops a status that is not UTF-8, and parses lines.
  /// **Catches:** C1 passed on; a cut that continues with later text that fits.
  @Test func textIsEscaped() {
    func escaped(_ bytes: [UInt8], capacity: Int = 512, limit: Int = 255) -> String {
      var line = ""
      withFixedText(capacity: capacity) { text in
        (bytes + [0]).withUnsafeBufferPointer { bytes in
          bytes.baseAddress.map { text.append(escaped: $0, limit: limit) }
        }
      } _: {
        line = String(cString: $0)
      }
      return line
    }
    #expect(escaped(Array("plain é€🌍".utf8)) == "plain é€🌍")
    #expect(escaped([0x0A, 0x1F, 0x7F, 0x20]) == "\\x0a\\x1f\\x7f ")
    #expect(escaped([0xC2, 0x80, 0xC2, 0x9F, 0xC2, 0xA0]) == "\\x80\\x9f\u{A0}")
    #expect(escaped([0xFF, 0x41, 0xC3]) == "\u{FFFD}A\u{FFFD}")
    #expect(escaped(Array("ééé".utf8) + [0x41], capacity: 6) == "éé")
    #expect(escaped(Array("abcdef".utf8), limit: 3) == "abc")
  }
}
