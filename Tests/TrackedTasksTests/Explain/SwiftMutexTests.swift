import CPlatform
import Synchronization
import Testing

@testable import TrackedTasks

/// What reports say of tasks that wait for a Swift `Mutex`, which is none of the C library's locks.
@Suite struct SwiftMutexTests {
  /// A `Mutex` that threads share, and who has it.
  private final class Shared: Sendable {
    let mutex = Mutex(0)
    // atomic: sequentially consistent; who has the mutex, or is about to release it; 0: nobody.
    let owner = Atomic<Int32>(0)
    let stops = Atomic<Bool>(false)
    // atomic: relaxed; how many takers have begun.
    let begun = Atomic<Int>(0)
  }

  /// **Proves:** of a task that waits for a Swift `Mutex` a report names the thread that has it, or
  /// says that it is not known, and never names another; and it finds it where the kernel can be
  /// asked (Q1, Q2).
  ///
  /// **Why it matters:** the memory behind the word of such a mutex belongs to somebody else: read
  /// as one of the C library's, it has an owner, too.
  /// **Catches:** an owner that is read behind the word; an owner without the bits that are masked.
  @Test func aSwiftMutexHasItsOwnerOrNone() throws {
    let registry = try TaskRegistry()
    let shared = Shared()
    let gate = Gate()
    let isHeld = Gate()
    let holder = try registry.spawn("holder", kind: .maintenance) { _ in
      shared.mutex.withLock { count in
        count += 1
        shared.owner.store(cp_gettid(), ordering: .sequentiallyConsistent)
        isHeld.open()
        gate.wait()
      }
    }
    isHeld.wait()
    let owner = shared.owner.load(ordering: .sequentiallyConsistent)
    let waiter = try registry.spawn("waiter", kind: .maintenance) { _ in
      shared.mutex.withLock { $0 += 1 }
    }
    // Nested expectations cannot be expanded.
    func isFound() -> Bool {
      guard
        let straggler = try? registry.explain(withBacktraces: false).stragglers.first(
          where: { $0.id == waiter.id })
      else { return false }
      let wait = straggler.wait
      #expect(wait.holderThreadID == nil || wait.holderThreadID == owner)
      #expect(wait.holderTaskID == nil || wait.holderTaskID == holder.id)
      return wait.kind == .mutex && wait.holderThreadID == owner
    }
    #expect(eventually { isFound() })
    gate.open()
    #expect(try waiter.wait(timeout: ample).ending == .returned)
    #expect(try holder.wait(timeout: ample).ending == .returned)
    try registry.shutdown(reason: .requestedByRun, grace: ample)
  }

  /// **Proves:** while tasks take a Swift `Mutex` from each other all the time, no report says that
  /// one waits for itself, or for a thread that takes no part (Q1).
  ///
  /// **Why it matters:** a lock that changes hands is where a stale owner would show.
  /// **Catches:** an owner that is read once, before or after the call.
  @Test func aSwiftMutexThatChangesHandsHasNoWrongOwner() throws {
    let registry = try TaskRegistry()
    let shared = Shared()
    let tasks = try (0..<4).map { number in
      try registry.spawn("taker \(number)", kind: .backgroundLoop) { _ in
        shared.begun.wrappingAdd(1, ordering: .relaxed)
        var count = 0
        while !shared.stops.load(ordering: .relaxed) {
          count += 1
          let pauses = count % 64 == 0
          // Nothing is changed: ThreadSanitizer does not know this lock.
          shared.mutex.withLock { _ in if pauses { usleep(50) } }
        }
      }
    }
    // All have begun: one that is about to has no thread in a report, and may have the lock.
    #expect(eventually { shared.begun.load(ordering: .relaxed) == tasks.count })
    for _ in 0..<200 {
      let stragglers = try registry.explain(withBacktraces: false).stragglers
      let threads = Set(stragglers.map(\.threadID))
      for straggler in stragglers {
        guard let holder = straggler.wait.holderThreadID else { continue }
        #expect(threads.contains(holder) && holder != straggler.threadID)
      }
    }
    shared.stops.store(true, ordering: .relaxed)
    for task in tasks { #expect(try task.wait(timeout: ample).ending == .returned) }
    try registry.shutdown(reason: .requestedByRun, grace: ample)
  }
}
