/// A futex call that waits: what it says of the lock.
///
/// Pure: what it needs of memory is passed to it. `candidate` says what to read, and `edge` judges
/// the bytes.
struct LockReading {
  let call: SystemCall
  let places: WaitPlaces
  let layout: LockLayout

  private var futex: UInt64 { call.words[0] }
  /// FUTEX_WAIT, FUTEX_WAIT_BITSET, … without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME.
  private var operation: UInt64 { call.words[1] & 0x7F }
  var isPrivate: Bool { call.words[1] & 0x80 != 0 }
  private var value: UInt32 { UInt32(truncatingIfNeeded: call.words[2]) }

  private static var wait: UInt64 { 0 }
  private static var waitBitset: UInt64 { 9 }
  private static var lockInheriting: UInt64 { 6 }
  private static var lockInheriting2: UInt64 { 13 }
  /// The bits of a thread id in the word of a robust or an inheriting mutex.
  static var idMask: UInt32 { 0x3FFF_FFFF }
  private static var hasWaiters: UInt32 { 0x8000_0000 }

  /// What needs no memory to be read; nil if a candidate does.
  var edgeWithoutMemory: WaitEdge? {
    if candidate(0) != nil { return nil }
    // No address is 0: places that are not known match nothing.
    if isAtSignal && !isPrivate && isState && places.endWord < 0 { return .unknown(.untested) }
    return otherThanThread
  }

  private var isAtSignal: Bool {
    places.signal != 0 && call.instruction == places.signal && operation == Self.waitBitset
  }

  /// What the call is of if its word is not a thread's and it is in none of the locks.
  var otherThanThread: WaitEdge {
    isAtSignal ? WaitEdge(kind: .signal, address: futex) : .unknown(.foreign)
  }

  /// Whether the value may be the state of a joinable thread, in glibc 2.43: 1 once its function has
  /// returned.
  private var isState: Bool { value == 1 || value == 2 }

  /// Where the id is of the thread whose end this may be the wait for.
  var threadID: UInt64 { futex &- UInt64(max(0, places.endWord)) }

  /// What the lock may be, by the place and the arguments of the call: number 0, 1, …; nil: no
  /// more.
  ///
  /// The next one counts only if the one before is `unlike` such a lock, or not mapped.
  func candidate(_ number: Int) -> LockCandidate? {
    if operation == Self.lockInheriting || operation == Self.lockInheriting2 {
      return number == 0 ? LockCandidate(kind: .inheriting, address: futex) : nil
    }
    let place = call.instruction
    if place == 0 { return nil }
    if place == places.mutex && operation == Self.wait {
      return number == 0 && value == 2 ? LockCandidate(kind: .mutex, address: futex) : nil
    }
    if place == places.robust && operation == Self.wait {
      return number == 0 ? LockCandidate(kind: .robust, address: futex) : nil
    }
    if place == places.timed && operation == Self.waitBitset { return timedCandidate(number) }
    // Whoever waits, wherever, for the word that the kernel sets to 0 at a thread's end waits for
    // that: up to glibc 2.33 a join makes the call in a place of its own.
    if isPrivate || operation != Self.wait && operation != Self.waitBitset { return nil }
    let mayBeThread =
      places.endWord > 0
      ? isState : value != 0 && value <= Self.idMask && (places.endWord == 0 || !isState)
    return number == 0 && mayBeThread ? LockCandidate(kind: .thread, address: futex) : nil
  }

  private func timedCandidate(_ number: Int) -> LockCandidate? {
    if value & Self.hasWaiters != 0 {
      return number == 0 ? LockCandidate(kind: .robust, address: futex) : nil
    }
    // The mutex first: with its words, no read-write lock is as glibc leaves one, and vice versa.
    switch value == 2 ? number : number + 1 {
    case 0: return LockCandidate(kind: .mutex, address: futex)
    case 1: return LockCandidate(kind: .rwlock, address: futex &- UInt64(layout.phase))
    case 2: return LockCandidate(kind: .rwlock, address: futex &- UInt64(layout.writers))
    case 3: return LockCandidate(kind: .rwlock, address: futex &- UInt64(layout.readers))
    default: return nil
    }
  }

  /// What `bytes`, which are at the candidate's address, say.
  ///
  /// That a holder is a live thread of this process is left to the caller, and so is whether a
  /// thread's word is a thread's, and who links a robust mutex.
  ///
  /// - Returns: an edge with a holder or with readers, or one that is not known and says why.
  func edge(of candidate: LockCandidate, _ bytes: LockBytes) -> WaitEdge {
    switch candidate.kind {
    case .mutex: mutex(candidate, bytes)
    case .robust: robust(candidate, bytes)
    case .inheriting: inheriting(candidate, bytes)
    case .rwlock: rwlock(candidate, bytes)
    case .thread: thread(candidate, bytes)
    }
  }

