import CPlatform

/// What `/proc/self/task/ID/fd/N` points to: a path, or "socket:[4711]".
///
/// The bytes are whatever the one who made the file chose, but for a NUL.
struct DescriptorLink: ~Copyable {
  /// How many bytes there are; a negative error number if it could not be read.
  private(set) var length = 0
  private var words = InlineArray<512, UInt64>(repeating: 0)

  init() {}

  /// Reads the link of a descriptor.
  ///
  /// - Parameters:
  ///   - number: the descriptor.
  ///   - threadID: in whose table; 0: the examiner's (`ProbedProcess`).
  mutating func read(_ number: Int32, ofThread threadID: Int32) {
    withFixedText {
      DescriptorLink.appendPath("/fd/", number, threadID, to: &$0)
    } _: { path in
      // SAFETY: CChar and UInt8 have the same layout.
      let path = UnsafeRawPointer(path).assumingMemoryBound(to: CChar.self)
      withUnsafeMutableBytes(of: &words) { bytes in
        // One byte less: the text ends in NUL.
        length = cp_read_link(path, bytes.baseAddress, bytes.count - 1)
        if length >= 0 { bytes[length] = 0 }
      }
      // The kernel itself gives no longer path than a page, so this one was cut.
      if length == 4095 { length = Int(-ENAMETOOLONG) }
    }
  }

  /// Appends the path of a descriptor's entry in one of the folders of a thread.
  static func appendPath(
    _ folder: StaticString, _ number: Int32, _ threadID: Int32, to path: inout FixedText
  ) {
    if threadID == 0 {
      ProbedProcess.appendTable(to: &path)
    } else {
      ProbedProcess.append(thread: threadID, to: &path)
    }
    path.append(folder)
    path.append(number)
  }

  /// Passes the bytes to `body`, NUL-terminated.
  func withText<Result>(_ body: (UnsafePointer<UInt8>) -> Result) -> Result {
    withUnsafeBytes(of: words) { bytes in
      // SAFETY: never empty.
      body(bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self))
    }
  }

  func starts(with text: StaticString) -> Bool {
    length >= text.utf8CodeUnitCount
      && withText { memcmp($0, text.utf8Start, text.utf8CodeUnitCount) == 0 }
  }

  static func == (one: borrowing DescriptorLink, other: borrowing DescriptorLink) -> Bool {
    let length = one.length
    if length != other.length { return false }
    if length <= 0 { return true }
    return one.withText { one in other.withText { memcmp(one, $0, length) == 0 } }
  }

  static func != (one: borrowing DescriptorLink, other: borrowing DescriptorLink) -> Bool {
    !(one == other)
  }
}
