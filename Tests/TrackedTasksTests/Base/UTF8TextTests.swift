import CPlatform
import Testing

@testable import TrackedTasks

/// UTF-8 at the boundary, compared with the decoder of the Swift standard library.
@Suite struct UTF8TextTests {
  /// The bytes that stand at both sides of every border of the Unicode Standard's Table 3-7.
  private static let borders: [UInt8] = [
    0x00, 0x01, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1,
    0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF,
  ]

  /// The length of the first character as the standard library sees it; 0 for none and for NUL.
  private static func oracle(_ bytes: [UInt8]) -> Int {
    var decoder = UTF8()
    var input = bytes.makeIterator()
    guard case .scalarValue(let scalar) = decoder.decode(&input), scalar != "\0" else { return 0 }
    return UTF8.width(scalar)
  }

  private static func length(_ bytes: [UInt8]) -> Int {
    (bytes + [0, 0, 0, 0]).withUnsafeBufferPointer {
      $0.baseAddress.map { UTF8Text.characterLength(at: $0) } ?? -1
    }
  }

  private static func measure(
    _ bytes: [UInt8], limit: Int
  ) -> (kept: Int, isWellFormed: Bool) {
    (bytes + [0]).withUnsafeBufferPointer {
      $0.baseAddress.map { UTF8Text.measure($0, limit: limit) } ?? (-1, false)
    }
  }

  /// **Proves:** all patterns of one and two bytes are judged as Swift's own decoder does (S2).
  ///
  /// **Why it matters:** a name that is not UTF-8 would break every program that prints it.
  /// **Catches:** 0xC0 or 0xC1 accepted as the lead of an overlong form.
  @Test func allPatternsOfOneAndTwoBytesAreJudgedAsSwiftDoes() {
    var wrong: [[UInt8]] = []
    for first in UInt8.min...UInt8.max {
      for second in UInt8.min...UInt8.max {
        let bytes = [first, second]
        if Self.length(bytes) != Self.oracle(bytes) { wrong.append(bytes) }
      }
    }
    #expect(wrong.isEmpty)
  }

  /// **Proves:** three and four bytes are judged rightly at every border (S2).
  ///
  /// **Why it matters:** overlong forms and surrogates are how filters are got around.
  /// **Catches:** 0xED 0xA0 (a surrogate) or 0xF4 0x90 (beyond U+10FFFF) accepted.
  @Test func longerPatternsAreJudgedAsSwiftDoesAtEveryBorder() {
    var wrong: [[UInt8]] = []
    func check(_ bytes: [UInt8]) {
      if Self.length(bytes) != Self.oracle(bytes) { wrong.append(bytes) }
    }
    for first: UInt8 in [0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF] {
      for second in UInt8.min...UInt8.max {
        for third in Self.borders { check([first, second, third]) }
      }
    }
    for first: UInt8 in [0xF0, 0xF1, 0xF3, 0xF4, 0xF5] {
      for second in Self.borders {
        for third in Self.borders {
          for fourth in Self.borders { check([first, second, third, fourth]) }
        }
      }
    }
    #expect(wrong.isEmpty)
  }

  /// **Proves:** a text is well-formed exactly if Swift can make a string of it (S2).
  ///
  /// **Why it matters:** the judgement holds for whole texts, not only for their first character.
  /// **Catches:** `measure` going on by one byte after a malformed one.
  @Test func wholeTextsAreJudgedAsSwiftDoes() {
    let parts: [[UInt8]] = [
      [0x61], [0xC3, 0xA9], [0xE2, 0x82, 0xAC], [0xF0, 0x9F, 0x8C, 0x8D], [0x80], [0xE2, 0x82],
      [0xED, 0xA0, 0x80], [0xFF],
    ]
    for a in parts {
      for b in parts {
        for c in parts {
          let text = a + b + c
          let isString = String(validating: text, as: UTF8.self) != nil
          #expect(Self.measure(text, limit: .max).isWellFormed == isString, "\(text)")
        }
      }
    }
  }

  /// **Proves:** at each limit a text is cut at the last character that fits (S2).
  ///
  /// **Why it matters:** half a character at the end makes the whole name invalid.
  /// **Catches:** `position <= limit` turned into `<`, or a cut at the byte.
  @Test func textIsCutAtACharacterAtEveryLimit() {
    let text = "aé€🌍zß漢🦉"
    let bytes = Array(text.utf8)
    for limit in 0...(bytes.count + 3) {
      var fitting = 0
      for scalar in text.unicodeScalars {
        if fitting + UTF8.width(scalar) > limit { break }
        fitting += UTF8.width(scalar)
      }
      let (kept, isWellFormed) = Self.measure(bytes, limit: limit)
      #expect(kept == fitting, "limit \(limit)")
      #expect(isWellFormed)
    }
  }

  /// **Proves:** once a character does not fit, no later and shorter one slips in behind it (S2).
  ///
  /// **Why it matters:** a name with a hole in it is another name.
  /// **Catches:** `kept` counted up by lengths instead of set to the position.
  @Test func whatFollowsACutIsLeftOutToo() {
    #expect(Self.measure(Array("ab🌍c".utf8), limit: 5).kept == 2)
    #expect(Self.measure(Array("€a".utf8), limit: 1).kept == 0)
  }

  /// **Proves:** no byte beyond the NUL is read, however the text breaks off (S2, P4).
  ///
  /// **Why it matters:** the byte after a string may belong to an unmapped page.
  /// **Catches:** the continuation bytes loaded before the byte in front was checked.
  @Test func nothingIsReadBeyondTheEndOfTheText() throws {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let memory = try #require(
      mmap(nil, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
    defer { munmap(memory, 2 * page) }
    #expect(mprotect(memory + page, page, PROT_NONE) == 0)
    let cuts: [[UInt8]] = [
      [], [0x61], [0xC3], [0xE2], [0xE2, 0x82], [0xF0], [0xF0, 0x9F], [0xF0, 0x9F, 0x8C],
    ]
    for bytes in cuts {
      let start = memory + page - bytes.count - 1
      start.copyMemory(from: bytes, byteCount: bytes.count)
      start.storeBytes(of: 0, toByteOffset: bytes.count, as: UInt8.self)
      let text = UnsafePointer(start.assumingMemoryBound(to: UInt8.self))
      let isWhole = String(validating: bytes, as: UTF8.self) != nil
      #expect(UTF8Text.measure(text, limit: 63).isWellFormed == isWhole)
    }
  }

  /// **Proves:** copying cuts and terminates as snprintf does, and writes nothing without a buffer
  /// (S2, P4).
  ///
  /// **Why it matters:** half a character at the end of a text is not UTF-8.
  /// **Catches:** `capacity` used where `capacity - 1` is right.
  @Test func copyingBehavesAsSnprintf() {
    let bytes = Array("né🌍".utf8)
    let text = bytes + [0]
    for capacity in 0...(bytes.count + 2) {
      var buffer = [UInt8](repeating: 0xAA, count: bytes.count + 4)
      buffer.withUnsafeMutableBufferPointer {
        UTF8Text.copy(text, to: $0.baseAddress, capacity: capacity)
      }
      #expect(buffer[capacity...].allSatisfy { $0 == 0xAA })
      if capacity > 0 {
        let kept = Self.measure(bytes, limit: capacity - 1).kept
        #expect(Array(buffer[..<kept]) == Array(bytes[..<kept]))
        #expect(buffer[kept] == 0)
      }
    }
    UTF8Text.copy(text, to: nil, capacity: 9)
  }
}
