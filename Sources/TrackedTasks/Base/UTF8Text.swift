import CPlatform

/// Text as it crosses the boundary: UTF-8 bytes ending in NUL, cut only at character boundaries.
///
/// Well-formedness is Table 3-7 of the Unicode Standard: no overlong forms, no surrogates, nothing
/// above U+10FFFF.
enum UTF8Text {
  /// The length of the character at `bytes`, or 0 if no well-formed one starts there.
  ///
  /// It reads no byte beyond the first that does not fit, hence none beyond a terminating NUL.
  static func characterLength(at bytes: UnsafePointer<UInt8>) -> Int {
    let first = bytes[0]
    switch first {
    case 0x01...0x7F: return 1
    case 0xC2...0xDF: return isContinuation(bytes[1]) ? 2 : 0
    case 0xE0...0xEF:
      let low: UInt8 = first == 0xE0 ? 0xA0 : 0x80
      let high: UInt8 = first == 0xED ? 0x9F : 0xBF
      guard bytes[1] >= low && bytes[1] <= high else { return 0 }
      return isContinuation(bytes[2]) ? 3 : 0
    case 0xF0...0xF4:
      let low: UInt8 = first == 0xF0 ? 0x90 : 0x80
      let high: UInt8 = first == 0xF4 ? 0x8F : 0xBF
      guard bytes[1] >= low && bytes[1] <= high else { return 0 }
      return isContinuation(bytes[2]) && isContinuation(bytes[3]) ? 4 : 0
    default: return 0
    }
  }

  private static func isContinuation(_ byte: UInt8) -> Bool { byte & 0xC0 == 0x80 }

  /// Measures `text` up to its NUL or its first malformed byte.
  ///
  /// - Returns: `kept`, the bytes that fit into `limit` without cutting a character, and
  ///   `isWellFormed`, whether the text is UTF-8 to its end.
  static func measure(
    _ text: UnsafePointer<UInt8>, limit: Int
  ) -> (kept: Int, isWellFormed: Bool) {
    var position = 0
    // The usual case: ASCII from end to end.
    while text[position] != 0 && text[position] < 0x80 { position += 1 }
    var kept = position < limit ? position : limit
    while text[position] != 0 {
      let length = characterLength(at: text + position)
      if length == 0 { return (kept, false) }
      position += length
      if position <= limit { kept = position }
    }
    return (kept, true)
  }

  /// Copies `text`, cut at a character boundary, with U+FFFD for each byte that is not UTF-8.
  ///
  /// - Parameters:
  ///   - text: NUL-terminated bytes.
  ///   - buffer: gets well-formed, NUL-terminated text.
  ///   - capacity: the room in `buffer`, with that for the NUL; at least 1.
  static func repair(
    _ text: UnsafePointer<UInt8>, to buffer: UnsafeMutablePointer<UInt8>, capacity: Int
  ) {
    let replacement: StaticString = "\u{FFFD}"
    var place = 0
    var kept = 0
    while text[place] != 0 {
      let length = characterLength(at: text + place)
      let written = length == 0 ? replacement.utf8CodeUnitCount : length
      if kept + written >= capacity { break }
      memcpy(buffer + kept, length == 0 ? replacement.utf8Start : text + place, written)
      kept += written
      place += length == 0 ? 1 : length
    }
    buffer[kept] = 0
  }

  /// Copies NUL-terminated, well-formed `text`, cut at a character boundary to fit into `capacity`
  /// bytes with its NUL; nothing if there is no buffer or no room.
  static func copy(
    _ text: UnsafePointer<UInt8>, to buffer: UnsafeMutablePointer<UInt8>?, capacity: Int
  ) {
    guard let buffer, capacity > 0 else { return }
    let kept = measure(text, limit: capacity - 1).kept
    memcpy(buffer, text, kept)
    buffer[kept] = 0
  }
}

/// A task's name: at most 63 bytes of UTF-8 and a NUL.
///
/// It is eight words, so that a snapshot can copy it while it is written (see `TaskRecord`).
struct TaskName {
  var words: InlineArray<8, UInt64>

  /// The most bytes a name keeps.
  static var limit: Int { 63 }

  init() { words = InlineArray(repeating: 0) }

  /// Copies `text`, cut at a character boundary; nil if it is empty or not UTF-8 (S2).
  init?(_ text: UnsafePointer<UInt8>) {
    let (kept, isWellFormed) = UTF8Text.measure(text, limit: Self.limit)
    if kept == 0 || !isWellFormed { return nil }
    words = InlineArray(repeating: 0)
    withUnsafeMutableBytes(of: &words) { $0.baseAddress.map { _ = memcpy($0, text, kept) } }
  }

  /// Passes the name to `body` as a NUL-terminated string.
  func withText<Result>(_ body: (UnsafePointer<UInt8>) -> Result) -> Result {
    withUnsafeBytes(of: words) { bytes in
      // SAFETY: eight words of bytes, the last of which is NUL because at most 63 are ever set.
      body(bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self))
    }
  }

  /// Passes the kernel's form of the name to `body`: its first 15 bytes, cut at a character
  /// boundary.
  func withKernelName(_ body: (UnsafePointer<CChar>) -> Void) {
    withText { text in
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 16) { short in
        // SAFETY: a temporary allocation of 16 bytes has a base address.
        let base = short.baseAddress.unsafelyUnwrapped
        UTF8Text.copy(text, to: base, capacity: 16)
        base.withMemoryRebound(to: CChar.self, capacity: 16) { body($0) }
      }
    }
  }
}