  /// A mutex that is locked with waiters: every field has to be as glibc leaves it.
  private func mutex(_ candidate: LockCandidate, _ bytes: LockBytes) -> WaitEdge {
    guard let word = bytes.number(at: 0), let count = bytes.number(at: layout.mutexCount),
      let owner = bytes.number(at: layout.mutexOwner),
      let users = bytes.number(at: layout.mutexUsers),
      let kind = bytes.number(at: layout.mutexKind),
      let previousLow = bytes.number(at: layout.mutexPrevious),
      let previousHigh = bytes.number(at: layout.mutexPrevious + 4),
      let nextLow = bytes.number(at: layout.mutexNext),
      let nextHigh = bytes.number(at: layout.mutexNext + 4)
    else { return .unknown(.unmapped) }
    // Released since, or about to be taken.
    if word != 2 { return .unknown(word <= 1 ? .changed : .unlike) }
    if previousLow | previousHigh | nextLow | nextHigh != 0 { return .unknown(.unlike) }
    if kind & 0x80 != 0 || !isPrivate {
      return .unknown(kind & ~0x383 == 0 && kind & 0x80 != 0 && !isPrivate ? .shared : .unlike)
    }
    // The type, and whether lock elision was forbidden. Where it is allowed, no owner is kept.
    if kind & ~0x303 != 0 { return .unknown(.unlike) }
    if kind & 0x100 != 0 { return .unknown(.ownerless) }
    let isRecursive = kind & 3 == 1
    if isRecursive ? count == 0 && owner != 0 : count != 0 { return .unknown(.unlike) }
    if owner == 0 { return .unknown(.ownerless) }
    if owner > Self.idMask || users == 0 || users > Self.idMask { return .unknown(.unlike) }
    return WaitEdge(kind: .mutex, holder: Int32(owner), address: candidate.address)
  }

  /// A robust mutex: its word has the owner, who links it.
  private func robust(_ candidate: LockCandidate, _ bytes: LockBytes) -> WaitEdge {
    guard let word = bytes.number(at: 0), let owner = bytes.number(at: layout.mutexOwner),
      let kind = bytes.number(at: layout.mutexKind)
    else { return .unknown(.unmapped) }
    if word != value { return .unknown(.changed) }
    if kind & 0x10 == 0 || kind & ~0x2B3 != 0 { return .unknown(.unlike) }
    let holder = word & Self.idMask
    if holder == 0 { return .unknown(.ownerless) }
    if owner != holder { return .unknown(.changed) }
    return WaitEdge(kind: .mutex, holder: Int32(holder), address: candidate.address)
  }

  private func inheriting(_ candidate: LockCandidate, _ bytes: LockBytes) -> WaitEdge {
    guard let word = bytes.number(at: 0) else { return .unknown(.unmapped) }
    let holder = word & Self.idMask
    if holder == 0 { return .unknown(.ownerless) }
    if !isPrivate {
      // glibc's robust ones make this call too, whether or not processes share them.
      guard let owner = bytes.number(at: layout.mutexOwner),
        let kind = bytes.number(at: layout.mutexKind), kind & 0x30 == 0x30, kind & ~0x2B3 == 0,
        owner == holder
      else { return .unknown(.shared) }
    }
    // The kernel sets this bit when it lets a thread wait; and the next one at the owner's end.
    if word & 0xC000_0000 != Self.hasWaiters { return .unknown(.changed) }
    return WaitEdge(kind: .mutex, holder: Int32(holder), address: candidate.address)
  }

  private func rwlock(_ candidate: LockCandidate, _ bytes: LockBytes) -> WaitEdge {
    guard let readers = bytes.number(at: layout.readers),
      let phase = bytes.number(at: layout.phase), let writers = bytes.number(at: layout.writers),
      let pad = bytes.number(at: layout.pad), let pad2 = bytes.number(at: layout.pad + 4),
      let writer = bytes.number(at: layout.writer),
      let isShared = bytes.number(at: layout.isShared), let flags = bytes.number(at: layout.flags)
    else { return .unknown(.unmapped) }
    if pad | pad2 != 0 || phase > 3 || writers > 3 || flags > 2 || isShared > 1 {
      return .unknown(.unlike)
    }
    if (isShared == 0) != isPrivate { return .unknown(.unlike) }
    if isShared != 0 { return .unknown(.shared) }
    // PTHREAD_RWLOCK_WRPHASE and _WRLOCKED; the bit above says that readers wait for writers.
    let isWriting = readers & 1 != 0
    let hasWriter = readers & 2 != 0
    let count = readers >> 3
    if count > 1 << 24 || writer > Self.idMask { return .unknown(.unlike) }
    let offset = futex &- candidate.address
    // The word that is waited for had this value, and PTHREAD_RWLOCK_FUTEX_USED.
    let waitsForReaders = offset == UInt64(layout.phase) && value == 2
    let waitsAsReader = offset == UInt64(layout.phase) && value == 3
    let waitsForWriter = offset == UInt64(layout.writers) && value == 3
    let isFirst = offset == UInt64(layout.readers) && value == readers
    if !waitsForReaders && !waitsAsReader && !waitsForWriter && !isFirst {
      return .unknown(.unlike)
    }
    if isWriting && hasWriter && writer != 0 && !waitsForReaders && !isFirst {
      return WaitEdge(kind: .rwlock, holder: Int32(writer), address: candidate.address)
    }
    if !isWriting && hasWriter && writer == 0 && count > 0 && !waitsAsReader {
      return WaitEdge(kind: .rwlock, count: count, address: candidate.address)
    }
    return .unknown(.changed)
  }

  private func thread(_ candidate: LockCandidate, _ bytes: LockBytes) -> WaitEdge {
    guard let word = bytes.number(at: 0) else { return .unknown(.unmapped) }
    // That a thread's function has returned wakes nobody.
    let hasReturned = places.endWord > 0 && value == 2 && word == 1
    if word != value && !hasReturned { return .unknown(.changed) }
    let id = places.endWord > 0 ? bytes.number(at: 8) : word
    guard let id, id != 0, id <= Self.idMask else { return otherThanThread }
    return WaitEdge(kind: .thread, holder: Int32(id), address: candidate.address)
  }
}
