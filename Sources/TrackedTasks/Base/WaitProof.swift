import CPlatform

/// Proves what a thread waits for (Q1, Q2).
///
/// The memory of a lock may be anything by the time it is read, and so may the thread that its
/// owner field names. So the bytes and the owner's being alive are read twice, between two readings
/// of the system call: an edge with a holder stands only if the thread was in the same call, with
/// the same arguments, stack and instruction, before and after, and both readings in between said
/// the same.
extension ThreadProbe {
  /// Finds what the thread waits for; the probe has just been made.
  ///
  /// *Concurrency:* as `at`. The first futex call that is ever seen makes a thread (`LockTrial`).
  mutating func findEdge(ofThread threadID: Int32) {
    // The caller's own call is the one that reads this.
    edge =
      threadID == ProbedProcess.examiner
      ? WaitEdge(kind: .nothing) : Self.findEdge(ofThread: threadID, startingAt: call)
    // 'D': a question about the file may hang as the thread does.
    if edge.kind == .fileLock && schedulerState != 0x44 { findHolder(ofThread: threadID) }
  }

  /// What a thread waits for, by where it is, or was a moment ago.
  private static func findEdge(ofThread threadID: Int32, startingAt first: SystemCall) -> WaitEdge {
    guard let arguments = CallArguments(rawValue: cp_call_arguments(first.number)) else {
      return .unknown(.call)
    }
    if let edge = WaitEdge(first, arguments) {
      return withDescriptor(edge, first, arguments, ofThread: threadID)
    }
    let (places, gap) = ProbedProcess.lockPlaces
    if gap != .none { return .unknown(gap) }
    var call = first
    var edge = WaitEdge.unknown(.changed)
    for _ in 0..<3 {
      edge = Self.edge(of: call, ofThread: threadID, places)
      if edge.gap != .changed { return edge }
      call = Self.call(ofThread: threadID)
      if call.number != first.number { break }
    }
    return edge
  }

  /// The edge of a futex call that a thread was in a moment ago.
  ///
  /// - Returns: one that is proven; or one that is not known, `.changed` if trying again may help.
  static func edge(of call: SystemCall, ofThread threadID: Int32, _ places: WaitPlaces) -> WaitEdge
  {
    let reading = LockReading(call: call, places: places, layout: .ofThisLibrary)
    if let edge = reading.edgeWithoutMemory { return edge }
    var edge = WaitEdge.unknown(.foreign)
    var found: LockCandidate?
    var number = 0
    while let candidate = reading.candidate(number) {
      edge = Self.edge(of: candidate, in: reading)
      found = candidate
      // It may be another kind of lock.
      if edge.gap != .unlike && edge.gap != .unmapped { break }
      number += 1
    }
    if edge.kind == .unknown { return edge }
    if edge.holder == threadID, let found, !waitsForItself(threadID, found, in: reading, edge) {
      return .unknown(.changed)
    }
    edge.isTimed = call.words[3] != 0
    // The thread may have gone on before the bytes were read, and the lock may be another by then.
    return Self.call(ofThread: threadID) == call ? edge : .unknown(.changed)
  }

  /// Whether a thread that has the lock it waits for waits for itself, which never ends.
  ///
  /// A lock that inherits priorities is handed over by the kernel before the thread runs that it is
  /// given to, and the kernel lets no thread wait for one that it has. Another may have been taken
  /// and released while it was read: so the thread must not run while it is read once more.
  private static func waitsForItself(
    _ threadID: Int32, _ candidate: LockCandidate, in reading: LockReading, _ edge: WaitEdge
  ) -> Bool {
    if candidate.kind == .inheriting { return false }
    let mark = runMark(ofThread: threadID)
    return Self.call(ofThread: threadID) == reading.call
      && Self.edge(of: candidate, in: reading) == edge
      && !hasRun(thread: threadID, since: mark)
  }

  /// What two readings of a lock say, if they agree.
  private static func edge(of candidate: LockCandidate, in reading: LockReading) -> WaitEdge {
    let first = readOnce(candidate, in: reading)
    if first.kind == .unknown { return first }
    let second = readOnce(candidate, in: reading)
    if second.kind == .unknown { return second.gap == .unlike ? .unknown(.changed) : second }
    return second == first ? second : .unknown(.changed)
  }

