import CPlatform

/// A thread of a core file, and what proc(5) would have said of it.
struct CoreThread {
  let facts: cp_core_thread

  var id: Int32 { facts.id }

  /// The CPU time that it had used, in nanoseconds; -1: not known, as in files that a debugger wrote.
  var processorTime: Int64 { facts.cpu == 0 ? -1 : facts.cpu }

  /// Writes what its file of a name would have had, so that the code that reads those of a live thread
  /// reads this.
  ///
  /// - Parameters:
  ///   - name: of the file.
  ///   - core: whose thread it is.
  ///   - bytes: where it is written.
  /// - Returns: how many bytes there are, or a negative error number for a file that a core has not.
  func write(
    _ name: StaticString, of core: CoreFile, to bytes: UnsafeMutableBufferPointer<UInt8>
  ) -> Int {
    if bytes.isEmpty { return 0 }
    var text = FixedText(in: bytes)
    if Self.isSame(name, "syscall") {
      writeCall(to: &text)
    } else if Self.isSame(name, "stat") {
      // Its state is not in the file: in a system call it slept, or it ran.
      text.append(id)
      text.append(" (): ) ")
      text.append(facts.place == 3 ? "S " : facts.place == 0 ? "? " : "R ")
    } else if Self.isSame(name, "wchan") {
      text.append("0")
    } else if Self.isSame(name, "comm"), id == core.notes.process {
      // That of the main thread is the process's.
      core.notes.name.withUnsafeBufferPointer {
        if let name = $0.baseAddress { text.append(utf8: name) }
      }
      text.append("\n")
    } else {
      return Int(-ENOENT)
    }
    return text.count
  }

  private func writeCall(to text: inout FixedText) {
    switch facts.place {
    case 1: return text.append("running\n")
    case 2:
      text.append("-1")
      append(6, to: &text)
      append(7, to: &text)
    case 3:
      text.append(facts.call)
      for place in 0..<8 { append(place, to: &text) }
    default: return
    }
    text.append("\n")
  }

  private func append(_ place: Int, to text: inout FixedText) {
    let word = withUnsafeBytes(of: facts.words) {
      $0.load(fromByteOffset: place * 8, as: UInt64.self)
    }
    text.append(" 0x")
    text.append(hexadecimal: word)
  }

  private static func isSame(_ one: StaticString, _ other: StaticString) -> Bool {
    one.utf8CodeUnitCount == other.utf8CodeUnitCount
      && memcmp(one.utf8Start, other.utf8Start, one.utf8CodeUnitCount) == 0
  }
}

extension FixedText {
  /// Appends a number with as many hexadecimal digits as it has.
  mutating func append(hexadecimal number: UInt64) {
    var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
    withUnsafeMutableBytes(of: &digits) { bytes in
      var place = 23
      var rest = number
      repeat {
        place -= 1
        let digit = UInt8(truncatingIfNeeded: rest & 15)
        bytes[place] = digit < 10 ? digit + 0x30 : digit + 0x57
        rest >>= 4
      } while rest != 0
      // SAFETY: never empty, and the last byte is NUL.
      let text = bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self)
      append(utf8: UnsafePointer(text + place))
    }
  }
}
