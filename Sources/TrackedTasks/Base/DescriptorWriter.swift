import CPlatform

/// A buffered writer of text to a descriptor; it allocates nothing.
///
/// After an error nothing more is written; `finish` returns the error.
struct DescriptorWriter: ~Copyable {
  private let descriptor: Int32
  private let buffer: UnsafeMutableBufferPointer<UInt8>
  private var count = 0
  /// The error number of the first write that failed; 0 for none.
  private(set) var failure: Int32 = 0

  /// Writes through `buffer`, which outlives the value.
  init(_ descriptor: Int32, _ buffer: UnsafeMutableBufferPointer<UInt8>) {
    self.descriptor = descriptor
    self.buffer = buffer
  }

  // MARK: Unescaped

  @inline(never)
  mutating func write(byte: UInt8) {
    if count == buffer.count { flush() }
    buffer[count] = byte
    count += 1
  }

  @inline(never)
  mutating func write(_ text: StaticString) {
    for place in 0..<text.utf8CodeUnitCount { write(byte: text.utf8Start[place]) }
  }

  @inline(never)
  mutating func write<Number: FixedWidthInteger>(_ number: Number) {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 24) { digits in
      var line = FixedText(in: digits)
      line.append(number)
      write(characters: line.text)
    }
  }

  /// Writes NUL-terminated bytes.
  private mutating func write(characters text: UnsafePointer<UInt8>) {
    var place = 0
    while text[place] != 0 {
      write(byte: text[place])
      place += 1
    }
  }

  /// Writes a number in hexadecimal, with at least `digits` digits.
  @inline(never)
  mutating func write(hexadecimal number: UInt64, digits: Int = 1) {
    var shift = 60
    while shift > 0 && number >> UInt64(shift) == 0 && shift >= digits * 4 { shift -= 4 }
    while shift >= 0 {
      let digit = UInt8(truncatingIfNeeded: number >> UInt64(shift) & 15)
      write(byte: digit < 10 ? 48 + digit : 87 + digit)
      shift -= 4
    }
  }

  /// Writes nanoseconds as seconds, with nine decimal places.
  @inline(never)
  mutating func write(seconds nanoseconds: Int64) {
    if nanoseconds < 0 { write("-") }
    write(nanoseconds.magnitude / 1_000_000_000)
    write(fraction: nanoseconds.magnitude % 1_000_000_000)
  }

  /// Writes a point and nine digits, for nanoseconds that are less than a second.
  mutating func write(fraction nanoseconds: UInt64) {
    write(".")
    var rest = nanoseconds
    var unit: UInt64 = 100_000_000
    while unit > 0 {
      write(byte: 48 + UInt8(truncatingIfNeeded: rest / unit))
      rest %= unit
      unit /= 10
    }
  }

  /// Writes nanoseconds for people, as `FixedText.append(duration:)` does.
  @inline(never)
  mutating func write(duration nanoseconds: Int64) {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { buffer in
      var text = FixedText(in: buffer)
      text.append(duration: nanoseconds)
      write(characters: text.text)
    }
  }

  // MARK: Escaped

  /// Writes text for people.
  ///
  /// Control characters become `\\xHH`, so that no name starts a line of its own or controls a
  /// terminal; bytes that are not UTF-8 become U+FFFD.
  ///
  /// - Parameters:
  ///   - text: NUL-terminated.
  ///   - limit: the most bytes of it that are read.
  @inline(never)
  mutating func write(text: UnsafePointer<UInt8>, limit: Int = 255) {
    writeCharacters(text, limit) { writer, bytes, length in
      // C0, DEL and, in two bytes, C1.
      if length == 1 && (bytes[0] < 0x20 || bytes[0] == 0x7F) {
        writer.write("\\x")
        writer.write(hexadecimal: UInt64(bytes[0]), digits: 2)
        return true
      }
      if length == 2 && bytes[0] == 0xC2 && bytes[1] < 0xA0 {
        writer.write("\\x")
        writer.write(hexadecimal: UInt64(bytes[1]), digits: 2)
        return true
      }
      return false
    }
  }

  /// Writes a JSON string (RFC 8259, section 7), or null; bytes that are not UTF-8 become U+FFFD.
  @inline(never)
  mutating func write(json text: UnsafePointer<UInt8>?, limit: Int = 255) {
    guard let text else {
      write("null")
      return
    }
    write("\"")
    writeCharacters(text, limit) { writer, bytes, length in
      // C1, which terminals interpret.
      if length == 2 && bytes[0] == 0xC2 && bytes[1] < 0xA0 {
        writer.write("\\u")
        writer.write(hexadecimal: UInt64(bytes[1]), digits: 4)
        return true
      }
      if length != 1 { return false }
      switch bytes[0] {
      case 0x22: writer.write("\\\"")
      case 0x5C: writer.write("\\\\")
      case 0x0A: writer.write("\\n")
      case 0x09: writer.write("\\t")
      case 0x0D: writer.write("\\r")
      case 0..<0x20, 0x7F:
        writer.write("\\u")
        writer.write(hexadecimal: UInt64(bytes[0]), digits: 4)
      default: return false
      }
      return true
    }
    write("\"")
  }

  /// Writes the value of a label, without its quotation marks, as OpenMetrics requires it.
  ///
  /// Control characters, except for the end of a line, and bytes that are not UTF-8 are as in text
  /// for people.
  @inline(never)
  mutating func write(label text: UnsafePointer<UInt8>) {
    writeCharacters(text, 255) { writer, bytes, length in
      if length == 2 && bytes[0] == 0xC2 && bytes[1] < 0xA0 {
        writer.write("\\\\x")
        writer.write(hexadecimal: UInt64(bytes[1]), digits: 2)
        return true
      }
      if length != 1 { return false }
      switch bytes[0] {
      case 0x22: writer.write("\\\"")
      case 0x5C: writer.write("\\\\")
      case 0x0A: writer.write("\\n")
      case 0..<0x20, 0x7F:
        writer.write("\\\\x")
        writer.write(hexadecimal: UInt64(bytes[0]), digits: 2)
      default: return false
      }
      return true
    }
  }

  /// Writes text character by character.
  ///
  /// `escape` writes the characters that need escaping, and returns whether it wrote this one.
  private mutating func writeCharacters(
    _ text: UnsafePointer<UInt8>, _ limit: Int,
    escape: (inout DescriptorWriter, _ bytes: UnsafePointer<UInt8>, _ length: Int) -> Bool
  ) {
    var place = 0
    while text[place] != 0 && place < limit {
      let length = UTF8Text.characterLength(at: text + place)
      if place + length > limit { return }
      if length == 0 {
        write("\u{FFFD}")
        place += 1
        continue
      }
      if !escape(&self, text + place, length) {
        for offset in 0..<length { write(byte: text[place + offset]) }
      }
      place += length
    }
  }

  // MARK: The end

  private mutating func flush() {
    if failure == 0 {
      failure = cp_write_all(descriptor, buffer.baseAddress, count)
    }
    count = 0
  }

  /// Writes the rest of the buffer.
  ///
  /// - Returns: `.ok`; `.system` with errno set when a write failed.
  mutating func finish() -> Status {
    flush()
    if failure == 0 { return .ok }
    cp_set_errno(failure)
    return .system
  }
}

/// Lets `body` write to a descriptor, through a buffer on the stack.
///
/// A temporary allocation of more than 1024 bytes would be on the heap.
///
/// - Returns: the result of `finish`.
func withDescriptorWriter(_ descriptor: Int32, _ body: (inout DescriptorWriter) -> Void) -> Status {
  // write(2) is a cancellation point.
  withCancellationDisabled {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 1024) { buffer in
      var writer = DescriptorWriter(descriptor, buffer)
      body(&writer)
      return writer.finish()
    }
  }
}
