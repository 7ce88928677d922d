import CPlatform
import Foundation
import Testing

@testable import TrackedTasks

/// Text on its way to a descriptor.
@Suite struct TextWriterTests {
  /// What `body` writes to a file.
  private static func written(_ body: (inout TextWriter) -> Void) -> [UInt8] {
    let file = TemporaryFile()
    #expect(withTextWriter(.descriptor(file.descriptor), body) == .ok)
    return file.bytes
  }

  private static func text(_ body: (inout TextWriter) -> Void) -> String {
    String(decoding: written(body), as: UTF8.self)
  }

  private static func asText(_ bytes: [UInt8], limit: Int = 255) -> String {
    text { writer in
      (bytes + [0]).withUnsafeBufferPointer { writer.write(text: $0.baseAddress!, limit: limit) }
    }
  }

  private static func asJSON(_ bytes: [UInt8], limit: Int = 255) -> String {
    text { writer in
      (bytes + [0]).withUnsafeBufferPointer { writer.write(json: $0.baseAddress!, limit: limit) }
    }
  }

  /// Characters of every length, at the ends of what each length has, and between.
  private static let characters: [Unicode.Scalar] =
    (1...0x17F).compactMap { Unicode.Scalar($0) }
    + [
      0x7FF, 0x800, 0xFFF, 0x1000, 0xD7FF, 0xE000, 0xFFFD, 0xFFFF, 0x10000, 0x1F600,
      0x10FFFF,
    ]
    .compactMap { Unicode.Scalar($0) }

  private static func isControl(_ character: Unicode.Scalar) -> Bool {
    character.value < 0x20 || (0x7F...0x9F).contains(character.value)
  }

  /// **Proves:** text for people has its control characters, C0, DEL and C1, as \xHH, and
  /// everything else as it is (E10).
  ///
  /// **Why it matters:** a task's name must not start a line of its own, nor control a terminal.
  /// **Catches:** C1 not escaped, which some terminals interpret; a letter with an accent escaped.
  @Test func textEscapesControlCharacters() {
    for character in Self.characters {
      let shown = Self.asText(Array(String(character).utf8))
      let number = String(character.value, radix: 16)
      let expected =
        Self.isControl(character)
        ? "\\x" + String(repeating: "0", count: 2 - number.count) + number : String(character)
      #expect(shown == expected, "U+\(number)")
    }
    #expect(Self.asText(Array("a\nb\u{1B}[31mc\u{9B}d\\".utf8)) == "a\\x0ab\\x1b[31mc\\x9bd\\")
  }

