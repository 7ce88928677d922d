/// The names of a group and of those above it, but for the topmost registry, which has none:
/// `net/peers`.
struct GroupPath {
  /// Text of at most `limit` bytes and a NUL.
  private(set) var words: InlineArray<16, UInt64>
  /// Whether it was too long: nothing can follow what was cut.
  private var isCut = false

  /// The most bytes a path keeps.
  static var limit: Int { 127 }

  /// The path of a registry that is no group.
  init() { words = InlineArray(repeating: 0) }

  /// The path of a group; what is too long is cut at a character.
  init(below path: GroupPath, _ name: TaskName) {
    if path.isCut {
      self = path
      return
    }
    words = InlineArray(repeating: 0)
    isCut = withUnsafeMutableBytes(of: &words) { bytes in
      var text = FixedText(in: bytes.bindMemory(to: UInt8.self))
      if !path.isEmpty {
        path.withText { text.append(utf8: $0) }
        text.append("/")
      }
      name.withText { text.append(utf8: $0) }
      return text.isCut
    }
  }

  /// The name of a group: as that of a task, but without a slash; nil if it is none.
  static func name(_ text: UnsafePointer<UInt8>) -> TaskName? {
    var place = 0
    while text[place] != 0 {
      if text[place] == 0x2F { return nil }
      place += 1
    }
    return TaskName(text)
  }

  var isEmpty: Bool { words[0] == 0 }

  /// Hands the path to `body` as a NUL-terminated string.
  func withText<Result>(_ body: (UnsafePointer<UInt8>) -> Result) -> Result {
    withUnsafeBytes(of: words) { bytes in
      // SAFETY: sixteen words of bytes, the last of which is NUL because at most 127 are ever set.
      body(bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self))
    }
  }
}
