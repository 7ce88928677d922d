import CPlatform
import Synchronization

// LOCKING
// Why no wake-up is lost. The waiting task holds the application's mutex from before it publishes
// its wait until the wait on the condition variable releases the mutex; POSIX makes releasing it
// and starting to wait one step. The task publishes first and reads its flag afterwards; a
// canceller raises the flag and then checks for a published wait: one of them sees the other. If the
// task saw its flag, it does not wait. If the canceller saw the wait, it broadcasts; that wakes the
// task unless the task still holds the mutex on its way into the wait. The canceller cannot wait
// for the mutex: it may hold it itself, or hold a lock that the holder of the mutex waits for. So
// it tries the mutex. If it gets it, the task is waiting, or has waited: the broadcast was not in
// vain. If not, the holder is unknown, and a thread of `ConditionWaker` broadcasts and tries again,
// in pauses that double, until it gets the mutex or the task has withdrawn its wait.
//
// The wait lives on the task's stack. It is withdrawn before the call returns. If the flag is up by
// then, so that another thread may have found the wait, it is withdrawn under the waker's lock,
// under which it is found. If it is being woken at that moment, the task releases the mutex until
// that is done: for the application, it is still waiting.
//
// A wait that a token ends is found in the same way, through a callback on the token's list of
// waits. `context` of that callback is guarded by the waker's lock, like the wait: it is set to nil
// as the wait is withdrawn. A thread that runs the callback later finds nothing, and the callback's
// own memory lives as long as that thread holds it. So the waiting thread, which holds the mutex
// again, does not wait for that thread.

/// A task's wait on a condition variable of the application's.
struct ConditionWait {
  /// Its place in the queue of the waker; the first field, so that its address is known.
  fileprivate var timer: Timer

  // immutable after init
  let condition: UnsafeMutablePointer<pthread_cond_t>
  fileprivate let mutex: UnsafeMutablePointer<pthread_mutex_t>

  // Guarded by the waker's Monitor.
  fileprivate var pause: Int64 = 50_000
  /// Whether a thread is about to use `condition` and `mutex`.
  var isBeingWoken = false
  var nextBusy: Pointer?

  fileprivate static var longestPause: Int64 { 10_000_000 }

  typealias Pointer = UnsafeMutablePointer<ConditionWait>
}

extension UnsafeMutablePointer<ConditionWait> {
  init(of timer: Timer.Pointer) {
    self = UnsafeMutableRawPointer(timer).assumingMemoryBound(to: ConditionWait.self)
  }

  var timer: Timer.Pointer {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: Timer.self)
  }

  /// How long until it is woken again; longer the next time.
  ///
  /// Requires the lock.
  func nextPause() -> Int64 {
    let pause = pointee.pause
    pointee.pause = min(pause * 2, ConditionWait.longestPause)
    return pause
  }

  /// Wakes all threads that wait on the condition variable; may block.
  ///
  /// Called by the waker, without its lock, while `isBeingWoken`.
  ///
  /// - Returns: whether it was certain that the task is waiting, or has waited.
  func broadcast() -> Bool {
    let isCertain = pthread_mutex_trylock(pointee.mutex) == 0
    // Before the broadcast, which may take long.
    if isCertain {
      mustSucceed(
        pthread_mutex_unlock(pointee.mutex), "pthread_mutex_unlock",
        advice:
          "Was the mutex of a tr_cond_wait destroyed or overwritten while a task waited with it?")
    }
    _ = pthread_cond_broadcast(pointee.condition)  // glibc's has no errors
    return isCertain
  }
}

