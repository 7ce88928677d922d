import Synchronization
import Testing

@testable import TrackedTasks

/// A pool that threads share.
private final class SharedPool: @unchecked Sendable {
  // SAFETY: the pool is made for many threads.
  let pool = RecordPool()
  let registry: TaskRegistry

  init() throws { registry = try TaskRegistry() }

  deinit { pool.destroy() }

  func take() -> TaskReference? { pool.take(for: registry.core) }

  /// How many records there are, free or not.
  var size: Int {
    var count = 0
    pool.forEach { _ in
      count += 1
      return true
    }
    return count
  }
}

/// Records are reused indefinitely and never given to two threads at once.
@Suite struct RecordPoolTests {
  /// **Proves:** a record is a whole number of cache lines, and each starts on one (N1).
  ///
  /// **Why it matters:** two tasks on one line slow each other down.
  /// **Catches:** a field added without adjusting the padding.
  @Test func recordsDoNotShareCacheLines() throws {
    #expect(MemoryLayout<TaskRecord>.stride % 64 == 0)
    let shared = try SharedPool()
    for _ in 0..<70 {
      let record = try #require(shared.take())
      #expect(UInt(bitPattern: record.pointer) % 64 == 0)
    }
  }

  /// **Proves:** over several chunks each record is handed out once, by its number (N1).
  ///
  /// **Why it matters:** a number that leads to another record hands out one record twice.
  /// **Catches:** an error of one in the arithmetic from number to chunk.
  @Test func numbersLeadToTheirRecordsOverSeveralChunks() throws {
    let shared = try SharedPool()
    var taken: [TaskReference] = []
    // Chunks of 64, 128, 256 and 512, and one record of the next.
    for _ in 0..<961 { taken.append(try #require(shared.take())) }
    #expect(Set(taken.map { UInt(bitPattern: $0.pointer) }).count == 961)
    #expect(Set(taken.map { $0.pointer.pointee.index }).count == 961)
    let size = shared.size
    #expect(size >= 961)

    // Returned and taken again in any order, they are the same records.
    for record in taken.shuffled() { shared.pool.release(record) }
    var again: Set<UInt> = []
    for _ in 0..<961 { again.insert(UInt(bitPattern: try #require(shared.take()).pointer)) }
    #expect(again.count == 961)
    #expect(shared.size == size)
  }

  /// **Proves:** a walk visits each existing record once, and ends when told to (N3).
  ///
  /// **Why it matters:** snapshots and cancellation walk this way.
  /// **Catches:** a chunk left out, or visited with the size of another.
  @Test func aWalkVisitsEachRecordOnce() throws {
    let shared = try SharedPool()
    for _ in 0..<300 { _ = try #require(shared.take()) }
    var seen: Set<UInt> = []
    var visits = 0
    shared.pool.forEach { record in
      seen.insert(UInt(bitPattern: record.pointer))
      visits += 1
      return true
    }
    #expect(visits == seen.count)
    #expect(visits >= 300)
    var few = 0
    shared.pool.forEach { _ in
      few += 1
      return few < 5
    }
    #expect(few == 5)
  }

  /// **Proves:** taking and releasing over and over needs no new memory (N1).
  ///
  /// **Why it matters:** memory must not grow with the number of tasks ever run.
  /// **Catches:** `give` that forgets the record.
  @Test func takingAndGivingDoesNotGrowThePool() throws {
    let shared = try SharedPool()
    shared.pool.release(try #require(shared.take()))
    let size = shared.size
    for _ in 0..<10_000 { shared.pool.release(try #require(shared.take())) }
    #expect(shared.size == size)
  }

  /// **Proves:** threads that take and give at once never hold one record together (N1, S1).
  ///
  /// **Why it matters:** two tasks in one record are the end of both.
  /// **Catches:** the tag of the free list's head left unchanged by a push (the ABA problem).
  @Test func noRecordIsHeldByTwoThreads() throws {
    let shared = try SharedPool()
    let collisions = Counter()
    onThreads(4) { seed in
      var generator = SplitMix(state: UInt64(seed))
      for _ in 0..<1500 {
        var mine: [TaskReference] = []
        for _ in 0..<generator.below(40) {
          guard let record = shared.take() else { continue }
          let mark = record.pointer.pointee.kind.exchange(1, ordering: .acquiringAndReleasing)
          if mark != 0 { collisions.add() }
          mine.append(record)
        }
        if generator.below(2) == 0 { mine.reverse() }
        for record in mine {
          let mark = record.pointer.pointee.kind.exchange(0, ordering: .acquiringAndReleasing)
          if mark != 1 { collisions.add() }
          shared.pool.release(record)
        }
      }
    }
    #expect(collisions.value == 0)
    #expect(shared.size <= 64 + 128 + 256)
  }
}
