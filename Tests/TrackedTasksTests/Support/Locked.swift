import CPlatform
import Synchronization

/// A value behind a mutex.
final class Locked<Value>: @unchecked Sendable {
  // SAFETY: the value is reached with the mutex held.
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private var guarded: Value

  init(_ value: Value) {
    guarded = value
    mutex.initialize(to: pthread_mutex_t())
    precondition(pthread_mutex_init(mutex, nil) == 0)
  }

  deinit {
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
  }

  func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return body(&guarded)
  }

  var value: Value { withLock { $0 } }
}

/// A number that threads count up.
final class Counter: Sendable {
  private let number = Atomic<Int>(0)

  var value: Int { number.load(ordering: .sequentiallyConsistent) }

  /// Adds one.
  ///
  /// - Returns: the number after that.
  @discardableResult
  func add(_ amount: Int = 1) -> Int {
    number.wrappingAdd(amount, ordering: .sequentiallyConsistent).newValue
  }
}

/// Something a closure captures to show when it lets go: it counts its own end.
final class Canary: Sendable {
  private let ends: Counter

  init(_ ends: Counter) { self.ends = ends }

  deinit { ends.add() }

  /// Does nothing but be alive.
  func sing() {}
}