  /// **Proves:** a JSON string is read back as it was written, by a parser that is not ours;
  /// quotes, backslashes and control characters are escaped (E10).
  ///
  /// **Why it matters:** with one raw control character no parser reads the report.
  /// **Catches:** `"` unescaped; \u with three digits; \x, which JSON lacks.
  @Test func jsonIsReadBack() throws {
    let all = String(String.UnicodeScalarView(Self.characters.prefix(120)))
    for text in Self.characters.map({ String($0) }) + [
      all, "\"\\\"\\\\", "\\u0041", "\u{1F600}é\u{0}",
    ] {
      let bytes = Array(text.utf8.prefix { $0 != 0 })
      let shown = Self.asJSON(bytes)
      let data = Data("[\(shown)]".utf8)
      let read = try #require(try JSONSerialization.jsonObject(with: data) as? [String], "\(shown)")
      #expect(Array(read[0].utf8) == bytes)
      #expect(shown.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F })
    }
    #expect(
      Self.asJSON(Array("a\"\\\n\t\r\u{1}\u{1F}\u{7F}".utf8)) == #""a\"\\\n\t\r\u0001\u001f\u007f""#
    )
    #expect(Self.text { $0.write(json: nil) } == "null")
    #expect(Self.asJSON([]) == "\"\"")
  }

  /// **Proves:** each byte that is not UTF-8 becomes U+FFFD, and what follows is read from the next
  /// byte on (E10).
  ///
  /// **Why it matters:** a checkpoint is any bytes; the report is UTF-8 in any case.
  /// **Catches:** a whole sequence skipped with the character behind it; overlong forms and
  /// surrogates accepted; reading beyond the NUL.
  @Test func whatIsNotUTF8IsReplaced() {
    let bad = "\u{FFFD}"
    let cases: [([UInt8], String)] = [
      ([0x80], bad), ([0xFF, 0x41], bad + "A"), ([0xC3], bad), ([0xC3, 0x41], bad + "A"),
      ([0xC0, 0xAF], bad + bad), ([0xC1, 0xBF], bad + bad), ([0xE0, 0x80, 0x80], bad + bad + bad),
      ([0xE2, 0x82], bad + bad), ([0xED, 0xA0, 0x80], bad + bad + bad),
      ([0xF0, 0x9F, 0x98], bad + bad + bad), ([0xF4, 0x90, 0x80, 0x80], bad + bad + bad + bad),
      ([0x41, 0xF5, 0x42], "A" + bad + "B"), ([0xE2, 0x82, 0xC3, 0xA9], bad + bad + "é"),
    ]
    for (bytes, expected) in cases {
      #expect(Self.asText(bytes) == expected, "\(bytes)")
      #expect(Self.asJSON(bytes) == "\"\(expected)\"", "\(bytes)")
    }
  }

  /// **Proves:** of long text the first bytes are shown, up to the limit, cut at a character (E3,
  /// E10).
  ///
  /// **Why it matters:** a checkpoint may be a string of any length.
  /// **Catches:** a limit of characters; half a character at the end.
  @Test func longTextIsCut() {
    let long = [UInt8](repeating: 0x61, count: 1000)
    #expect(Self.asText(long) == String(repeating: "a", count: 255))
    #expect(Self.asJSON(long) == "\"" + String(repeating: "a", count: 255) + "\"")
    #expect(Self.asJSON(long, limit: 999).utf8.count == 1001)
    #expect(Self.asText(Array("abc€".utf8), limit: 6) == "abc€")
    #expect(Self.asText(Array("abc€".utf8), limit: 5) == "abc")
    #expect(Self.asText(Array("abc€".utf8), limit: 3) == "abc")
    #expect(Self.asText(long, limit: 0) == "" && Self.asJSON(long, limit: 0) == "\"\"")
  }

  /// **Proves:** numbers are written whole, the smallest and the largest, also in hexadecimal and
  /// with leading zeros (E10).
  ///
  /// **Why it matters:** addr2line takes what stands there.
  /// **Catches:** a digit lost at the top; "0x" without a digit.
  @Test func numbers() {
    #expect(Self.text { $0.write(Int64.min) } == "\(Int64.min)")
    #expect(Self.text { $0.write(UInt64.max) } == "\(UInt64.max)")
    #expect(Self.text { $0.write(0) } == "0")
    var random = SplitMix(state: 1)
    var values: [UInt64] = [0, 1, 9, 10, 15, 16, 255, 256, 1 << 60, 1 << 63, .max]
    for bit: UInt64 in 0..<64 { values.append((1 << bit) &- 1) }
    for _ in 0..<50 { values.append(random.next() >> UInt64(random.below(64))) }
    for value in values {
      #expect(Self.text { $0.write(hexadecimal: value) } == String(value, radix: 16))
      let digits = String(value, radix: 16)
      for width in 1...16 {
        let padded = String(repeating: "0", count: max(0, width - digits.count)) + digits
        #expect(Self.text { $0.write(hexadecimal: value, digits: width) } == padded)
      }
    }
  }

  /// **Proves:** seconds have nine decimals, and durations for people the unit that fits, rounded
  /// to the nearest (E10).
  ///
  /// **Why it matters:** "1000.0 ms" is read twice, and a phase that "took 5.00 s of 4.99 s" looks
  /// late.
  /// **Catches:** a zero lost behind the point; the sign lost of what is less than a second; digits
  /// cut off; a rounding that reaches the next unit and stays in its own.
  @Test func durations() {
    let seconds: [(Int64, String)] = [
      (0, "0.000000000"), (1, "0.000000001"), (-1, "-0.000000001"), (1_000_000_000, "1.000000000"),
      (12_034_000_500, "12.034000500"), (.max, "9223372036.854775807"),
      (.min, "-9223372036.854775808"),
    ]
    for (number, text) in seconds { #expect(Self.text { $0.write(seconds: number) } == text) }
    let durations: [(Int64, String)] = [
      (0, "0 µs"), (499, "0 µs"), (500, "1 µs"), (1_000, "1 µs"), (999_499, "999 µs"),
      (999_500, "1.0 ms"), (1_000_000, "1.0 ms"), (12_345_678, "12.3 ms"),
      (12_350_000, "12.4 ms"), (999_949_999, "999.9 ms"), (999_950_000, "1.00 s"),
      (1_000_000_000, "1.00 s"), (4_567_000_000, "4.57 s"), (4_999_950_000, "5.00 s"),
      (4_004_999_999, "4.00 s"), (3_600_000_000_000, "3600.00 s"), (.max, "9223372036.85 s"),
      (-5_000, "0 µs"),
    ]
    for (number, text) in durations { #expect(Self.text { $0.write(duration: number) } == text) }
  }

  /// **Proves:** text longer than the buffer arrives complete and in order, wherever the buffer
  /// ends (E10).
  ///
  /// **Why it matters:** most reports are longer.
  /// **Catches:** the byte that does not fit dropped; a buffer written twice.
  @Test func longOutputIsWhole() {
    for length in [1023, 1024, 1025, 2047, 2048, 4095, 4096, 4097, 100_000] {
      let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31) }
      #expect(Self.written { writer in for byte in bytes { writer.write(byte: byte) } } == bytes)
    }
    for buffer in 1...9 {
      let file = TemporaryFile()
      let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: buffer)
      defer { memory.deallocate() }
      var writer = TextWriter(.descriptor(file.descriptor), memory)
      for number in 0..<500 {
        writer.write(number)
        writer.write(" é")
      }
      #expect(writer.close() == .ok)
      #expect(file.text == (0..<500).map { "\($0) é" }.joined(), "a buffer of \(buffer)")
    }
  }

  /// **Proves:** a failure is reported with its number, and nothing reaches the descriptor after
  /// it, whatever else is appended (E10).
  ///
  /// **Why it matters:** the end of a report behind a gap is worse than none.
  /// **Catches:** a failure forgotten when the next write succeeds; errno of a later call.
  @Test func aFailureIsTheEnd() {
    cp_set_errno(0)
    #expect(
      withTextWriter(.descriptor(-1)) { for _ in 0..<5000 { $0.write(byte: 0x61) } } == .system)
    #expect(cp_errno() == EBADF)
    let file = TemporaryFile()
    let full = open("/dev/full", O_WRONLY)
    let status = withTextWriter(.descriptor(full)) { writer in
      for _ in 0..<1025 { writer.write(byte: 0x61) }
      #expect(writer.failure == ENOSPC)
      // The descriptor works now.
      #expect(dup2(file.descriptor, full) == full)
      for _ in 0..<5000 { writer.write(byte: 0x62) }
    }
    #expect(status == .system && cp_errno() == ENOSPC)
    #expect(file.bytes.isEmpty)
    close(full)
  }

  /// **Proves:** a pipe without a reader is EPIPE without a signal; a signal that was pending
  /// before stays (E10).
  ///
  /// **Why it matters:** a report piped into `head` must not end the service; nor may the service's
  /// own SIGPIPE be lost.
  /// **Catches:** SIGPIPE left pending, or delivered when the mask is restored.
  @Test(arguments: [false, true]) func aBrokenPipeIsNoSignal(wasPending: Bool) {
    let outcome = Locked<(Status, Int32, Bool)?>(nil)
    PlainThread {
      var pipeOnly = sigset_t()
      sigemptyset(&pipeOnly)
      sigaddset(&pipeOnly, SIGPIPE)
      if wasPending {
        pthread_sigmask(SIG_BLOCK, &pipeOnly, nil)
        pthread_kill(pthread_self(), SIGPIPE)
      }
      var ends: [Int32] = [0, 0]
      #expect(pipe(&ends) == 0)
      close(ends[0])
      let status = withTextWriter(.descriptor(ends[1])) {
        for _ in 0..<5000 { $0.write(byte: 0x61) }
      }
      let error = cp_errno()
      var pending = sigset_t()
      sigpending(&pending)
      outcome.withLock { $0 = (status, error, sigismember(&pending, SIGPIPE) == 1) }
      var none = timespec()
      if wasPending { sigtimedwait(&pipeOnly, nil, &none) }
      close(ends[1])
    }.join()
    #expect(outcome.value?.0 == .system && outcome.value?.1 == EPIPE)
    #expect(outcome.value?.2 == wasPending)
  }

  /// **Proves:** a non-blocking pipe that is full is waited for (E10).
  ///
  /// **Why it matters:** standard error of a service often is one.
  /// **Catches:** EAGAIN taken for a failure.
  @Test func aFullPipeIsWaitedFor() {
    var ends: [Int32] = [0, 0]
    #expect(pipe(&ends) == 0)
    #expect(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0)
    let count = 300_000
    let end = ends[0]
    let read = Locked<Int>(0)
    let reader = PlainThread {
      var part = [UInt8](repeating: 0, count: 4000)
      while true {
        let count = Glibc.read(end, &part, part.count)
        if count <= 0 { return }
        read.withLock { $0 += count }
      }
    }
    #expect(
      withTextWriter(.descriptor(ends[1])) { for _ in 0..<count { $0.write(byte: 0x61) } } == .ok)
    close(ends[1])
    reader.join()
    close(ends[0])
    #expect(read.value == count)
  }
}
