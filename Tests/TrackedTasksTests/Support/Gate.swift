import CPlatform

/// A gate that is opened once; threads that wait at it then continue.
///
/// Tests make threads meet at gates instead of sleeping. A wait that takes absurdly long ends with
/// a failure, so that a broken library makes a red test and not a hanging one.
final class Gate: @unchecked Sendable {
  // SAFETY: the guarded state is accessed only with the mutex held.
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var opened = false

  init() {
    mutex.initialize(to: pthread_mutex_t())
    precondition(pthread_mutex_init(mutex, nil) == 0)
    condition.initialize(to: pthread_cond_t())
    precondition(pthread_cond_init(condition, nil) == 0)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  var isOpen: Bool {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return opened
  }

  func open() {
    pthread_mutex_lock(mutex)
    opened = true
    pthread_cond_broadcast(condition)
    pthread_mutex_unlock(mutex)
  }

  /// Waits until the gate is open.
  ///
  /// - Returns: false when that took longer than `seconds`.
  @discardableResult
  func wait(seconds: Int = 300) -> Bool {
    var limit = timespec()
    clock_gettime(cp_clock_realtime(), &limit)
    limit.tv_sec += seconds
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while !opened {
      if pthread_cond_timedwait(condition, mutex, &limit) == ETIMEDOUT { return opened }
    }
    return true
  }
}
