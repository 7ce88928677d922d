import Testing

@testable import TrackedTasks

/// What a futex call and the bytes of a lock say, without threads and without memory.
@Suite struct LockReadingTests {
  private static let places = WaitPlaces(
    mutex: 0x1000, robust: 0x2000, timed: 0x3000, signal: 0x4000)
  private static let lock: UInt64 = 0x7000
  private static let owner: UInt32 = 4711

  private static func reading(
    _ operation: UInt64, value: UInt64, at instruction: UInt64, offset: UInt64 = 0,
    endWord: Int64 = 0
  ) -> LockReading {
    var call = SystemCall(number: 202, place: .inside)
    call.words[0] = lock + offset
    call.words[1] = operation
    call.words[2] = value
    call.words[7] = instruction
    var places = places
    places.endWord = endWord
    return LockReading(call: call, places: places, layout: .ofThisLibrary)
  }

  private static func bytes(_ numbers: [UInt32]) -> LockBytes {
    var bytes = LockBytes()
    for (place, number) in numbers.enumerated() {
      bytes.words[place / 2] |= UInt64(number) << (place % 2 == 0 ? 0 : 32)
    }
    bytes.count = numbers.count * 4
    return bytes
  }

  private static func edge(_ reading: LockReading, _ bytes: LockBytes) -> WaitEdge {
    var number = 0
    var edge = reading.edgeWithoutMemory ?? .unknown(.unlike)
    while let candidate = reading.candidate(number) {
      // Only the bytes of the lock itself are there.
      edge =
        candidate.address == lock
        ? reading.edge(of: candidate, bytes) : .unknown(.unmapped)
      if edge.gap != .unlike && edge.gap != .unmapped { break }
      number += 1
    }
    return edge
  }

  private static let mutex: [UInt32] = [2, 0, owner, 1, 0, 0, 0, 0, 0, 0]

  /// **Proves:** a mutex with waiters has its owner; with any one of its words changed to a value
  /// that glibc does not leave there, it has none (Q1).
  ///
  /// **Why it matters:** the memory may be anything by the time it is read.
  /// **Catches:** a field that is not checked.
  @Test func everyWordOfAMutexCounts() {
    let reading = Self.reading(128, value: 2, at: 0x1000)
    let edge = Self.edge(reading, Self.bytes(Self.mutex))
    #expect(edge.kind == .mutex && edge.holder == 4711 && edge.address == Self.lock)
    let wrong: [(Int, UInt32)] = [
      (0, 0), (0, 1), (0, 3), (1, 1), (2, 0), (2, 0x4000_0000), (3, 0), (3, .max), (4, 1), (4, 4),
      (4, 0x10), (4, 0x80), (4, 0x100), (4, .max), (6, 1), (7, 1), (8, 1), (9, 1),
    ]
    for (place, value) in wrong {
      var words = Self.mutex
      words[place] = value
      let edge = Self.edge(reading, Self.bytes(words))
      #expect(edge.kind == .unknown && edge.holder == 0, "\(place): \(value)")
    }
    for count in 0..<10 {
      #expect(Self.edge(reading, Self.bytes(Array(Self.mutex[..<count]))).kind == .unknown)
    }
  }

  /// **Proves:** the bytes of a held mutex have no holder if the call was made anywhere else than
  /// where glibc's mutexes wait, or places have not been learnt (Q2).
  ///
  /// **Why it matters:** other libraries wait with the same arguments.
  /// **Catches:** a lock recognised by its arguments; instruction 0 taken for a place not learnt.
  @Test(arguments: [0, 0x1001, 0x2000, 0x4000, UInt64.max])
  func thePlaceTellsWhoseLockItIs(instruction: UInt64) {
    for operation: UInt64 in [0, 9, 128, 137, 265, 393] {
      let reading = Self.reading(operation, value: 2, at: instruction)
      #expect(Self.edge(reading, Self.bytes(Self.mutex)).kind != .mutex)
      let unlearnt = LockReading(
        call: reading.call, places: WaitPlaces(), layout: .ofThisLibrary)
      #expect(Self.edge(unlearnt, Self.bytes(Self.mutex)) == .unknown(.foreign))
    }
  }

