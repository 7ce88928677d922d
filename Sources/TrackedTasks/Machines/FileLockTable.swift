/// What proc_locks(5) says: the locks of files that are held, each followed by those that wait for
/// it; a pure value, made of the text.
///
///     3: FLOCK  ADVISORY  WRITE 14226 fe:00:16220190 0 EOF
///     3: -> FLOCK  ADVISORY  WRITE 6303 fe:00:16220190 0 EOF
struct FileLockTable {
  /// Whole lines; what is behind the last newline does not count.
  let text: UnsafeBufferPointer<UInt8>

  /// A lock: of which kind, and of which file.
  struct Lock {
    let kind: Kind
    /// The numbers of the file's device.
    let major: UInt32
    let minor: UInt32
    let inode: UInt64
  }

  /// The kinds of locks that name the process which holds them.
  ///
  /// A lock of an open file names none.
  enum Kind {
    /// Of flock(2).
    case flock
    /// Of `F_SETLKW` of fcntl(2).
    case posix

    /// As the table has it.
    fileprivate var text: StaticString { self == .flock ? "FLOCK" : "POSIX" }
  }

  /// The process that holds the lock which a thread of process `waiter` waits for.
  ///
  /// - Returns: 0 if none is shown, if threads of that process wait for locks of several processes
  ///   of that kind on that file, or if the holder is of another namespace, or no process: a lock
  ///   of an open file.
  func holder(of lock: Lock, forWaiter waiter: Int32) -> Int32 {
    var found: Int32?
    var holder: Int32 = 0
    var start = 0
    for end in 0..<text.count where text[end] == UInt8(ascii: "\n") {
      var fields = Fields(text: text, place: start, end: end)
      start = end + 1
      _ = fields.next()
      let isWaiting = fields.skipArrow()
      let kind = fields.next()
      _ = (fields.next(), fields.next())
      let process = fields.next().flatMap { number(in: $0) } ?? 0
      if !isWaiting { holder = process }
      guard isWaiting, process == waiter, let kind, has(lock.kind.text, at: kind),
        let file = fields.next(), isFile(of: lock, file)
      else { continue }
      if let found, found != holder { return 0 }
      found = holder
    }
    return found ?? 0
  }

  private func has(_ expected: StaticString, at field: Range<Int>) -> Bool {
    if field.count != expected.utf8CodeUnitCount { return false }
    for place in 0..<field.count
    where text[field.lowerBound + place] != expected.utf8Start[place] { return false }
    return true
  }

  /// Whether a field is "fe:00:16220190", the numbers of the lock's file.
  @inline(never)
  private func isFile(of lock: Lock, _ field: Range<Int>) -> Bool {
    var parts = InlineArray<3, UInt64>(repeating: 0)
    var part = 0
    var digits = 0
    for place in field {
      if text[place] == UInt8(ascii: ":") {
        if part == 2 || digits == 0 { return false }
        part += 1
        digits = 0
        continue
      }
      let base: UInt64 = part < 2 ? 16 : 10
      guard let digit = digit(text[place]), digit < base else { return false }
      let (product, isTooLarge) = parts[part].multipliedReportingOverflow(by: base)
      let (sum, isStillTooLarge) = product.addingReportingOverflow(digit)
      if isTooLarge || isStillTooLarge { return false }
      parts[part] = sum
      digits += 1
    }
    return part == 2 && digits > 0 && parts[0] == UInt64(lock.major)
      && parts[1] == UInt64(lock.minor) && parts[2] == lock.inode
  }

  private func digit(_ byte: UInt8) -> UInt64? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt64(byte - UInt8(ascii: "0"))
    case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt64(byte - UInt8(ascii: "a")) + 10
    default: nil
    }
  }

  /// A positive number in decimal; 0 for everything else.
  private func number(in field: Range<Int>) -> Int32 {
    var value: Int32 = 0
    for place in field {
      let digit = text[place] &- UInt8(ascii: "0")
      if digit > 9 { return 0 }
      let (product, isTooLarge) = value.multipliedReportingOverflow(by: 10)
      if isTooLarge { return 0 }
      value = product &+ Int32(digit)
      if value < 0 { return 0 }
    }
    return value
  }

  /// The words of a line.
  private struct Fields {
    let text: UnsafeBufferPointer<UInt8>
    var place: Int
    let end: Int

    @inline(never)
    mutating func next() -> Range<Int>? {
      while place < end && text[place] == UInt8(ascii: " ") { place += 1 }
      let start = place
      while place < end && text[place] != UInt8(ascii: " ") { place += 1 }
      return start < place ? start..<place : nil
    }

    /// Skips "->" if that is the next word.
    mutating func skipArrow() -> Bool {
      var ahead = self
      guard let word = ahead.next(), word.count == 2, text[word.lowerBound] == UInt8(ascii: "-")
      else { return false }
      self = ahead
      return true
    }
  }
}
