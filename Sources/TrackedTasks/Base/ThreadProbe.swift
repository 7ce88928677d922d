import CPlatform

/// The state of one thread of this process at one moment, as Linux reports it (E1).
///
/// It is read from several files, one after the other, whose contents are generated as they are
/// read: they need not agree if the thread is running. Nothing is allocated, no lock is taken, and
/// the thread is not held up.
struct ThreadProbe {
  /// As in proc_pid_stat(5): 82 is 'R'; 0: not known.
  var schedulerState: UInt8 = 0
  /// The kernel function that the thread sleeps in; empty if it sleeps in none or that is not
  /// known.
  ///
  /// NUL-terminated, at most 46 bytes, which is the room in `tr_straggler`.
  var waitChannel = InlineArray<6, UInt64>(repeating: 0)
  /// The number of the system call it is in; -1: in none, or not known.
  var syscall: Int32 = -1
  /// CPU time it has used, in nanoseconds; -1: not known.
  var cpu: Int64 = -1
  /// The error number of the first of its files that could not be read; 0 for none.
  var failure: Int32 = 0

  /// Whether no descriptor was available to read the files.
  var isWithoutDescriptor: Bool { failure == EMFILE || failure == ENFILE }

  /// Reads the state of a thread.
  ///
  /// - Parameter threadID: the kernel's id; nothing is known of a thread that has ended.
  /// - Returns: what is known.
  ///
  /// *Concurrency:* any thread; opens and closes descriptors; does not change errno.
  static func at(threadID: Int32) -> ThreadProbe {
    var look = ThreadProbe()
    if threadID <= 0 { return look }
    // Opening and reading are cancellation points.
    withCancellationDisabled {
      look.cpu = ThreadClock.read(ofThread: threadID)
      let failures = (
        withFile("stat", of: threadID) { look.schedulerState = schedulerState(in: $0) },
        withFile("wchan", of: threadID) { look.waitChannel = waitChannel(in: $0) },
        withFile("syscall", of: threadID) { look.syscall = syscall(in: $0) }
      )
      look.failure =
        failures.0 != 0 ? failures.0 : failures.1 != 0 ? failures.1 : failures.2
    }
    return look
  }

