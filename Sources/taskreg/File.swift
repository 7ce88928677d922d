import CPlatform

/// Whole small files, mostly those of proc(5).
enum File {
  /// Reads the first bytes of a file; none if it cannot be read.
  static func read(_ path: UnsafePointer<UInt8>, most: Int) -> [UInt8] {
    readOrFail(path, most: most).bytes
  }

  /// The same, with the error number if it cannot be read.
  static func readOrFail(
    _ path: UnsafePointer<UInt8>, most: Int
  ) -> (bytes: [UInt8], error: Int32) {
    // Files of proc(5) do not tell their sizes.
    var room = min(most, 4096)
    while true {
      var bytes = [UInt8](repeating: 0, count: room)
      let count = bytes.withUnsafeMutableBytes {
        cp_read_file(
          UnsafeRawPointer(path).assumingMemoryBound(to: CChar.self), $0.baseAddress, room)
      }
      if count < 0 { return ([], Int32(truncatingIfNeeded: -count)) }
      if count < room || room == most {
        bytes.removeLast(room - count)
        return (bytes, 0)
      }
      room = min(most, room * 4)
    }
  }

  /// Whether there is such a file, of whatever kind.
  static func exists(_ path: UnsafePointer<UInt8>) -> Bool {
    path.withMemoryRebound(to: CChar.self, capacity: 1) { access($0, F_OK) == 0 }
  }
}

/// What the lines of such files have.
extension [UInt8] {
  /// The number in decimal at a place, behind blanks; nil if there is none, or it is too large.
  func number(at start: Int) -> UInt64? {
    var place = start
    while place < count && (self[place] == 0x20 || self[place] == 0x09) { place += 1 }
    let first = place
    var number: UInt64 = 0
    while place < count, self[place] >= 0x30, self[place] <= 0x39 {
      let (product, isTooLarge) = number.multipliedReportingOverflow(by: 10)
      let (sum, isTooLargeNow) = product.addingReportingOverflow(UInt64(self[place] - 0x30))
      if isTooLarge || isTooLargeNow { return nil }
      number = sum
      place += 1
    }
    return place > first ? number : nil
  }

  /// The number in hexadecimal at a place, which is moved behind it; nil if there is none.
  func hexadecimal(at place: inout Int) -> UInt64? {
    let first = place
    var number: UInt64 = 0
    while place < count && place < first + 16 {
      switch self[place] {
      case 0x30...0x39: number = number << 4 | UInt64(self[place] - 0x30)
      case 0x61...0x66: number = number << 4 | UInt64(self[place] - 0x57)
      default: return place > first ? number : nil
      }
      place += 1
    }
    return place > first ? number : nil
  }

  /// The place behind the first line's beginning `title`; nil if no line begins so.
  func end(ofLine title: StaticString) -> Int? {
    let length = title.utf8CodeUnitCount
    var start = 0
    while start + length <= count {
      var same = 0
      while same < length && self[start + same] == title.utf8Start[same] { same += 1 }
      if same == length { return start + length }
      while start < count && self[start] != 0x0A { start += 1 }
      start += 1
    }
    return nil
  }
}
