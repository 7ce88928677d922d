import CPlatform
import Synchronization

// LOCKING
// Free records form two stacks: spawners take from `free`, and whoever ends a task gives to
// `returned`. Both are done without a lock, on a cache line of their own. When `free` is empty a
// spawner moves the whole of `returned` there, or adds a chunk; that is done under the registry's
// Monitor, so that nobody takes the moment in between for a want of records and adds another. The
// heads carry a tag that changes with every push, against the ABA problem (Treiber, "Systems
// Programming: Coping with Parallelism", IBM RJ 5118, 1986); reading the successor of a record that
// somebody else just took is safe because records are never freed while the pool lives. A chunk is
// published with release and found with acquire.

/// The records of one registry: as many as were ever alive at once, reused for ever (N1).
///
/// Pool1: a record is on one of the stacks, or belongs to a spawner, or has references; one of these.
struct RecordPool: ~Copyable {
  // atomic: tag in the high half, index + 1 of the first record in the low half.
  private let free = Atomic<UInt64>(0)
  private let padding1 = InlineArray<7, UInt64>(repeating: 0)
  // atomic: likewise.
  private let returned = Atomic<UInt64>(0)
  private let padding2 = InlineArray<7, UInt64>(repeating: 0)
  // atomic: the chunks as bits; chunk n has `firstChunk << n` records.
  private let chunks = InlineArray<20, Atomic<UInt>> { _ in Atomic(0) }
  private let padding3 = InlineArray<4, UInt64>(repeating: 0)

  private static var firstChunk: Int { 64 }
  private static var mostChunks: Int { 20 }

  /// Takes a free record; nil without memory.
  @inline(__always)
  func take(for registry: RegistryReference) -> TaskReference? {
    pop() ?? takeReturnedOrNew(for: registry)
  }

  /// Takes back a record that nobody holds.
  @inline(__always)
  func give(back record: TaskReference) {
    Self.push(record, record, on: returned)
  }

  /// Calls `visit` for every record there is, free or not; false from it ends the walk.
  @inline(__always)
  func forEach(_ visit: (TaskReference) -> Bool) {
    for number in 0..<Self.mostChunks {
      let bits = chunks[number].load(ordering: .acquiring)
      guard let chunk = UnsafeMutablePointer<TaskRecord>(bitPattern: bits) else { return }
      for place in 0..<(Self.firstChunk << number) where !visit(TaskReference(chunk + place)) {
        return
      }
    }
  }

  /// Frees the memory.
  ///
  /// Requires that nobody uses a record any more.
  func destroy() {
    for number in 0..<Self.mostChunks {
      let bits = chunks[number].load(ordering: .acquiring)
      if let chunk = UnsafeMutableRawPointer(bitPattern: bits) { CPlatform.free(chunk) }
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

  /// Puts records that are linked from `first` to `last` on top of a stack.
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

  /// The head of a stack whose first record is number `place` - 1, with another tag than `old`.
  @inline(__always)
  private static func head(_ place: UInt32, after old: UInt64) -> UInt64 {
    (old >> 32 &+ 1) << 32 | UInt64(place)
  }

  /// The record numbered `place` - 1; nil for 0.
  private func record(at place: UInt32) -> TaskReference? {
    if place == 0 { return nil }
    let index = Int(place) - 1 + Self.firstChunk
    let number = Int.bitWidth - 1 - index.leadingZeroBitCount - 6
    let bits = chunks[number].load(ordering: .acquiring)
    guard let chunk = UnsafeMutablePointer<TaskRecord>(bitPattern: bits) else { return nil }
    return TaskReference(chunk + (index - Self.firstChunk << number))
  }

  /// Takes a record when `free` is empty.
  private func takeReturnedOrNew(for registry: RegistryReference) -> TaskReference? {
    while true {
      let (record, number) = registry.monitor.withLock { _ in
        if let record = pop() { return (TaskReference?.some(record), 0) }
        let all = returned.exchange(0, ordering: .acquiringAndReleasing)
        replaceFree(UInt32(truncatingIfNeeded: all))
        return (pop(), chunkCount)
      }
      if let record { return record }
      guard number < Self.mostChunks, let chunk = makeChunk(number, for: registry) else {
        return nil
      }
      let isInstalled = registry.monitor.withLock { _ in
        if chunkCount != number { return false }
        chunks[number].store(UInt(bitPattern: chunk), ordering: .releasing)
        let last = chunk + (Self.firstChunk << number) - 1
        Self.push(TaskReference(chunk), TaskReference(last), on: free)
        return true
      }
      if !isInstalled { CPlatform.free(chunk) }
    }
  }

  /// Makes `place` - 1 the first of `free`, which was found empty.
  ///
  /// Requires the lock, under which alone anything is put there and under which it was looked at.
  private func replaceFree(_ place: UInt32) {
    if place == 0 { return }
    let old = free.load(ordering: .relaxed)
    if UInt32(truncatingIfNeeded: old) != 0 { fatalError() }
    free.store(Self.head(place, after: old), ordering: .releasing)
  }

  private var chunkCount: Int {
    var count = 0
    while count < Self.mostChunks, chunks[count].load(ordering: .acquiring) != 0 { count += 1 }
    return count
  }

  /// Allocates chunk `number` with its records linked in order; nil without memory.
  private func makeChunk(
    _ number: Int, for registry: RegistryReference
  ) -> UnsafeMutablePointer<TaskRecord>? {
    let count = Self.firstChunk << number
    var memory: UnsafeMutableRawPointer?
    guard posix_memalign(&memory, 64, count * MemoryLayout<TaskRecord>.stride) == 0,
      let chunk = memory?.bindMemory(to: TaskRecord.self, capacity: count)
    else { return nil }
    let firstIndex = UInt32(count - Self.firstChunk)
    for place in 0..<count {
      let index = firstIndex + UInt32(place)
      (chunk + place).initialize(to: TaskRecord(registry: registry, index: index))
      if place + 1 < count { chunk[place].nextFree.store(index + 2, ordering: .relaxed) }
    }
    return chunk
  }
}