  /// Passes the text of the wait channel to `body`, NUL-terminated.
  func withWaitChannel<Result>(_ body: (UnsafePointer<UInt8>) -> Result) -> Result {
    withUnsafeBytes(of: waitChannel) { bytes in
      // SAFETY: never empty, and the last byte is NUL.
      body(bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self))
    }
  }

  /// Whether a thread has blocked a signal, so that it would not answer; false if that is not
  /// known.
  ///
  /// *Concurrency:* as `at`.
  static func blocks(_ signal: Int32, threadID: Int32) -> Bool {
    guard signal >= 1, signal <= 64, let blocked = blockedSignals(threadID: threadID) else {
      return false
    }
    return blocked >> UInt64(signal - 1) & 1 != 0
  }

  /// The signals that a thread blocks, signal 1 as bit 0; nil if that is not known.
  ///
  /// *Concurrency:* as `at`.
  static func blockedSignals(threadID: Int32) -> UInt64? {
    withCancellationDisabled {
      // Too long for a temporary allocation, which would not be on the stack.
      var text = InlineArray<512, UInt64>(repeating: 0)
      return withUnsafeMutableBytes(of: &text) { bytes in
        bytes.withMemoryRebound(to: UInt8.self) { bytes in
          var blocked: UInt64?
          _ = read("status", of: threadID, into: bytes) { blocked = blockedSignals(in: $0) }
          return blocked
        }
      }
    }
  }

  /// Whether a thread that is still listed has ended, as a main thread may by pthread_exit(3).
  static func hasEnded(threadID: Int32) -> Bool {
    var state: UInt8 = 0
    withCancellationDisabled {
      _ = withFile("stat", of: threadID) { state = schedulerState(in: $0) }
    }
    return state == 0x5A || state == 0x58
  }

  /// The ids, capabilities and confinement of a thread, in one number; 0 if they are not known.
  static func privileges(threadID: Int32) -> UInt64 {
    withCancellationDisabled {
      var text = InlineArray<512, UInt64>(repeating: 0)
      return withUnsafeMutableBytes(of: &text) { bytes in
        bytes.withMemoryRebound(to: UInt8.self) { bytes in
          var digest: UInt64 = 0
          _ = read("status", of: threadID, into: bytes) { digest = privileges(in: $0) }
          return digest
        }
      }
    }
  }

  /// Reads the kernel's name of a thread.
  ///
  /// - Parameters:
  ///   - threadID: the kernel's id.
  ///   - name: gets the name, NUL-terminated; has more than 16 bytes.
  /// - Returns: false if the name is not known.
  ///
  /// *Concurrency:* as `at`.
  static func readName(ofThread threadID: Int32, into name: UnsafeMutableBufferPointer<UInt8>)
    -> Bool
  {
    var length = 0
    withCancellationDisabled {
      _ = read("comm", of: threadID, into: name) { length = min($0.count, name.count - 1) }
    }
    // The file ends with a line feed.
    if length > 0 && name[length - 1] == 0x0A { length -= 1 }
    name[length] = 0
    return length > 0
  }

  /// Passes the first bytes of a file of the thread's to `body`; none if it cannot be read.
  ///
  /// - Returns: 0, or the error number.
  private static func withFile(
    _ name: StaticString, of threadID: Int32, _ body: (UnsafeBufferPointer<UInt8>) -> Void
  ) -> Int32 {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { bytes in
      read(name, of: threadID, into: bytes, body)
    }
  }

  private static func read(
    _ name: StaticString, of threadID: Int32, into bytes: UnsafeMutableBufferPointer<UInt8>,
    _ body: (UnsafeBufferPointer<UInt8>) -> Void
  ) -> Int32 {
    var failure: Int32 = 0
    withFixedText { path in
      path.append("/proc/self/task/")
      path.append(threadID)
      path.append("/")
      path.append(name)
    } _: { path in
      // SAFETY: CChar and UInt8 have the same layout.
      let path = UnsafeRawPointer(path).assumingMemoryBound(to: CChar.self)
      let count = cp_read_file(path, bytes.baseAddress, bytes.count)
      body(UnsafeBufferPointer(rebasing: bytes[0..<max(0, count)]))
      if count < 0 { failure = Int32(truncatingIfNeeded: -count) }
    }
    return failure
  }
}

/// The parsers of the files: functions of their bytes only.
extension ThreadProbe {
  /// The state in the bytes of a `stat` file: the letter after the name; 0 if there is none.
  ///
  /// The name is in parentheses and may contain any characters, so it ends at the last closing
  /// parenthesis.
  static func schedulerState(in bytes: UnsafeBufferPointer<UInt8>) -> UInt8 {
    var place = bytes.count - 1
    while place >= 0 && bytes[place] != 0x29 { place -= 1 }
    guard place >= 0, place + 2 < bytes.count, bytes[place + 1] == 0x20 else { return 0 }
    let state = bytes[place + 2]
    return isLetter(state) ? state : 0
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

  /// The number in the bytes of a `syscall` file; -1 for "running" and "-1", or if it is cut.
  static func syscall(in bytes: UnsafeBufferPointer<UInt8>) -> Int32 {
    var number: Int32 = 0
    var place = 0
    while place < bytes.count, bytes[place] >= 0x30, bytes[place] <= 0x39 {
      let (product, isTooLarge) = number.multipliedReportingOverflow(by: 10)
      let (sum, isTooLargeNow) = product.addingReportingOverflow(Int32(bytes[place] - 0x30))
      if isTooLarge || isTooLargeNow { return -1 }
      number = sum
      place += 1
    }
    let isWhole = place > 0 && place < bytes.count && (bytes[place] == 0x20 || bytes[place] == 0x0A)
    return isWhole ? number : -1
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

  private static func hexadecimalValue(of digit: UInt8) -> UInt8 {
    switch digit {
    case 0x30...0x39: digit - 0x30
    case 0x41...0x46: digit - 0x37
    case 0x61...0x66: digit - 0x57
    default: 0
    }
  }

  private static func isLetter(_ byte: UInt8) -> Bool {
    byte >= 0x41 && byte <= 0x5A || byte >= 0x61 && byte <= 0x7A
  }
}
