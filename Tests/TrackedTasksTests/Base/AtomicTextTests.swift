import Testing

@testable import TrackedTasks

/// Text that may be read while it is written.
@Suite struct AtomicTextTests {
  private static func text<let count: Int>(_ text: borrowing AtomicText<count>) -> String {
    text.withText { String(cString: $0) }
  }

  /// **Proves:** the stored text is read back, up to the longest text there is room for (S2, O1).
  ///
  /// **Why it matters:** names and failure messages are kept in this.
  /// **Catches:** the last word left out.
  @Test(arguments: [0, 1, 7, 8, 9, 30, 31]) func textComesOutAsStored(length: Int) {
    let place = AtomicText<4>()
    let content = String("abcdefghijklmnopqrstuvwxyz0123456789".prefix(length))
    withUTF8Text(content) { place.store($0, length: length) }
    #expect(Self.text(place) == content)
  }

  /// **Proves:** a shorter text leaves nothing of a longer one before it (N3).
  ///
  /// **Why it matters:** records are reused, and a name must not end like another's.
  /// **Catches:** only the words that are needed stored.
  @Test func aShorterTextReplacesALongerOne() {
    let place = AtomicText<4>()
    withUTF8Text("a rather long text, 30 bytes!!") { place.store($0, length: 30) }
    withUTF8Text("short") { place.store($0, length: 5) }
    #expect(Self.text(place) == "short")
    #expect((1..<4).allSatisfy { place[$0] == 0 })
  }
}