/// Waits on a condition variable of the application's, whose mutex the caller holds; inside a task
/// its flag ends the wait (C9), and in any thread a token, if one is given (C18).
///
/// - Returns: `.ok` if the condition variable was signalled, or after a spurious wake-up;
///   `.cancelled`, which takes precedence over the others; `.timedOut`; `.invalid` if the caller
///   does not hold a mutex that can detect that; `.system`. In all these cases the caller holds the
///   mutex as before. `.noMemory` without having waited.
func waitOnCondition(
  _ condition: UnsafeMutablePointer<pthread_cond_t>, _ mutex: UnsafeMutablePointer<pthread_mutex_t>,
  endedBy token: TokenReference? = nil, until deadline: Deadline
) -> Status {
  let caller: StaticString = token == nil ? "tr_cond_wait" : "tr_cond_wait_token"
  if cp_mutex_is_robust(mutex) != 0 { return .invalid(caller, "mutex is robust") }
  // The flag of a task whose end is under way cannot rise any more (W3).
  let current = Worker.currentTask
  let task = current?.word.stage == .running ? current : nil
  if task == nil && token == nil {
    return withHeartbeatsSuspended(reports: false) {
      withCancellationDisabled { block(on: condition, mutex, until: deadline, caller) }
    }
  }
  if let task, task.endsWait() { return .cancelled }
  if token?.isCancelled == true { return .cancelled }
  if !ConditionWaker.prepare() { return .noMemory }
  task?.announceConditionWaits()
  return withCancellationDisabled {
    withUnsafeTemporaryAllocation(of: ConditionWait.self, capacity: 1) { memory in
      // SAFETY: room for one element has a base address.
      let wait = memory.baseAddress.unsafelyUnwrapped
      wait.initialize(
        to: ConditionWait(timer: Timer(.wake(wait)), condition: condition, mutex: mutex))
      var listed: CancelCallback.Pointer?
      if let token {
        let status = CancelCallback.register(
          { _ in }, UnsafeMutableRawPointer(wait), drop: nil, with: .waits(token),
          publish: { listed = $0 })
        if status == .noMemory { return .noMemory }
      }
      task?.publish(wait)
      /// Whether something but the condition variable ends the wait.
      func isOver() -> Bool { task?.isWaitOver == true || token.map { $0.level != .none } == true }
      var status = Status.cancelled
      if !isOver() {
        status = withHeartbeatsSuspended(reports: false) {
          block(on: condition, mutex, until: deadline, caller)
        }
        if isOver() && status != .invalid && status != .system {
          status = .cancelled
          // The wake-up may have been meant for another thread: it is passed on.
          _ = pthread_cond_signal(condition)  // glibc's has no errors
        }
      }
      task?.publish(nil)
      if token != nil || task?.isFlagUp == true {
        ConditionWaker.withdraw(wait) {
          // A thread that cancels the token finds no wait from now on.
          listed?.pointee.context = nil
        } letsGo: { waitUntilFree in
          // If the state of the mutex is unknown, it is not touched.
          if status == .invalid || status == .system { return waitUntilFree() }
          // If the flag rose before the wait, nothing has checked yet that the caller holds the
          // mutex.
          if pthread_mutex_unlock(mutex) != 0 { return waitUntilFree() }
          waitUntilFree()
          let error = pthread_mutex_lock(mutex)
          if error != 0 {
            cp_set_errno(error)
            status = .system
          }
        }
      }
      if let listed { CancelCallback.forget(listed) }
      if status == .cancelled { task?.countCancelCheck() }
      return status
    }
  }
}

extension CancelCallback.Pointer {
  /// Wakes the wait on a condition variable for which it was registered, unless the wait has been
  /// withdrawn.
  func wakeWait() {
    ConditionWaker.wake {
      pointee.context?.assumingMemoryBound(to: ConditionWait.self)
    }
  }
}

extension TaskReference {
  /// Makes a wait known to the threads that raise the flag; nil: there is none any more.
  fileprivate func publish(_ wait: ConditionWait.Pointer?) {
    pointer.pointee.optionalState.conditionWait.store(
      UInt(bitPattern: wait), ordering: .sequentiallyConsistent)
  }

  /// Whether the task was asked to stop, at whatever level, read in the single order of all
  /// sequentially consistent operations.
  var isFlagUp: Bool {
    TaskWord(bits: pointer.pointee.word.load(ordering: .sequentiallyConsistent)).isCancelRequested
  }
}

private func block(
  on condition: UnsafeMutablePointer<pthread_cond_t>,
  _ mutex: UnsafeMutablePointer<pthread_mutex_t>,
  until deadline: Deadline, _ caller: StaticString
) -> Status {
  var wait = NotedWait(.condition)
  let code = wait.block(until: deadline) {
    if deadline.isNever { return pthread_cond_wait(condition, mutex) }
    var limit = deadline.timespec
    return cp_cond_clockwait(condition, mutex, &limit)
  }
  switch code {
  case 0: return .ok
  case ETIMEDOUT: return .timedOut
  case EPERM:
    return .invalid(caller, "the calling thread does not hold mutex")
  default:
    cp_set_errno(code)
    return .system
  }
}
