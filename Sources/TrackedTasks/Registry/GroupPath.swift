/// The names of a group and of its ancestors except for the root registry: `net/peers`.
struct GroupPath {
  /// Text of at most `limit` bytes, and a NUL.
  private(set) var words: InlineArray<16, UInt64>
  /// Whether the path was too long; a cut path cannot be extended.
  private var isCut = false

  /// The most bytes a path keeps.
  static var limit: Int { 127 }

  /// Makes the path of a registry that is not a group.
  init() { words = InlineArray(repeating: 0) }

  /// Makes the path of a group; a path that is too long is cut at a character boundary.
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

  /// Makes a path of its whole text, cut where it is not UTF-8.
  init(whole text: UnsafePointer<UInt8>) {
    words = InlineArray(repeating: 0)
    withUnsafeMutableBytes(of: &words) { bytes in
      var path = FixedText(in: bytes.bindMemory(to: UInt8.self))
      path.append(utf8: text)
    }
  }

  /// The name of a group: valid as a task's name, and without a slash; nil if it is not.
  static func name(_ text: UnsafePointer<UInt8>) -> TaskName? {
    var place = 0
    while text[place] != 0 {
      if text[place] == 0x2F { return nil }
      place += 1
    }
    return TaskName(text)
  }

  var isEmpty: Bool { words[0] == 0 }

  /// Passes the path to `body` as a NUL-terminated string.
  func withText<Result>(_ body: (UnsafePointer<UInt8>) -> Result) -> Result {
    withUnsafeBytes(of: words) { bytes in
      // SAFETY: sixteen words of bytes, the last of which is NUL because at most 127 are ever set.
      body(bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self))
    }
  }
}