  private static func readOnce(_ candidate: LockCandidate, in reading: LockReading) -> WaitEdge {
    var bytes = LockBytes()
    let size =
      switch candidate.kind {
      case .mutex, .robust: reading.layout.mutexNext + 8
      case .rwlock: reading.layout.flags + 4
      case .inheriting: reading.isPrivate ? 4 : reading.layout.mutexNext + 8
      case .thread: 4
      }
    bytes.count = min(size, LockBytes.most)
    let count = withUnsafeMutableBytes(of: &bytes.words) {
      ProbedProcess.read(candidate.address, $0.baseAddress, min(size, LockBytes.most))
    }
    if count < 0 { return .unknown(count == -Int(EFAULT) ? .unmapped : .forbidden) }
    bytes.count = count
    if candidate.kind == .thread && reading.places.endWord > 0 && count == size {
      let added = withUnsafeMutableBytes(of: &bytes.words) {
        ProbedProcess.read(reading.threadID, $0.baseAddress.map { $0 + 8 }, 4)
      }
      if added == 4 { bytes.count = 12 }
    }
    let edge = reading.edge(of: candidate, bytes)
    if edge.holder == 0 { return edge }
    if !isAlive(edge.holder) {
      // The word of a thread that has ended is 0.
      return candidate.kind == .thread ? reading.otherThanThread : .unknown(.ownerGone)
    }
    switch candidate.kind {
    case .robust,
      .inheriting where !reading.isPrivate:
      return links(candidate.address, bytes, reading.layout) ? edge : .unknown(.shared)
    case .thread:
      guard let isID = isID(reading.threadID, ofThread: edge.holder) else {
        return .unknown(.forbidden)
      }
      return isID ? edge : reading.otherThanThread
    default: return edge
    }
  }

  /// Whether a thread of this process has the id, and has not ended.
  private static func isAlive(_ threadID: Int32) -> Bool {
    // Only a main thread that has ended stays until the others have.
    ProbedProcess.has(thread: threadID)
      && (threadID != ProbedProcess.id || !hasEnded(threadID: threadID))
  }

  /// Whether a robust mutex is on a list in the memory of this process: what is before it on the
  /// list points to it.
  private static func links(_ mutex: UInt64, _ bytes: LockBytes, _ layout: LockLayout) -> Bool {
    let place = layout.mutexPrevious / 8
    guard place < 7 else { return false }
    let previous = bytes.words[place] & ~1
    var words = InlineArray<2, UInt64>(repeating: 0)
    let count = withUnsafeMutableBytes(of: &words) {
      ProbedProcess.read(previous, $0.baseAddress, 16)
    }
    let link = mutex &+ UInt64(layout.mutexNext)
    // The head of the list is a link, another mutex has it behind its own link to what is before.
    return count == 16 && (words[0] & ~1 == link || words[1] & ~1 == link)
  }

  /// Whether an address is that of a thread's id in glibc's descriptor of the thread.
  ///
  /// It is if it is as far from the thread's list of robust mutexes as it is in another thread. So
  /// then is the word that becomes 0 at its end (`WaitPlaces.endWord`).
  ///
  /// - Returns: nil if the system does not say.
  private static func isID(_ address: UInt64, ofThread threadID: Int32) -> Bool? {
    let (thread, known) = ProbedProcess.reference
    let list = ProbedProcess.robustList(ofThread: threadID)
    if known == 0 || list == 0 { return nil }
    var word: Int32 = 0
    let count = withUnsafeMutableBytes(of: &word) {
      ProbedProcess.read(known &- (list &- address), $0.baseAddress, 4)
    }
    return count == 4 && word == thread
  }

