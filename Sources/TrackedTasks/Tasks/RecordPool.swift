import CPlatform
import Synchronization

// LOCKING
// Free records form two stacks: spawners take from `free`, and the thread that ends a task pushes
// to `returned`. Both are done without a lock, each on a cache line of its own. When `free` is
// empty, a spawner moves the whole of `returned` there, or adds a chunk. That is done under the
// registry's Monitor, so that no other spawner takes the moment between for a lack of records and
// adds another chunk. The heads carry a tag that changes with every push, against the ABA problem
// (Treiber, "Systems Programming: Coping with Parallelism", IBM RJ 5118, 1986). Reading the
// successor of a record that another thread just took is safe, because records are never freed
// while the pool lives. A chunk is published with release and found with acquire.
//
// Records are initialised a batch at a time, under the lock, so that a chunk takes no more memory
// than was used of it.

/// The records of one registry: as many as were ever alive at once, reused indefinitely (N1).
///
/// Pool1: a record below `made` is on one of the stacks, or belongs to a spawner, or has
///        references; one of these.
struct RecordPool: ~Copyable {
  // atomic: tag in the high half, index + 1 of the first record in the low half.
  private let free = Atomic<UInt64>(0)
  private let padding1 = InlineArray<7, UInt64>(repeating: 0)
  // atomic: likewise.
  private let returned = Atomic<UInt64>(0)
  private let padding2 = InlineArray<7, UInt64>(repeating: 0)
  // atomic: the chunks as bits; chunk n has `firstChunk << n` records.
  private let chunks = InlineArray<20, Atomic<UInt>> { _ in Atomic(0) }
  // atomic: how many records are initialised. Stored before any of them holds a task and loaded by
  // walks, sequentially consistently: if a task's spawner did not see a cancelling walk coming,
  // that walk sees its record (`Spawn.swift`).
  private let made = Atomic<UInt32>(0)
  private let padding3 = InlineArray<3, UInt64>(repeating: 0)

  /// Records initialised at a time; chunks are multiples of it.
  private static var batch: Int { 64 }
  static var firstChunk: Int { batch }
  static var mostChunks: Int { 20 }

  /// Where in a pool these are (`ReaderTable`).
  static func places(in pool: borrowing RecordPool) -> (count: UInt, chunks: UInt) {
    let base = addressOf(pool)
    return (addressOf(pool.made) &- base, addressOf(pool.chunks) &- base)
  }

  /// Takes a free record; nil if there is no memory.
  @inline(__always)
  func take(for registry: RegistryReference) -> TaskReference? {
    pop() ?? takeReturnedOrNew(for: registry)
  }

  /// Takes back a record without references.
  @inline(__always)
  func release(_ record: TaskReference) {
    Self.push(record, record, on: returned)
  }

  /// Calls `visit` for every record, free or not, until it returns false.
  @inline(__always)
  func forEach(_ visit: (TaskReference) -> Bool) {
    var left = Int(made.load(ordering: .sequentiallyConsistent))
    var number = 0
    while left > 0, let chunk = chunk(number) {
      let count = min(left, Self.firstChunk << number)
      for place in 0..<count where !visit(TaskReference(chunk + place)) { return }
      left -= count
      number += 1
    }
  }

  /// Frees the memory.
  ///
  /// Requires that no record is in use any more.
  func destroy() {
    for number in 0..<Self.mostChunks {
      if let chunk = chunk(number) { CPlatform.free(chunk) }
    }
  }

  private func pop() -> TaskReference? {
    var old = free.load(ordering: .acquiring)
    while let record = record(at: UInt32(truncatingIfNeeded: old)) {
      let next = UInt64(record.pointer.pointee.nextFree.load(ordering: .relaxed))
      let (done, seen) = free.compareExchange(
        expected: old, desired: old & 0xFFFF_FFFF_0000_0000 | next,
        ordering: .acquiringAndReleasing)
      if done { return record }
      old = seen
    }
    return nil
  }

  /// Pushes records that are linked from `first` to `last` onto a stack.
  @inline(__always)
  private static func push(
    _ first: TaskReference, _ last: TaskReference, on stack: borrowing Atomic<UInt64>
  ) {
    var old = stack.load(ordering: .relaxed)
    while true {
      last.pointer.pointee.nextFree.store(UInt32(truncatingIfNeeded: old), ordering: .relaxed)
      let (done, seen) = stack.compareExchange(
        expected: old, desired: head(first.pointer.pointee.index &+ 1, after: old),
        ordering: .acquiringAndReleasing)
      if done { return }
      old = seen
    }
  }

  /// The head of a stack whose first record is number `place` - 1, with a tag that differs from
  /// `old`.
  @inline(__always)
  private static func head(_ place: UInt32, after old: UInt64) -> UInt64 {
    (old >> 32 &+ 1) << 32 | UInt64(place)
  }

