import CPlatform

/// What a descriptor that a thread waits for is: a file with its path, a socket with its addresses
/// (E13).
///
/// A face is made of what the kernel says of the descriptor now. Nothing is allocated, no lock of
/// the library's is taken, no file that a descriptor names is opened or read, and no server of a
/// network's file system is asked: the thread may be waiting for exactly that one. What cannot be
/// determined is said in the text.
///
/// The number is looked up in the table of the thread that waits. What only a call with the number
/// itself can tell (sockets, terminals) is asked by the calling thread, and kept only if its own
/// table has the same file there, before and after.
struct DescriptorFace {
  /// The text, NUL-terminated: well-formed UTF-8 without control characters.
  ///
  /// The first field, so that its address is known.
  private var words = InlineArray<32, UInt64>(repeating: 0)
  /// The descriptor.
  let number: Int32
  var kind = Kind.notKnown
  /// Whether it may be of another kind, as the number may not be asked: a unix socket among the
  /// other sockets, a named pipe among the files.
  var isKindAssumed = false
  /// Where in the text the other end of a connection is; a length of 0: there is none.
  private(set) var peerStart: UInt8 = 0
  private(set) var peerLength: UInt8 = 0

  /// What it is; the numbers are those of `TR_DESCRIPTOR_…`.
  enum Kind: UInt32 {
    /// The text says why.
    case notKnown = 1
    case file = 2
    case device = 3
    case terminal = 4
    case pipe = 5
    case tcp = 6
    case udp = 7
    case unix = 8
    case otherSocket = 9
    case eventfd = 10
    case timerfd = 11
    case epoll = 12
    case signalfd = 13
    case inotify = 14
    case other = 15

    /// Its name in JSON.
    var text: StaticString {
      switch self {
      case .notKnown: "not-known"
      case .file: "file"
      case .device: "device"
      case .terminal: "terminal"
      case .pipe: "pipe"
      case .tcp: "tcp"
      case .udp: "udp"
      case .unix: "unix"
      case .otherSocket: "socket"
      case .eventfd: "eventfd"
      case .timerfd: "timerfd"
      case .epoll: "epoll"
      case .signalfd: "signalfd"
      case .inotify: "inotify"
      case .other: "other"
      }
    }

    /// Whether it is a socket.
    var isSocket: Bool { rawValue >= Kind.tcp.rawValue && rawValue <= Kind.otherSocket.rawValue }
  }

  /// How many descriptors may be looked through for the other ends of pipes, in one report.
  static var budget: Int { 65_536 }

  /// The face of a descriptor that has not been examined.
  init(number: Int32) { self.number = number }

  /// Passes the text to `body`, NUL-terminated.
  func withText<Result>(_ body: (UnsafePointer<UInt8>) -> Result) -> Result {
    withUnsafeBytes(of: words) { bytes in
      // SAFETY: never empty, and the last byte is NUL.
      body(bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self))
    }
  }

  /// Replaces the text.
  mutating func write(_ build: (inout FixedText) -> Void) {
    withUnsafeMutableBytes(of: &words) { bytes in
      bytes.withMemoryRebound(to: UInt8.self) { bytes in
        var text = FixedText(in: bytes)
        build(&text)
      }
    }
  }

  /// Whether it is a connection to an other end with an address.
  var hasPeer: Bool { peerLength > 0 }

  /// Passes the address of the other end, NUL-terminated, to `body`.
  func withPeer(_ body: (UnsafePointer<UInt8>) -> Void) {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { peer in
      withText { text in
        for place in 0..<Int(peerLength) { peer[place] = text[Int(peerStart) + place] }
      }
      peer[Int(peerLength)] = 0
      // SAFETY: not empty.
      body(UnsafePointer(peer.baseAddress.unsafelyUnwrapped))
    }
  }

  /// Records where in the text the other end is; nowhere if the text was cut there.
  mutating func setPeer(at start: Int, length: Int) {
    if length <= 0 || start + length > 255 { return }
    peerStart = UInt8(start)
    peerLength = UInt8(length)
  }

  /// Replaces everything but the number.
  mutating func become(_ kind: Kind, _ build: (inout FixedText) -> Void) {
    self.kind = kind
    peerLength = 0
    write(build)
  }

  /// The face of a descriptor whose kind is not known, for a reason.
  mutating func isNotKnown(_ reason: StaticString, error: Int32 = 0) {
    become(.notKnown) {
      $0.append("not known, because ")
      $0.append(reason)
      if error == 0 { return }
      $0.append(": error ")
      $0.append(error)
    }
  }
}

// MARK: The descriptor of a call

