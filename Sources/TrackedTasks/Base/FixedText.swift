import CPlatform

/// A line of text built in a fixed buffer, without allocation.
///
/// Text that does not fit is cut at a character boundary.
struct FixedText: ~Copyable {
  private let base: UnsafeMutablePointer<UInt8>
  private let capacity: Int
  /// How many bytes there are.
  private(set) var count = 0
  /// Whether some text did not fit.
  private(set) var isCut = false

  /// Builds in `buffer`, which has at least one byte and outlives the value.
  init(in buffer: UnsafeMutableBufferPointer<UInt8>) {
    base = buffer.baseAddress.unsafelyUnwrapped
    capacity = buffer.count
    base[0] = 0
  }

  /// The text so far, NUL-terminated.
  var text: UnsafePointer<UInt8> { UnsafePointer(base) }

  mutating func append(_ text: StaticString) { append(utf8: text.utf8Start) }

  /// Appends NUL-terminated text.
  ///
  /// The label keeps string literals away, which would become a `String`, and then a pointer.
  ///
  /// - Parameters:
  ///   - text: appended up to the first byte that is not UTF-8.
  ///   - limit: the most bytes of it that are used.
  mutating func append(utf8 text: UnsafePointer<UInt8>, limit: Int = .max) {
    let kept = UTF8Text.measure(text, limit: min(capacity - 1 - count, limit)).kept
    memcpy(base + count, text, kept)
    count += kept
    base[count] = 0
    if text[kept] != 0 { isCut = true }
  }

  mutating func append<Number: FixedWidthInteger>(_ number: Number) {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 24) { digits in
      var place = 23
      digits[place] = 0
      var rest = number.magnitude
      repeat {
        place -= 1
        digits[place] = UInt8(truncatingIfNeeded: rest % 10) &+ 48
        rest /= 10
      } while rest != 0
      if number < 0 {
        place -= 1
        digits[place] = 45
      }
      append(utf8: UnsafePointer(digits.baseAddress.unsafelyUnwrapped + place))
    }
  }

  /// Appends a duration for people: "350 µs", "12.3 ms", "4.56 s", rounded to the nearest.
  ///
  /// - Parameter nanoseconds: a negative duration is written as zero.
  mutating func append(duration nanoseconds: Int64) {
    let magnitude = max(0, nanoseconds)
    if magnitude < 999_500 {
      append((magnitude + 500) / 1_000)
      append(" µs")
    } else if magnitude < 999_950_000 {
      let tenths = (magnitude + 50_000) / 100_000
      append(tenths / 10)
      append(".")
      append(tenths % 10)
      append(" ms")
    } else {
      let hundredths = magnitude / 10_000_000 + (magnitude % 10_000_000 < 5_000_000 ? 0 : 1)
      append(hundredths / 100)
      append(".")
      append(hundredths / 10 % 10)
      append(hundredths % 10)
      append(" s")
    }
  }
}

/// Builds a line of at most 511 bytes on the stack and passes it to `body`.
///
/// The capacity is a constant, because otherwise the buffer would be on the heap. It is not
/// inlined: one copy of it is enough.
@inline(never)
func withFixedText(
  _ build: (inout FixedText) -> Void, _ body: (UnsafePointer<UInt8>) -> Void
) {
  withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 512) { buffer in
    var text = FixedText(in: buffer)
    build(&text)
    body(text.text)
  }
}