  /// The record numbered `place` - 1; nil for 0.
  private func record(at place: UInt32) -> TaskReference? {
    if place == 0 { return nil }
    let (number, place) = Self.position(of: place - 1)
    return chunk(number).map { TaskReference($0 + place) }
  }

  /// Takes a record when `free` is empty.
  private func takeReturnedOrNew(for registry: RegistryReference) -> TaskReference? {
    while true {
      let (record, missingChunk) = registry.monitor.withLock { _ in
        if let record = pop() { return (TaskReference?.some(record), 0) }
        let all = returned.exchange(0, ordering: .acquiringAndReleasing)
        replaceFree(UInt32(truncatingIfNeeded: all))
        if let record = pop() { return (record, 0) }
        let missingChunk = makeBatch(for: registry)
        return (pop(), missingChunk)
      }
      if let record { return record }
      if missingChunk >= Self.mostChunks { return nil }
      guard let chunk = Self.allocateChunk(missingChunk) else { return nil }
      let isInstalled = registry.monitor.withLock { _ in
        if chunks[missingChunk].load(ordering: .relaxed) != 0 { return false }
        chunks[missingChunk].store(UInt(bitPattern: chunk), ordering: .releasing)
        return true
      }
      if !isInstalled { CPlatform.free(chunk) }
    }
  }

  /// Makes `place` - 1 the first of `free`, which was found empty.
  ///
  /// Requires the lock: only under it is anything pushed there, and `free` was read under it.
  private func replaceFree(_ place: UInt32) {
    if place == 0 { return }
    let old = free.load(ordering: .relaxed)
    if UInt32(truncatingIfNeeded: old) != 0 { fatalError("a record is freed twice") }
    free.store(Self.head(place, after: old), ordering: .releasing)
  }

  /// Initialises the next few records and pushes them onto `free`.
  ///
  /// Requires the lock.
  ///
  /// - Returns: the number of the chunk that contains them, which matters if it does not exist.
  private func makeBatch(for registry: RegistryReference) -> Int {
    let first = made.load(ordering: .relaxed)
    let (number, place) = Self.position(of: first)
    guard number < Self.mostChunks, let chunk = chunk(number) else { return number }
    let batch = chunk + place
    for offset in 0..<Self.batch {
      let index = first + UInt32(offset)
      (batch + offset).initialize(to: TaskRecord(registry: registry, index: index))
      batch[offset].nextFree.store(index + 2, ordering: .relaxed)
    }
    made.store(first + UInt32(Self.batch), ordering: .sequentiallyConsistent)
    Self.push(TaskReference(batch), TaskReference(batch + Self.batch - 1), on: free)
    return number
  }

  private func chunk(_ number: Int) -> UnsafeMutablePointer<TaskRecord>? {
    UnsafeMutablePointer(bitPattern: chunks[number].load(ordering: .acquiring))
  }

  /// The chunk of record `index`, and the record's place in it.
  private static func position(of index: UInt32) -> (chunk: Int, place: Int) {
    let shifted = Int(index) + firstChunk
    let number = Int.bitWidth - 1 - shifted.leadingZeroBitCount - firstChunk.trailingZeroBitCount
    return (number, shifted - firstChunk << number)
  }

  // MARK: Messages and activities

  /// Bytes of a task's message, with its NUL.
  static var messageRoom: Int { 128 }

  /// The place of a task's message: behind all records of its chunk.
  ///
  /// It takes no memory until the first message of the chunk is set.
  static func messagePlace(of task: TaskReference) -> UnsafeMutablePointer<UInt8> {
    let (number, place) = position(of: task.pointer.pointee.index)
    let end = UnsafeMutableRawPointer(task.pointer - place + firstChunk << number)
    return (end + place * messageRoom).assumingMemoryBound(to: UInt8.self)
  }

  /// The place of a task's activity: behind the messages of its chunk, likewise.
  static func activityPlace(of task: TaskReference) -> TaskActivity.Pointer {
    let (number, place) = position(of: task.pointer.pointee.index)
    let count = firstChunk << number
    let end = UnsafeMutableRawPointer(task.pointer - place + count) + count * messageRoom
    return (end + place * activityRoom).assumingMemoryBound(to: TaskActivity.self)
  }

  /// Bytes of a task's activity.
  static var activityRoom: Int { (MemoryLayout<TaskActivity>.size + 63) & ~63 }

  /// Allocates a chunk and initialises nothing in it; nil if there is no memory.
  private static func allocateChunk(_ number: Int) -> UnsafeMutablePointer<TaskRecord>? {
    let count = firstChunk << number
    let bytes = count * (MemoryLayout<TaskRecord>.stride + messageRoom + activityRoom)
    var memory: UnsafeMutableRawPointer?
    guard posix_memalign(&memory, 64, bytes) == 0, let memory else { return nil }
    // The rest is only ever bytes, and memory may always be read and written as bytes.
    return memory.bindMemory(to: TaskRecord.self, capacity: count)
  }
}