  /// **Proves:** a read-write lock has its writer or its readers, by the word that is waited for,
  /// as glibc 2.36 was seen to leave them (Q1).
  ///
  /// **Why it matters:** readers are not to be blamed on a writer.
  /// **Catches:** readers counted with the flags below them.
  @Test func aReadWriteLockHasAWriterOrReaders() {
    let written: [UInt32] = [0x13, 0, 3, 3, 0, 0, Self.owner, 0, 0, 0, 0, 0, 0, 0]
    let read: [UInt32] = [0x0A, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    for offset: UInt64 in [8, 12] {
      let edge = Self.edge(
        Self.reading(393, value: 3, at: 0x3000, offset: offset), Self.bytes(written))
      #expect(edge.kind == .rwlock && edge.holder == 4711 && edge.count == 0)
    }
    let edge = Self.edge(Self.reading(393, value: 2, at: 0x3000, offset: 8), Self.bytes(read))
    #expect(edge.kind == .rwlock && edge.holder == 0 && edge.count == 1)
  }

  /// **Proves:** a join names the thread whose id is the word that it waits for, up to glibc 2.42, or is
  /// as far before that word as a trial has shown, from 2.43 on; if the trial has not shown it, a word
  /// that may be either is not known, instead of a condition variable (Q1).
  ///
  /// **Why it matters:** in glibc 2.43 that word is 2, or 1: "waits for thread 2" blames a stranger.
  /// **Catches:** the word taken for an id there; a thread that has returned taken for one that has gone.
  @Test(arguments: [
    // What the trial has shown, the value that is waited for, the word now, the id; the holder.
    (0, 4711, 4711, 0, 4711), (0, 2, 2, 4711, 2), (0, 4711, 0, 0, 0), (0, 2, 1, 4711, 0),
    (-1, 4711, 4711, 0, 4711), (576, 2, 2, 4711, 4711), (576, 2, 1, 4711, 4711),
    (576, 1, 1, 4711, 4711), (576, 1, 2, 4711, 0), (576, 2, 0, 4711, 0), (576, 2, 3, 4711, 0),
    (576, 2, 2, 0, 0), (576, 2, 2, 0x4000_0000, 0),
  ])
  func aJoinNamesAThread(
    _ endWord: Int64, _ value: UInt64, _ word: UInt32, _ id: UInt32, _ holder: Int32
  ) {
    let reading = Self.reading(265, value: value, at: 0x4000, endWord: endWord)
    let edge = Self.edge(reading, Self.bytes([word, 0, id]))
    #expect(edge.holder == holder)
    #expect((edge.kind == .thread) == (holder != 0))
    #expect(reading.threadID == Self.lock - UInt64(max(0, endWord)))
    // That none is named has a reason, or the word is not a thread's.
    #expect(holder != 0 || edge.gap == .changed || (edge.kind == .signal && word == 2))
  }

  /// **Proves:** what is waited for at the place of a signal is one, if no thread has such a word, and
  /// is not known, if one may have; a thread's word is one wherever the call is made (Q1, Q2).
  ///
  /// **Why it matters:** a condition variable that processes share waits there too.
  /// **Catches:** every value taken for a state; a private word taken for a thread's.
  @Test func whatIsNoThreadsWordIsASignal() {
    for (endWord, value, operation): (Int64, UInt64, UInt64) in [
      (0, 0, 265), (576, 0, 265), (-1, 0, 265), (576, 3, 265), (576, 4711, 265), (0, 2, 393),
      (576, 2, 393), (-1, 2, 393),
    ] {
      let reading = Self.reading(operation, value: value, at: 0x4000, endWord: endWord)
      #expect(reading.edgeWithoutMemory == WaitEdge(kind: .signal, address: Self.lock))
    }
    for value: UInt64 in [1, 2] {
      let reading = Self.reading(265, value: value, at: 0x4000, endWord: -1)
      #expect(reading.edgeWithoutMemory == .unknown(.untested))
    }
    for (endWord, value, operation): (Int64, UInt64, UInt64) in [
      (0, 0, 0), (576, 3, 265), (0, 4711, 128), (576, 2, 393), (-1, 2, 0),
    ] {
      let elsewhere = Self.reading(operation, value: value, at: 0x4001, endWord: endWord)
      #expect(elsewhere.edgeWithoutMemory == .unknown(.foreign))
    }
    for operation: UInt64 in [0, 9, 256, 265] {
      let join = Self.reading(operation, value: 4711, at: 0x4001)
      let edge = Self.edge(join, Self.bytes([4711]))
      #expect(edge.kind == .thread && edge.holder == 4711)
    }
  }

  /// **Proves:** whatever the call and the bytes are, there is a holder only with a kind of lock that
  /// has one, at an address that follows from the call, with a thread id that the bytes have (Q1).
  ///
  /// **Why it matters:** one wrong "held by" destroys trust in all of them.
  /// **Catches:** an owner taken from another word; a crash on bytes that are no lock.
  @Test func ofRandomBytesNothingIsInvented() {
    var random = SplitMix(state: 4)
    let operations: [UInt64] = [0, 6, 9, 13, 128, 134, 137, 141, 265, 393]
    let likely: [UInt32] = [0, 0, 0, 1, 2, 3, 0x13, 0x0A, 0x80, 0x90, 4711, 0x8000_1267]
    var held = 0
    for _ in 0..<200_000 {
      let reading = Self.reading(
        operations[random.below(operations.count)],
        value: UInt64(likely[random.below(likely.count)]),
        at: [0x1000, 0x2000, 0x3000, 0x4000, 0x5000][random.below(5)],
        offset: [0, 8, 12][random.below(3)], endWord: [0, 576, -1][random.below(3)])
      let words = (0..<14).map { _ in
        random.below(8) == 0
          ? UInt32(truncatingIfNeeded: random.next()) : likely[random.below(likely.count)]
      }
      let bytes = Self.bytes(words)
      let edge = Self.edge(reading, bytes)
      #expect((edge.kind == .unknown) == (edge.gap != .none))
      if edge.holder == 0 { continue }
      held += 1
      #expect(edge.kind == .mutex || edge.kind == .rwlock || edge.kind == .thread)
      #expect(edge.address == Self.lock && edge.holder > 0)
      #expect(words.contains { $0 & LockReading.idMask == UInt32(edge.holder) })
    }
    #expect(held > 100)
  }
}