extension DescriptorFace {
  /// The face of the descriptor that a thread waits for; nil if it is in no call with one.
  ///
  /// - Parameters:
  ///   - probe: what is known of the thread.
  ///   - threadID: the thread's, of this process.
  ///   - noted: the descriptor that a wait of the library is for; that one polls two.
  ///   - budget: how many descriptors may be looked through; reduced by those that are.
  ///
  /// *Concurrency:* any thread; opens and closes descriptors; does not change errno.
  init?(of probe: ThreadProbe, threadID: Int32, noted: Int32?, budget: inout Int) {
    let arguments = CallArguments(rawValue: cp_call_arguments(probe.call.number)) ?? .nothing
    if probe.call.place != .inside { return nil }
    let number = noted ?? Self.descriptor(in: probe.call, arguments)
    if number < 0 { return nil }
    self.init(number: number)
    examine(threadID: threadID, state: probe.schedulerState, budget: &budget)
    if kind == .notKnown { return }
    if !isStill(in: probe.call, threadID: threadID) { return }
    var isOther = arguments == .socket && !kind.isSocket
    if !isOther && isContradicted(by: probe) {
      // The channel was read before the call: it may be that of the call before.
      var again = ThreadProbe()
      again.waitChannel = ThreadProbe.waitChannel(ofThread: threadID)
      if !isStill(in: probe.call, threadID: threadID) { return }
      isOther = isContradicted(by: again)
    }
    // Another thread has closed the descriptor under the call, and opened something else.
    if isOther { isNotKnown("its number has come to be that of another file") }
  }

  /// Whether a thread is still in a call; else nothing is known any more.
  private mutating func isStill(in call: SystemCall, threadID: Int32) -> Bool {
    let now = ThreadProbe.call(ofThread: threadID)
    if now == call { return true }
    if now.place == .unknown {
      isNotKnown("its thread could not be looked at a second time")
    } else {
      isNotKnown("the call was over before it was looked at")
    }
    return false
  }

  /// The descriptor in the arguments of a call; negative if there is none, or more than one.
  private static func descriptor(in call: SystemCall, _ arguments: CallArguments) -> Int32 {
    switch arguments {
    case .descriptor, .socket, .flock, .fcntl: Int32(truncatingIfNeeded: call.words[0])
    case .poll: call.words[1] == 1 ? ThreadProbe.polledDescriptor(call.words[0]) : -1
    case .nothing, .futex, .select, .sleep, .child, .childByKind: -1
    }
  }

  /// Whether the thread sleeps in a function of the kernel that serves another kind of file alone.
  private func isContradicted(by probe: ThreadProbe) -> Bool {
    if isKindAssumed { return false }
    return probe.withWaitChannel { channel in
      if Self.hasPart(channel, "pipe_read") || Self.hasPart(channel, "pipe_write") {
        return kind != .pipe
      }
      if Self.hasPart(channel, "eventfd_read") { return kind != .eventfd }
      if Self.hasPart(channel, "timerfd_read") { return kind != .timerfd }
      if Self.hasPart(channel, "inotify_read") { return kind != .inotify }
      if Self.hasPart(channel, "unix_") { return kind != .unix }
      return false
    }
  }

  private static func hasPart(_ text: UnsafePointer<UInt8>, _ part: StaticString) -> Bool {
    UnsafeRawPointer(text).withMemoryRebound(to: CChar.self, capacity: 1) { text in
      part.utf8Start.withMemoryRebound(to: CChar.self, capacity: 1) { strstr(text, $0) != nil }
    }
  }
}

// MARK: From a number to a face

extension DescriptorFace {
  /// Examines the file that `number` is in a thread's table.
  ///
  /// - Parameters:
  ///   - threadID: the thread.
  ///   - state: its state; one in an uninterruptible sleep may hold what an answer would wait for,
  ///     so that nothing but the link is read.
  ///   - budget: as in `init(of:threadID:noted:budget:)`.
  mutating func examine(threadID: Int32, state: UInt8, budget: inout Int) {
    var first = DescriptorLink()
    first.read(number, ofThread: threadID)
    if first.length < 0 {
      switch Int32(-first.length) {
      case ENOENT where Self.mode(of: number) < 0: isNotKnown("it is not open any more")
      case ENOENT: isNotKnown("/proc does not have it")
      case ENAMETOOLONG: isNotKnown("its path is too long for the kernel to tell")
      case EACCES, EPERM: isNotKnown("there is no permission")
      case let error: isNotKnown("its link cannot be read", error: error)
      }
      return
    }
    var again = DescriptorLink()
    again.read(number, ofThread: 0)
    let isOwn = again == first
    // 'D'
    let mayAsk = isOwn && state != 0x44
    describe(first, Context(threadID: threadID, mayAsk: mayAsk, isOwn: isOwn), &budget)
    // What was said in between was of one file.
    again.read(number, ofThread: isOwn ? 0 : threadID)
    if again != first { isNotKnown("it was closed or reused meanwhile") }
  }

  /// The access mode of a descriptor of the examiner's table; negative if it is not open.
  static func mode(of number: Int32) -> Int32 {
    ProbedProcess.with(descriptor: number) { cp_descriptor_mode($0) }
  }

  /// What the questions of one face depend on.
  struct Context {
    let threadID: Int32
    /// Whether the number may be used in calls of the calling thread.
    let mayAsk: Bool
    /// Whether the calling thread has the same file at that number.
    let isOwn: Bool
  }

  private mutating func describe(
    _ link: borrowing DescriptorLink, _ context: Context, _ budget: inout Int
  ) {
    if link.starts(with: "pipe:[") {
      becomePipe(link, path: false, context, &budget)
    } else if link.starts(with: "socket:[") {
      becomeSocket(context)
    } else if link.starts(with: "anon_inode:") {
      becomeAnonymous(link, context)
    } else {
      becomeFile(link, context, &budget)
    }
  }
}
