import Glibc
import Testing
import TrackedTasks

/// Waits on condition variables of the consumer's own.
@Suite(.serialized) struct ConditionTests {
  @Test func aConditionIsWaitedFor() throws {
    let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    unsafe condition.initialize(to: pthread_cond_t())
    unsafe pthread_mutex_init(mutex, nil)
    unsafe pthread_cond_init(condition, nil)
    let address = (UInt(bitPattern: mutex), UInt(bitPattern: condition))
    let registry = try TaskRegistry()
    let task = try registry.spawn("waits", kind: .backgroundLoop) { task in
      guard let mutex = unsafe UnsafeMutablePointer<pthread_mutex_t>(bitPattern: address.0),
        let condition = unsafe UnsafeMutablePointer<pthread_cond_t>(bitPattern: address.1)
      else { return }
      unsafe pthread_mutex_lock(mutex)
      defer { unsafe pthread_mutex_unlock(mutex) }
      while true { try unsafe task.wait(on: condition, mutex: mutex) }
    }
    unsafe pthread_mutex_lock(mutex)
    let token = try ShutdownToken(timeout: .milliseconds(1))
    while !token.isCancelled {
      _ = try? unsafe token.wait(on: condition, mutex: mutex, timeout: .seconds(60))
    }
    unsafe pthread_mutex_unlock(mutex)
    task.cancel()
    #expect(try task.wait(timeout: .seconds(60)).ending == .returned)
    try registry.shutdown(grace: .seconds(60))
    unsafe mutex.deallocate()
    unsafe condition.deallocate()
  }
}
