import CPlatform
import Testing

@testable import TrackedTasks

/// A number each thread has for itself, whose end with the thread is counted.
final class ThreadKey: Sendable {
  private let key: pthread_key_t
  private let ends = Counter()
  private let gate: Gate?

  /// Makes a key; with a gate, threads that have a number wait there as they end.
  init(holdingUpUntil gate: Gate? = nil) throws {
    var key = pthread_key_t()
    try #require(
      pthread_key_create(&key) { mark in
        guard let mark else { return }
        // SAFETY: matches passRetained in `value`.
        let ended = Unmanaged<Mark>.fromOpaque(mark).takeRetainedValue()
        ended.gate?.wait()
        ended.ends.add()
      } == 0)
    self.key = key
    self.gate = gate
  }

  deinit { pthread_key_delete(key) }

  /// How many threads with a number have ended.
  var destroyed: Int { ends.value }

  /// The calling thread's number; 0 if it has none.
  var value: Int {
    get {
      guard let mark = pthread_getspecific(key) else { return 0 }
      return Unmanaged<Mark>.fromOpaque(mark).takeUnretainedValue().number
    }
    set {
      if let old = pthread_getspecific(key) { Unmanaged<Mark>.fromOpaque(old).release() }
      // SAFETY: the destructor takes this reference over.
      let mark = Unmanaged.passRetained(Mark(number: newValue, ends: ends, gate: gate))
      pthread_setspecific(key, mark.toOpaque())
    }
  }

  private final class Mark: Sendable {
    let number: Int
    let ends: Counter
    let gate: Gate?

    init(number: Int, ends: Counter, gate: Gate?) {
      self.number = number
      self.ends = ends
      self.gate = gate
    }
  }
}
