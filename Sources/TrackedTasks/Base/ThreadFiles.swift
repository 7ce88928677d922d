import CPlatform

/// The parsers of the files that a probe reads: functions of their bytes only.
extension ThreadProbe {
  /// The state in the bytes of a `stat` file: the letter after the name; 0 if there is none.
  static func schedulerState(in bytes: UnsafeBufferPointer<UInt8>) -> UInt8 {
    guard let place = endOfName(in: bytes), place + 2 < bytes.count, bytes[place + 1] == 0x20
    else { return 0 }
    let state = bytes[place + 2]
    return isLetter(state) ? state : 0
  }

  /// Where the name ends in the bytes of a `stat` file: at the last closing parenthesis, as it may
  /// have any characters.
  private static func endOfName(in bytes: UnsafeBufferPointer<UInt8>) -> Int? {
    var place = bytes.count - 1
    while place >= 0 && bytes[place] != 0x29 { place -= 1 }
    return place < 0 ? nil : place
  }

  /// The kernel's flags in the bytes of a `stat` file (PF_…): the seventh number or letter after the
  /// name; nil if they are not there whole.
  static func flags(in bytes: UnsafeBufferPointer<UInt8>) -> UInt64? {
    guard var place = endOfName(in: bytes) else { return nil }
    for _ in 0..<7 {
      while place < bytes.count && bytes[place] != 0x20 { place += 1 }
      place += 1
    }
    var number: UInt64 = 0
    let start = place
    while place < bytes.count, bytes[place] >= 0x30, bytes[place] <= 0x39, number < 1 << 40 {
      number = number * 10 + UInt64(bytes[place] - 0x30)
      place += 1
    }
    return place > start && place < bytes.count && bytes[place] == 0x20 ? number : nil
  }

  /// The name in the bytes of a `wchan` file, where "0" stands for none.
  static func waitChannel(in bytes: UnsafeBufferPointer<UInt8>) -> InlineArray<6, UInt64> {
    var text = InlineArray<6, UInt64>(repeating: 0)
    if bytes.isEmpty || bytes[0] == 0x30 { return text }
    withUnsafeMutableBytes(of: &text) { text in
      var place = 0
      // Ends at the first byte that is not part of a name: such a function has only printable
      // characters.
      while place < min(bytes.count, 46) && bytes[place] > 0x20 && bytes[place] < 0x7F {
        text[place] = bytes[place]
        place += 1
      }
    }
    return text
  }

  /// The second number of a `schedstat` file: time on a run queue, in nanoseconds; -1 if it is not
  /// there whole.
  static func runQueue(in bytes: UnsafeBufferPointer<UInt8>) -> Int64 {
    var place = 0
    _ = number(in: bytes, at: &place, before: 0x20)
    return number(in: bytes, at: &place, before: 0x20) ?? -1
  }

  /// The sum of the first and third number of a `schedstat` file: CPU time in nanoseconds, and how
  /// often the thread was given a processor; -1 if they are not there whole, or no such times are
  /// counted.
  ///
  /// Neither ever decreases.
  static func runMark(in bytes: UnsafeBufferPointer<UInt8>) -> Int64 {
    var place = 0
    guard let time = number(in: bytes, at: &place, before: 0x20),
      number(in: bytes, at: &place, before: 0x20) != nil,
      let runs = number(in: bytes, at: &place, before: 0x0A), runs > 0
    else { return -1 }
    return (time &+ runs) & .max
  }

  /// The number in decimal at a place, which is moved behind `end`; nil if `end` does not follow it,
  /// or it is too large.
  private static func number(
    in bytes: UnsafeBufferPointer<UInt8>, at place: inout Int, before end: UInt8
  ) -> Int64? {
    let start = place
    var number: Int64? = 0
    while place < bytes.count, bytes[place] >= 0x30, bytes[place] <= 0x39 {
      if let before = number {
        let (product, isTooLarge) = before.multipliedReportingOverflow(by: 10)
        let (sum, isTooLargeNow) = product.addingReportingOverflow(Int64(bytes[place] - 0x30))
        number = isTooLarge || isTooLargeNow ? nil : sum
      }
      place += 1
    }
    guard place > start, place < bytes.count, bytes[place] == end else {
      place = bytes.count
      return nil
    }
    place += 1
    return number
  }

