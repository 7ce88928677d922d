import CPlatform

/// Where a text goes.
enum TextSink {
  /// To a descriptor that is open for writing; after the deadline, nothing more.
  case descriptor(Int32, until: Deadline = .never)

  /// To memory of the caller's, as snprintf(3) writes: at most `capacity` - 1 bytes and a NUL.
  ///
  /// `memory` is nil if only the length is wanted. `length` gets the bytes of the whole text,
  /// without the NUL.
  case memory(
    UnsafeMutablePointer<UInt8>?, capacity: Int, length: UnsafeMutablePointer<Int>)
}

/// A writer of text to a descriptor or to memory of the caller's; it allocates nothing.
///
/// Text for a descriptor goes through a buffer, which is written whenever it is full. After an
/// error nothing more is written; `close` returns the error. Text for memory is put there directly.
/// When the memory is full, what follows goes to the buffer, and is only counted.
struct TextWriter: ~Copyable {
  private let sink: TextSink
  /// Holds what is on its way to a descriptor, or what the caller's memory has no room for.
  private let buffer: UnsafeMutableBufferPointer<UInt8>
  /// Where the next bytes are put: `buffer`, or the caller's memory.
  private var room: UnsafeMutableBufferPointer<UInt8>
  /// How many bytes are in `room`.
  private var count = 0
  /// How many bytes were in `room` whenever it was full, in total.
  private var flushed = 0
  /// The error number of the first write that failed; 0 for none.
  private(set) var failure: Int32 = 0

  /// Writes through `buffer`, which is not empty and outlives the value.
  init(_ sink: TextSink, _ buffer: UnsafeMutableBufferPointer<UInt8>) {
    self.sink = sink
    self.buffer = buffer
    room = buffer
    if case .memory(let memory?, let capacity, _) = sink, capacity > 1 {
      room = UnsafeMutableBufferPointer(start: memory, count: capacity - 1)
    }
  }

  // MARK: Unescaped

  @inline(never)
  mutating func write(byte: UInt8) {
    if count == room.count { flush() }
    room[count] = byte
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
    escape: (inout TextWriter, _ bytes: UnsafePointer<UInt8>, _ length: Int) -> Bool
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
    if case .descriptor(let descriptor, let limit) = sink, failure == 0 {
      failure = cp_write_until(descriptor, room.baseAddress, count, limit.nanoseconds)
    }
    flushed += count
    count = 0
    room = buffer
  }

  /// Writes what is left, or ends the text in the caller's memory.
  ///
  /// - Returns: `.ok`; `.system` with errno set when a write failed; `.truncated` when the caller's
  ///   memory has not got all of the text.
  mutating func close() -> Status {
    flush()
    switch sink {
    case .descriptor:
      if failure == 0 { return .ok }
      cp_set_errno(failure)
      return .system
    case .memory(let memory, let capacity, let length):
      length.pointee = flushed
      guard let memory else { return .ok }
      if capacity > 0 { memory[Self.kept(of: flushed, in: memory, capacity)] = 0 }
      return flushed < capacity ? .ok : .truncated
    }
  }

  /// How many bytes of a text of `length` bytes stay in `memory`: no character is cut.
  private static func kept(
    of length: Int, in memory: UnsafeMutablePointer<UInt8>, _ capacity: Int
  ) -> Int {
    if length < capacity { return length }
    var start = capacity - 1
    memory[start] = 0  // characterLength(at:) reads no further
    while start > 0 {
      start -= 1
      if memory[start] & 0xC0 != 0x80 { break }
    }
    return UTF8Text.characterLength(at: memory + start) == 0 ? start : capacity - 1
  }
}

/// Lets `body` write to a descriptor or to memory, through a buffer on the stack.
///
/// A temporary allocation of more than 1024 bytes would be on the heap.
///
/// - Returns: the result of `close`.
func withTextWriter(_ sink: TextSink, _ body: (inout TextWriter) -> Void) -> Status {
  // write(2) is a cancellation point.
  withCancellationDisabled {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 1024) { buffer in
      var writer = TextWriter(sink, buffer)
      body(&writer)
      return writer.close()
    }
  }
}