  /// Adds the process that holds the lock of a file, if the kernel's table of locks proves it.
  ///
  /// It does if it has this process as a waiter for a lock of the call's kind on the file of the
  /// call's descriptor; which thread waits it does not say. Of the table the first 8 KiB are read.
  private mutating func findHolder(ofThread threadID: Int32) {
    guard let kind = fileLockKind, let file = Self.file(edge.descriptor, ofThread: threadID) else {
      return
    }
    let lock = FileLockTable.Lock(
      kind: kind, major: file.major, minor: file.minor, inode: file.inode)
    var process: Int32 = 0
    var bytes = InlineArray<1024, UInt64>(repeating: 0)
    withUnsafeMutableBytes(of: &bytes) { bytes in
      let path: StaticString = "/proc/locks"
      // SAFETY: CChar and UInt8 have the same layout; the text is static.
      let name = UnsafeRawPointer(path.utf8Start).assumingMemoryBound(to: CChar.self)
      let count = cp_read_file(name, bytes.baseAddress, bytes.count)
      // What is behind a table that was cut may say otherwise.
      if count <= 0 || count == bytes.count { return }
      bytes.withMemoryRebound(to: UInt8.self) {
        let text = UnsafeBufferPointer(rebasing: $0[0..<count])
        process = FileLockTable(text: text).holder(of: lock, forWaiter: ProbedProcess.id)
      }
    }
    if Self.call(ofThread: threadID) == call {
      edge.process = process
    } else {
      edge = .unknown(.changed)
    }
  }

  /// Which kind of lock the thread's call waits for; nil for that of an open file, whose holder is
  /// no process.
  private var fileLockKind: FileLockTable.Kind? {
    switch CallArguments(rawValue: cp_call_arguments(call.number)) {
    case .flock: .flock
    // Not F_OFD_SETLKW.
    case .fcntl where Int32(truncatingIfNeeded: call.words[1]) == 7: .posix
    default: nil
    }
  }

  /// Which file a descriptor of a thread is; nil if that is not known, or if the number is another
  /// file's in the calling thread's table.
  private static func file(_ descriptor: Int32, ofThread threadID: Int32) -> cp_file_id? {
    var own = DescriptorLink()
    var link = DescriptorLink()
    own.read(descriptor, ofThread: 0)
    let file = ProbedProcess.with(descriptor: descriptor) { cp_id_of_file($0) }
    link.read(descriptor, ofThread: threadID)
    return link.length >= 0 && link == own && file.inode != 0 ? file : nil
  }

  /// The descriptor of a list for poll(2) of one, at an address that may be unmapped by now; negative
  /// if it cannot be read, or polls nothing.
  static func polledDescriptor(_ list: UInt64) -> Int32 {
    // struct pollfd: the descriptor, and two numbers of 16 bits.
    var polled: (descriptor: Int32, events: UInt32) = (-1, 0)
    let count = withUnsafeMutableBytes(of: &polled) { ProbedProcess.read(list, $0.baseAddress, 8) }
    return count == 8 ? polled.descriptor : -1
  }

  /// Adds the descriptor that poll(2) was given, if it is one.
  private static func withDescriptor(
    _ edge: WaitEdge, _ call: SystemCall, _ arguments: CallArguments, ofThread threadID: Int32
  ) -> WaitEdge {
    guard arguments == .poll, edge.kind == .descriptors, edge.count == 1 else { return edge }
    let descriptor = polledDescriptor(call.words[0])
    // The array may be on the thread's stack, and is something else once the call has returned.
    return descriptor >= 0 && Self.call(ofThread: threadID) == call
      ? WaitEdge(kind: .descriptor, descriptor: descriptor) : edge
  }
}

extension LockLayout {
  /// As in the header of the glibc that the library was built with.
  static var ofThisLibrary: LockLayout {
    LockLayout(
      mutexCount: CP_MUTEX_COUNT, mutexOwner: CP_MUTEX_OWNER, mutexUsers: CP_MUTEX_USERS,
      mutexKind: CP_MUTEX_KIND, mutexPrevious: CP_MUTEX_PREVIOUS, mutexNext: CP_MUTEX_NEXT,
      readers: CP_RWLOCK_READERS, phase: CP_RWLOCK_PHASE, writers: CP_RWLOCK_WRITERS,
      pad: CP_RWLOCK_PAD, writer: CP_RWLOCK_WRITER, isShared: CP_RWLOCK_SHARED,
      flags: CP_RWLOCK_FLAGS)
  }
}