  /// What the bytes of a `syscall` file say; unknown if they are cut or not of its form.
  ///
  /// It is "running", or "-1", the stack pointer and the instruction, or the number of the system
  /// call, six arguments, the stack pointer and the instruction.
  static func call(in bytes: UnsafeBufferPointer<UInt8>) -> SystemCall {
    var call = SystemCall()
    if startsWith("running\n", bytes) {
      call.place = .running
      return call
    }
    if startsWith("-1 ", bytes) {
      call.place = .outside
      return call
    }
    var place = 0
    var number: Int32 = 0
    while place < bytes.count, bytes[place] >= 0x30, bytes[place] <= 0x39 {
      let (product, isTooLarge) = number.multipliedReportingOverflow(by: 10)
      let (sum, isTooLargeNow) = product.addingReportingOverflow(Int32(bytes[place] - 0x30))
      if isTooLarge || isTooLargeNow { return SystemCall() }
      number = sum
      place += 1
    }
    if place == 0 { return SystemCall() }
    for index in 0..<8 {
      guard place + 2 < bytes.count, bytes[place] == 0x20, bytes[place + 1] == 0x30,
        bytes[place + 2] == 0x78
      else { return SystemCall() }
      place += 3
      let start = place
      var word: UInt64 = 0
      while place < bytes.count, let digit = hexadecimalDigit(bytes[place]) {
        word = word << 4 | UInt64(digit)
        place += 1
      }
      if place == start || place - start > 16 { return SystemCall() }
      call.words[index] = word
    }
    guard place < bytes.count, bytes[place] == 0x0A else { return SystemCall() }
    call.number = number
    call.place = .inside
    return call
  }

  private static func startsWith(_ text: StaticString, _ bytes: UnsafeBufferPointer<UInt8>) -> Bool
  {
    let length = text.utf8CodeUnitCount
    if bytes.count < length { return false }
    for index in 0..<length where bytes[index] != text.utf8Start[index] { return false }
    return true
  }

  /// Whether the bytes of a `status` file say that a signal is blocked; false if they do not say.
  static func blocks(_ signal: Int32, in bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    guard signal >= 1, signal <= 64, let blocked = blockedSignals(in: bytes) else { return false }
    return blocked >> UInt64(signal - 1) & 1 != 0
  }

  /// The signals that are blocked by the bytes of a `status` file; nil if they do not say.
  ///
  /// The line is "SigBlk:", a tab and 16 hexadecimal digits, whose lowest bit is signal 1.
  static func blockedSignals(in bytes: UnsafeBufferPointer<UInt8>) -> UInt64? {
    let title: StaticString = "\nSigBlk:\t"
    let length = title.utf8CodeUnitCount
    guard bytes.count >= length + 16 else { return nil }
    for start in 0...(bytes.count - length - 16) {
      var place = 0
      while place < length && bytes[start + place] == title.utf8Start[place] { place += 1 }
      if place < length { continue }
      var blocked: UInt64 = 0
      for digit in 0..<16 {
        blocked = blocked << 4 | UInt64(hexadecimalValue(of: bytes[start + length + digit]))
      }
      return blocked
    }
    return nil
  }

  /// A hash of the lines Uid, Gid, Cap…, NoNewPrivs and Seccomp… in the bytes of a `status` file.
  ///
  /// It is 0 if the last of the ids and capabilities is missing.
  static func privileges(in bytes: UnsafeBufferPointer<UInt8>) -> UInt64 {
    var digest = cp_hash_start()
    var start = 0
    var ambientIsThere = false
    while start + 6 < bytes.count {
      var end = start
      while end < bytes.count && bytes[end] != 0x0A { end += 1 }
      let title = (bytes[start], bytes[start + 1], bytes[start + 2])
      switch title {
      // Uid, Gid, Cap, NoN, Sec
      case (0x55, 0x69, 0x64), (0x47, 0x69, 0x64), (0x43, 0x61, 0x70), (0x4E, 0x6F, 0x4E),
        (0x53, 0x65, 0x63):
        for place in start..<end { digest = (digest ^ UInt64(bytes[place])) &* 1_099_511_628_211 }
        // CapAmb comes after all other capabilities.
        if title.0 == 0x43 && bytes[start + 3] == 0x41 { ambientIsThere = true }
      default: break
      }
      start = end + 1
    }
    return ambientIsThere ? digest : 0
  }

  private static func hexadecimalValue(of digit: UInt8) -> UInt8 { hexadecimalDigit(digit) ?? 0 }

  private static func hexadecimalDigit(_ digit: UInt8) -> UInt8? {
    switch digit {
    case 0x30...0x39: digit - 0x30
    case 0x41...0x46: digit - 0x37
    case 0x61...0x66: digit - 0x57
    default: nil
    }
  }

  private static func isLetter(_ byte: UInt8) -> Bool {
    byte >= 0x41 && byte <= 0x5A || byte >= 0x61 && byte <= 0x7A
  }
}
