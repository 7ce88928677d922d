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
  /// The same with its arguments, and where it was made.
  var call = SystemCall()
  /// What it waits for; see `findEdge`.
  var edge = WaitEdge.unknown(.unread)
  /// CPU time it has used, in nanoseconds; -1: not known.
  var cpu: Int64 = -1
  /// A number that changes whenever it runs (`hasRun`); -1: not known.
  var runMark: Int64 = -1
  /// How long it has waited for a processor since it began, in nanoseconds; -1: not known.
  var runQueue: Int64 = -1
  /// The error number of the first of its files that could not be read; 0 for none.
  var failure: Int32 = 0

  /// The name of the system call it is in; nil if it is in none, or in one without a known name.
  var syscallName: UnsafePointer<UInt8>? {
    // SAFETY: CChar and UInt8 have the same layout; the text is static.
    cp_syscall_name(syscall).map { UnsafeRawPointer($0).assumingMemoryBound(to: UInt8.self) }
  }

  /// Whether no descriptor was available to read the files.
  var isWithoutDescriptor: Bool { failure == EMFILE || failure == ENFILE }

  /// Reads the state of a thread.
  ///
  /// - Parameter threadID: the kernel's id; nothing is known of a thread that has ended.
  /// - Returns: what is known.
  ///
  /// *Concurrency:* any thread; opens and closes descriptors; does not change errno.
  static func at(threadID: Int32) -> ThreadProbe {
    var probe = ThreadProbe()
    if threadID <= 0 { return probe }
    // Opening and reading are cancellation points.
    withCancellationDisabled {
      // Before all else: if it is the same afterwards, what was read is of one sleep. Not all kernels
      // have the file: its absence is not a failure.
      _ = withFile("schedstat", of: threadID) {
        probe.runMark = runMark(in: $0)
        probe.runQueue = runQueue(in: $0)
      }
      probe.cpu = ProbedProcess.processorTime(ofThread: threadID)
      let failures = (
        withFile("stat", of: threadID) { probe.schedulerState = schedulerState(in: $0) },
        withFile("wchan", of: threadID) { probe.waitChannel = waitChannel(in: $0) },
        withFile("syscall", of: threadID) { probe.call = call(in: $0) }
      )
      probe.syscall = probe.call.number
      probe.failure =
        failures.0 != 0 ? failures.0 : failures.1 != 0 ? failures.1 : failures.2
    }
    return probe
  }

  /// A number that changes whenever a thread runs; -1: not known.
  ///
  /// *Concurrency:* as `at`.
  static func runMark(ofThread threadID: Int32) -> Int64 {
    var mark: Int64 = -1
    withCancellationDisabled {
      _ = withFile("schedstat", of: threadID) { mark = runMark(in: $0) }
    }
    return mark
  }

  /// Whether a thread has run since it had that mark, or that is not known.
  ///
  /// Its CPU time alone does not tell: where Linux subtracts what a hypervisor took, a short run may
  /// take none (measured: 2 to 4 of 20 000 that lasted a microsecond).
  ///
  /// *Concurrency:* as `at`.
  static func hasRun(thread threadID: Int32, since mark: Int64) -> Bool {
    if ProbedProcess.isOver { return false }
    return mark < 0 || runMark(ofThread: threadID) != mark
  }

  /// Where a thread is now; unknown if its file cannot be read.
  ///
  /// *Concurrency:* as `at`.
  static func call(ofThread threadID: Int32) -> SystemCall {
    var now = SystemCall()
    withCancellationDisabled { _ = withFile("syscall", of: threadID) { now = call(in: $0) } }
    return now
  }

  /// The kernel function that a thread sleeps in now; as the property of that name.
  ///
  /// *Concurrency:* as `at`.
  static func waitChannel(ofThread threadID: Int32) -> InlineArray<6, UInt64> {
    var channel = InlineArray<6, UInt64>(repeating: 0)
    withCancellationDisabled {
      _ = withFile("wchan", of: threadID) { channel = waitChannel(in: $0) }
    }
    return channel
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
    let count = ProbedProcess.read(name, ofThread: threadID, into: bytes)
    body(UnsafeBufferPointer(rebasing: bytes[0..<max(0, count)]))
    return count < 0 ? Int32(truncatingIfNeeded: -count) : 0
  }
}
