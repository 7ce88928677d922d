import CPlatform

extension DescriptorFace {
  /// A file that has no name: an eventfd, a timerfd, an epoll instance.
  mutating func becomeAnonymous(_ link: borrowing DescriptorLink, _ context: Context) {
    if link.starts(with: "anon_inode:[eventfd]") {
      become(.eventfd) { $0.append("eventfd") }
      withFacts(context) { text, face in
        if let count = Self.number(after: "eventfd-count:", in: text, base: 16) {
          face.write {
            $0.append("eventfd, counter ")
            $0.append(count)
          }
        }
      }
    } else if link.starts(with: "anon_inode:[timerfd]") {
      become(.timerfd) { $0.append("timerfd") }
      withFacts(context) { text, face in
        if let due = Self.timerDue(in: text) { face.write { $0.append(timerDue: due) } }
      }
    } else if link.starts(with: "anon_inode:[eventpoll]") {
      becomeCounted(.epoll, "epoll", " of ", "tfd:", "descriptor", context)
    } else if link.starts(with: "anon_inode:inotify") {
      becomeCounted(.inotify, "inotify", " with ", "inotify wd:", "watch", context)
    } else if link.starts(with: "anon_inode:[signalfd]") {
      become(.signalfd) { $0.append("signalfd") }
    } else {
      become(.other) { text in link.withText { text.append(escaped: $0) } }
    }
  }

  /// Passes the first bytes of the descriptor's `fdinfo` to `body`; if it cannot be read, the text
  /// stays as it is.
  private mutating func withFacts(
    _ context: Context, _ body: (UnsafeBufferPointer<UInt8>, inout DescriptorFace) -> Void
  ) {
    var count = 0
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 512) { bytes in
      withPath(of: number, context) { count = cp_read_file($0, bytes.baseAddress, bytes.count) }
      if count > 0 { body(UnsafeBufferPointer(rebasing: bytes[0..<count]), &self) }
    }
  }

  private func withPath(
    of number: Int32, _ context: Context, _ body: (UnsafePointer<CChar>) -> Void
  ) {
    withFixedText {
      DescriptorLink.appendPath("/fdinfo/", number, context.threadID, to: &$0)
    } _: {
      // SAFETY: CChar and UInt8 have the same layout.
      body(UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
    }
  }

  /// Something that is described by how many lines of its `fdinfo` start in a certain way.
  private mutating func becomeCounted(
    _ kind: Kind, _ name: StaticString, _ joint: StaticString, _ start: StaticString,
    _ unit: StaticString, _ context: Context
  ) {
    var count: Int32 = -1
    var isCut = false
    if context.mayAsk || !context.isOwn {
      withPath(of: number, context) { path in
        start.utf8Start.withMemoryRebound(to: CChar.self, capacity: start.utf8CodeUnitCount + 1) {
          count = cp_count_lines(path, $0, &isCut)
        }
      }
    }
    become(kind) { text in
      text.append(name)
      if count < 0 { return }
      text.append(joint)
      text.append(count)
      if isCut { text.append(" or more") }
      text.append(" ")
      text.append(unit)
      if count != 1 { text.append(kind == .inotify ? "es" : "s") }
    }
  }
}

extension FixedText {
  /// Appends when a timerfd is due: "timerfd, due in 1.20 s".
  fileprivate mutating func append(timerDue nanoseconds: Int64) {
    append("timerfd, ")
    if nanoseconds == 0 {
      append("not armed, or due already")
    } else {
      append("due in ")
      append(duration: nanoseconds)
    }
  }
}

/// The parsers of `fdinfo`: functions of their bytes only.
extension DescriptorFace {
  /// Reads the number that follows `title` and white space.
  ///
  /// - Parameters:
  ///   - title: what is in front of it.
  ///   - bytes: a file, or its beginning.
  ///   - base: 10 or 16.
  /// - Returns: the number; nil if there is none, or it is too large, or may be cut.
  static func number(
    after title: StaticString, in bytes: UnsafeBufferPointer<UInt8>, base: UInt64
  ) -> UInt64? {
    guard var place = end(of: title, in: bytes) else { return nil }
    while place < bytes.count && (bytes[place] == 0x20 || bytes[place] == 0x09) { place += 1 }
    var number: UInt64 = 0
    let start = place
    while place < bytes.count, let digit = digit(bytes[place], base) {
      let (product, isTooLarge) = number.multipliedReportingOverflow(by: base)
      let (sum, isTooLargeNow) = product.addingReportingOverflow(digit)
      if isTooLarge || isTooLargeNow { return nil }
      number = sum
      place += 1
    }
    // A number at the end of the bytes may be cut.
    return place > start && place < bytes.count ? number : nil
  }

  /// When a timerfd is due, in nanoseconds from now; 0: it is not armed; nil: not known.
  ///
  /// The line is "it_value: (1, 200000000)".
  static func timerDue(in bytes: UnsafeBufferPointer<UInt8>) -> Int64? {
    guard let seconds = number(after: "it_value: (", in: bytes, base: 10),
      let place = end(of: "it_value: (", in: bytes)
    else { return nil }
    let rest = UnsafeBufferPointer(rebasing: bytes[place...])
    guard let nanoseconds = number(after: ", ", in: rest, base: 10), nanoseconds < 1_000_000_000
    else { return nil }
    let (product, isTooLarge) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    if isTooLarge { return .max }
    let (due, isTooLong) = Int64(clamping: product).addingReportingOverflow(Int64(nanoseconds))
    return isTooLong ? .max : due
  }

  private static func end(of title: StaticString, in bytes: UnsafeBufferPointer<UInt8>) -> Int? {
    let length = title.utf8CodeUnitCount
    if bytes.count < length { return nil }
    for start in 0...(bytes.count - length) {
      var place = 0
      while place < length && bytes[start + place] == title.utf8Start[place] { place += 1 }
      if place == length { return start + length }
    }
    return nil
  }

  private static func digit(_ byte: UInt8, _ base: UInt64) -> UInt64? {
    switch byte {
    case 0x30...0x39: UInt64(byte - 0x30)
    case 0x61...0x66 where base == 16: UInt64(byte - 0x57)
    default: nil
    }
  }
}
