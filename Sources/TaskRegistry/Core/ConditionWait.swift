import CPlatform
import Synchronization

// LOCKING
// Why no wake-up is lost. The waiting task holds the application's mutex from before it publishes its
// wait until the wait on the condition variable gives the mutex up, which POSIX makes one step with
// beginning to wait. It publishes first and looks at its flag afterwards; whoever raises the flag
// looks for a published wait afterwards: one of them sees the other. If the task saw its flag, it
// does not wait. If the canceller saw the wait, it broadcasts; that wakes the task unless the task
// still holds the mutex on its way into the wait. The canceller cannot wait for the mutex: it may hold
// it itself, or a lock that the holder of the mutex waits for. So it tries the mutex. If it gets it, the
// task is waiting, or has waited: the broadcast was not in vain. If not, it cannot know who
// holds it, and the timer thread broadcasts again, and tries again, in pauses that double, until it gets
// the mutex or the task has withdrawn its wait.
//
// The wait lives on the task's stack. It is withdrawn before the call returns, and if the flag is up by
// then, which means that somebody may have found it, under the timer thread's lock, under which it is
// used. That lock is taken under the application's mutex, and the mutex only tried under that lock.

/// A task's wait on a condition variable of the application's.
struct ConditionWait {
  /// Wakes the task again; the first field, so that its address is known.
  fileprivate var timer: Timer

  // immutable after init
  fileprivate let condition: UnsafeMutablePointer<pthread_cond_t>
  fileprivate let mutex: UnsafeMutablePointer<pthread_mutex_t>

  // Guarded by the timer thread's Monitor.
  fileprivate var pause: Int64 = 50_000

  fileprivate static var longestPause: Int64 { 10_000_000 }

  typealias Pointer = UnsafeMutablePointer<ConditionWait>
}

extension UnsafeMutablePointer<ConditionWait> {
  fileprivate var timer: Timer.Pointer {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: Timer.self)
  }

  /// Wakes the task, and queues another time unless this one was certain.
  ///
  /// Requires the lock. Called when the flag has risen, and by the timer thread.
  func wake(again queue: inout TimerQueue) {
    let code = pthread_mutex_trylock(pointee.mutex)
    mustSucceed(pthread_cond_broadcast(pointee.condition))
    // EOWNERDEAD: a robust mutex, which is taken as well.
    if code == 0 || code == EOWNERDEAD {
      mustSucceed(pthread_mutex_unlock(pointee.mutex))
      return
    }
    queue.remove(timer)
    queue.insert(timer, due: monotonicNow() + pointee.pause)
    pointee.pause = min(pointee.pause * 2, ConditionWait.longestPause)
  }
}

/// Waits on a condition variable of the application's, whose mutex the caller holds; inside a task its
/// flag ends the wait (C9).
///
/// - Returns: `.ok` when the condition variable was signalled, or for no reason; `.cancelled`, which
///   goes before the others; `.timedOut`; `.invalid` when the caller does not hold a mutex that can
///   tell; `.system`; and then the caller holds the mutex as before. `.again` or `.noMemory` without
///   having waited.
func waitOnCondition(
  _ condition: UnsafeMutablePointer<pthread_cond_t>, _ mutex: UnsafeMutablePointer<pthread_mutex_t>,
  until deadline: Deadline
) -> Status {
  // A task whose end is under way can be asked to stop no more (W3).
  guard let task = Worker.currentTask, task.word.phase == .running else {
    return withCancellationDisabled { block(on: condition, mutex, until: deadline) }
  }
  if task.looksAtFlag() { return .cancelled }
  let status = task.holdTimerThread()
  if status != .ok { return status }
  return withCancellationDisabled {
    withUnsafeTemporaryAllocation(of: ConditionWait.self, capacity: 1) { memory in
      // SAFETY: room for one element has a base address.
      let wait = memory.baseAddress.unsafelyUnwrapped
      wait.initialize(
        to: ConditionWait(timer: Timer(.wake(wait)), condition: condition, mutex: mutex))
      let published = task.pointer
      published.pointee.extras.conditionWait.store(
        UInt(bitPattern: wait), ordering: .sequentiallyConsistent)
      var status = Status.cancelled
      if !task.isFlagUp {
        status = block(on: condition, mutex, until: deadline)
        if task.isFlagUp && status != .invalid {
          status = .cancelled
          // The wake-up may have been meant for another: it is passed on.
          mustSucceed(pthread_cond_signal(condition))
        }
      }
      published.pointee.extras.conditionWait.store(0, ordering: .sequentiallyConsistent)
      if task.isFlagUp { TimerThread.remove(wait.timer) }
      if status == .cancelled { task.countLook() }
      return status
    }
  }
}

extension TaskReference {
  /// The flag, in the one order of all sequentially consistent operations.
  fileprivate var isFlagUp: Bool {
    TaskWord(bits: pointer.pointee.word.load(ordering: .sequentiallyConsistent)).isCancelRequested
  }
}

private func block(
  on condition: UnsafeMutablePointer<pthread_cond_t>,
  _ mutex: UnsafeMutablePointer<pthread_mutex_t>,
  until deadline: Deadline
) -> Status {
  let code: Int32
  if deadline.isNever {
    code = pthread_cond_wait(condition, mutex)
  } else {
    var limit = deadline.timespec
    code = cp_cond_clockwait(condition, mutex, &limit)
  }
  switch code {
  case 0: return .ok
  case ETIMEDOUT: return .timedOut
  case EPERM:
    return .invalid("tr_cond_wait", "the calling thread does not hold mutex")
  default: return .system
  }
}
