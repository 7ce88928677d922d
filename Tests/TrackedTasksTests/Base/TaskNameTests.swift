import Testing

@testable import TrackedTasks

/// A task's name as the library keeps it, and as the kernel gets it.
@Suite struct TaskNameTests {
  private static func kept(_ text: String) -> String? {
    withUTF8Text(text) { TaskName($0) }?.withText { String(cString: $0) }
  }

  private static func kernelName(_ text: String) -> String? {
    var result: String?
    withUTF8Text(text) { TaskName($0) }?.withKernelName { result = String(cString: $0) }
    return result
  }

  /// **Proves:** names up to 63 bytes are kept whole, longer ones cut, empty ones rejected (S2).
  ///
  /// **Why it matters:** a name is how a person finds the task in a log.
  /// **Catches:** a limit of 62 or 64.
  @Test(arguments: [0, 1, 15, 16, 62, 63, 64, 10_000])
  func namesAreKeptUpToSixtyThreeBytes(length: Int) {
    let text = String(String(repeating: "abcdefghij", count: 1000).prefix(length))
    #expect(Self.kept(text) == (length == 0 ? nil : String(text.prefix(63))))
  }

  /// **Proves:** a long name is cut at a character, whatever the length of its characters (S2).
  ///
  /// **Why it matters:** a name cut through a character is not UTF-8 any more.
  /// **Catches:** the cut taken at byte 63.
  @Test(arguments: ["é", "€", "🌍"])
  func longNamesAreCutAtACharacter(character: String) {
    let width = character.utf8.count
    for ascii in 0...4 {
      let text = String(repeating: "x", count: ascii) + String(repeating: character, count: 70)
      let whole = (63 - ascii) / width
      let expected =
        String(repeating: "x", count: ascii) + String(repeating: character, count: whole)
      #expect(Self.kept(text) == expected)
    }
  }

  /// **Proves:** bytes that are not UTF-8 are not a name, even behind the part that is kept (S2).
  ///
  /// **Why it matters:** the caller has an encoding problem, which should be reported.
  /// **Catches:** validation that stops at the limit.
  @Test func malformedNamesAreRejected() {
    let broken: [[UInt8]] = [
      [0x80, 0], [0x61, 0xFF, 0], [0xC3, 0], [0xED, 0xA0, 0x80, 0],
      [UInt8](repeating: 0x61, count: 100) + [0xC0, 0x80, 0],
    ]
    for bytes in broken { #expect(TaskName(bytes) == nil, "\(bytes)") }
  }

  /// **Proves:** the kernel gets the first 15 bytes, cut at a character (S2).
  ///
  /// **Why it matters:** it rejects longer ones, and the thread would have no name at all.
  /// **Catches:** 16 bytes passed; a cut through a character.
  @Test func theKernelGetsFifteenBytes() {
    #expect(Self.kernelName("heartbeat") == "heartbeat")
    #expect(Self.kernelName("exactly15bytes!") == "exactly15bytes!")
    #expect(Self.kernelName("exactly-16-bytes") == "exactly-16-byte")
    #expect(Self.kernelName(String(repeating: "é", count: 20)) == "ééééééé")
    #expect(Self.kernelName(String(repeating: "🌍", count: 9)) == "🌍🌍🌍")
    #expect(Self.kernelName("fourteen bytes€") == "fourteen bytes")
  }

  /// **Proves:** a thread carries the name of its task, also its second one (S2).
  ///
  /// **Why it matters:** `top -H` and core files show nothing but the kernel's names.
  /// **Catches:** a comparison with the last name that is always true.
  @Test func theThreadCarriesTheNameOfItsTask() throws {
    let registry = try TaskRegistry()
    for name in ["first", "second", "a name of more bytes than fifteen", "first"] {
      let seen = Locked("")
      let task = try registry.spawn(name, kind: .maintenance) { _ in
        let name = kernelNameOfCallingThread()
        seen.withLock { $0 = name }
      }
      try task.wait(timeout: ample)
      #expect(seen.value == String(name.prefix(15)))
    }
    try registry.shutdown(grace: ample)
  }
}
