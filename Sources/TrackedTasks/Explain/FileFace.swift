import CPlatform

extension DescriptorFace {
  /// Something with a path: a file, a directory, a device, a terminal or a named pipe.
  ///
  /// The type is asked only where nothing can hang on it, without a question to a server of a
  /// network's file system.
  mutating func becomeFile(
    _ link: borrowing DescriptorLink, _ context: Context, _ budget: inout Int
  ) {
    let found =
      context.mayAsk
      ? ProbedProcess.with(descriptor: number) { cp_type_of_file($0) }
      : cp_file_type(type: 0, major: 0)
    switch found.type {
    case UInt32(S_IFIFO):
      becomePipe(link, path: true, context, &budget)
      return
    case UInt32(S_IFCHR) where Self.isTerminal(found.major):
      become(.terminal) { $0.append("terminal ") }
    case UInt32(S_IFCHR), UInt32(S_IFBLK):
      become(.device) { $0.append("device ") }
    default:
      become(.file) { _ in }
      isKindAssumed = found.type == 0
    }
    let kind = self.kind
    become(kind) { text in
      if kind == .terminal { text.append("terminal ") }
      if kind == .device { text.append("device ") }
      text.append(path: link)
    }
  }

  /// Whether a character device is a terminal: tty(4), the console, or a pseudo-terminal.
  private static func isTerminal(_ major: UInt32) -> Bool {
    major == 4 || major == 5 || (136...143).contains(major)
  }
}

extension FixedText {
  /// The most bytes of a path that are shown.
  static var longestPath: Int { 160 }

  /// Appends a path, escaped; of a long one the end, which says more than its beginning.
  mutating func append(path link: borrowing DescriptorLink) {
    var start = 0
    if link.length > Self.longestPath {
      start = link.length - Self.longestPath
      append("...")
    }
    link.withText { text in
      // Not from the middle of a character: at most three bytes continue one.
      var skipped = 0
      while start > 0 && skipped < 3 && text[start + skipped] & 0xC0 == 0x80 { skipped += 1 }
      append(escaped: text + start + skipped)
    }
  }
}
