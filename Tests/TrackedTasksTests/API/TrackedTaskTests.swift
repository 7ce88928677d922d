import Glibc
import Testing

@testable import TrackedTasks

/// Handles of tasks.
@Suite struct TrackedTaskTests {
  /// **Proves:** `current` is the task inside and nil outside (O1, N2).
  ///
  /// **Why it matters:** code deep in a library asks for its flag this way.
  /// **Catches:** the task before left in the thread.
  @Test func currentIsTheRunningTask() throws {
    #expect(TrackedTask.current == nil)
    let registry = try TaskRegistry()
    let seen = Locked<[UInt64?]>([])
    let task = try registry.spawn("current", kind: .rpcHandler) { task in
      let ids: [UInt64?] = [TrackedTask.current?.id, task.id]
      seen.withLock { $0 = ids }
    }
    try task.wait(timeout: ample)
    #expect(seen.value == [task.id, task.id])
    #expect(TrackedTask.current == nil)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** `current` lasts while captured objects are let go and events logged (S4, O2).
  ///
  /// **Why it matters:** their code may ask as well.
  /// **Catches:** the task forgotten before its end.
  @Test func currentLastsUntilTheEnd() throws {
    let inLog = Locked<UInt64?>(nil)
    let inDrop = Locked<UInt64?>(nil)
    var options = RegistryOptions.underTest
    options.log = { _ in
      let id = TrackedTask.current?.id
      inLog.withLock { $0 = id }
    }
    let registry = try TaskRegistry(options)
    let gate = Gate()
    let task = try spawnFailing(in: registry, inDrop, gate)
    // From here on only the body holds what it captured.
    gate.open()
    try task.wait(timeout: ample)
    #expect(inLog.value == task.id)
    #expect(inDrop.value == task.id)
    try registry.shutdown(grace: ample)
  }

  private func spawnFailing(
    in registry: TaskRegistry, _ seen: Locked<UInt64?>, _ gate: Gate
  ) throws -> TrackedTask {
    let witness = Witness(seen)
    return try registry.spawn("fails", kind: .rpcHandler) { _ in
      gate.wait()
      witness.look()
      throw TaskRegistryError.systemFailure
    }
  }

  /// **Proves:** ids are unique over registries, and name and kind are as given (N2).
  ///
  /// **Why it matters:** logs of several registries end up in one file.
  /// **Catches:** ids counted per registry.
  @Test func idsAreUniqueOverRegistries() throws {
    var ids: Set<UInt64> = []
    for _ in 0..<3 {
      let registry = try TaskRegistry()
      for number in 0..<50 {
        let task = try registry.spawn("n\(number)", kind: .application(UInt32(number))) { _ in }
        #expect(task.name == "n\(number)" && task.kind == .application(UInt32(number)))
        ids.insert(task.id)
      }
      try registry.shutdown(grace: ample)
    }
    #expect(ids.count == 150)
  }

  /// **Proves:** a task has its phase, and carries a pointer that only it sets and everybody reads,
  /// also after its end (E5, O5).
  ///
  /// **Why it matters:** code that gets the task alone finds what belongs to it.
  /// **Catches:** a pointer set by another thread; a phase that is not the spawn's.
  @Test func aTaskCarriesItsPhaseAndAPointer() throws {
    let registry = try TaskRegistry()
    let address: UInt = 4711
    let gate = Gate()
    var options = SpawnOptions()
    options.phase = 5
    let task = try registry.spawn("carries", kind: .rpcHandler, options: options) { task in
      #expect(task.phase == 5 && task.data == nil)
      task.setData(UnsafeMutableRawPointer(bitPattern: 1))
      TaskContext.current?.setData(UnsafeMutableRawPointer(bitPattern: address))
      gate.wait()
    }
    gate.open()
    try task.wait(timeout: ample)
    #expect(task.phase == 5 && task.data == UnsafeMutableRawPointer(bitPattern: address))
    let other = try registry.spawn("other", kind: .rpcHandler) { _ in }
    #expect(other.phase == 0 && other.data == nil)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a handle may be dropped at any time without touching its task (O3, C5).
  ///
  /// **Why it matters:** most callers never use it.
  /// **Catches:** a deinit that cancels or waits.
  @Test func droppingAHandleDoesNotTouchTheTask() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let flagged = Locked<Bool?>(nil)
    try registry.spawn("on its own", kind: .backgroundLoop) { task in
      gate.wait()
      let flag = task.isCancelled
      flagged.withLock { $0 = flag }
    }
    #expect(registry.count == 1)
    gate.open()
    try registry.joinAll(timeout: ample)
    #expect(flagged.value == false)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a handle kept from inside the body is good after the end (O3, N1).
  ///
  /// **Why it matters:** a body may register itself somewhere.
  /// **Catches:** the handle given to the body not counted.
  @Test func aHandleFromInsideTheBodyOutlivesIt() throws {
    let registry = try TaskRegistry()
    let kept = Locked<TrackedTask?>(nil)
    try registry.spawn("registers itself", kind: .rpcHandler) { task in
      kept.withLock { $0 = task.handle }
    }
    try registry.joinAll(timeout: ample)
    for _ in 0..<200 { try registry.spawn("other", kind: .rpcHandler) { _ in } }
    try registry.shutdown(grace: ample)
    let task = try #require(kept.value)
    #expect(task.name == "registers itself")
    #expect(try task.wait(timeout: .zero).ending == .returned)
  }

  /// **Proves:** the body and the spawner get the same object, even if the spawner uses it first.
  ///
  /// **Why it matters:** a spawn makes one object, for both; either may be the first to use it.
  /// **Catches:** an object whose task only one of the two has set.
  @Test func theBodyGetsTheObjectThatSpawnReturns() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    for bodyIsFirst in [true, false] {
      let inside = Locked<TrackedTask?>(nil)
      let task = try registry.spawn("shared", kind: .rpcHandler) { task in
        if !bodyIsFirst { gate.wait() }
        if task.name == "shared" { inside.withLock { $0 = task.handle } }
      }
      if bodyIsFirst {
        #expect(eventually { inside.value != nil })
      } else {
        #expect(task.name == "shared")
        gate.open()
      }
      try task.wait(timeout: ample)
      #expect(inside.value === task)
    }
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a wait on a condition variable ends with the signal, the timeout, or by being
  /// asked to stop, and is the task's own to make (C9).
  ///
  /// **Why it matters:** queues between threads are made of these.
  /// **Catches:** a timeout in the wrong unit; a wait that another task's flag ends.
  @Test func aWaitOnAConditionVariableEnds() throws {
    let registry = try TaskRegistry()
    let queue = ConditionOfTest()
    let endings = Locked<[TaskRegistryError?]>([])
    let task = try registry.spawn("waits", kind: .backgroundLoop) { task in
      queue.withMutex {
        for timeout in [Duration.zero, .milliseconds(5), nil] {
          let error = errorOf { () throws(TaskRegistryError) in
            // For no reason it may return as well.
            while true {
              try task.wait(on: queue.condition, mutex: queue.mutex, timeout: timeout)
            }
          }
          endings.withLock { $0.append(error) }
        }
      }
    }
    #expect(eventually { endings.withLock { $0.count } == 2 })
    task.cancel()
    try task.wait(timeout: ample)
    #expect(endings.value == [.timedOut, .timedOut, .cancelled])
    try registry.shutdown(grace: ample)
    queue.destroy()
  }
}

/// When it is released, it checks which task is current.
private final class Witness: Sendable {
  private let seen: Locked<UInt64?>

  init(_ seen: Locked<UInt64?>) { self.seen = seen }

  deinit {
    let id = TrackedTask.current?.id
    seen.withLock { $0 = id }
  }

  func look() {}
}

/// A mutex and a condition variable.
private struct ConditionOfTest: @unchecked Sendable {
  // SAFETY: both are made for many threads.
  let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  init() {
    precondition(pthread_mutex_init(mutex, nil) == 0)
    precondition(pthread_cond_init(condition, nil) == 0)
  }

  func withMutex(_ body: () -> Void) {
    pthread_mutex_lock(mutex)
    body()
    pthread_mutex_unlock(mutex)
  }

  func destroy() {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }
}
