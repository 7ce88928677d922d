import CPlatform
import Synchronization

/// The state that the library keeps once for each process.
///
/// It has the ids, the thread-specific keys, and whether this process is a fork of one that had
/// objects of the library. Every value here is initialised statically: no code runs when the
/// library is loaded.
enum ProcessState {
  /// The id of the last task.
  private static let ids = IDCounter()
  /// The key whose value is the calling thread's `Worker`, plus one; 0 before it exists.
  ///
  /// atomic: stored with release once the key exists, loaded with acquire.
  private static let workerKeyPlusOne = Atomic<UInt64>(0)
  /// The key whose value is the calling thread's innermost `CallFrame`, plus one; 0 before it
  /// exists.
  ///
  /// atomic: as `workerKeyPlusOne`.
  private static let frameKeyPlusOne = Atomic<UInt64>(0)
  /// The key whose value is the calling thread's `ThreadHeartbeats`, plus one; 0 before it exists.
  ///
  /// atomic: likewise.
  private static let heartbeatsKeyPlusOne = Atomic<UInt64>(0)
  /// The number of the last registry that was put on a list.
  ///
  /// atomic: relaxed; the lock of the list orders the numbers of its elements.
  private static let listNumbers = Atomic<UInt64>(0)
  /// How many objects of the library exist: registries, tokens, reports.
  ///
  /// All other things, such as tasks, callbacks and watches, hold one of these.
  private static let objects = ObjectCounter()
  /// The exceptional states of this process, as bits.
  ///
  /// `isForked` is set in a child of fork whose parent had objects at that moment, `isChecked`
  /// where handles are checked. They share a word, so that a function of the C interface checks
  /// both at once.
  ///
  /// atomic: relaxed; the child starts with one thread, and handles are checked from the first
  /// object on.
  private static let processFlags = Atomic<UInt32>(0)
  private static var isForked: UInt32 { 1 }
  private static var isChecked: UInt32 { 2 }
  /// True once the fork handler is installed.
  ///
  /// atomic: acquire and release with its installation.
  private static let hasForkHandler = Atomic<Bool>(false)

  /// Whether this process is a fork of one that had objects of the library (P1).
  @inline(__always)
  static var isForkedChild: Bool { processFlags.load(ordering: .relaxed) & isForked != 0 }

  /// Whether handles are checked (P8).
  @inline(__always)
  static var checksHandles: Bool { processFlags.load(ordering: .relaxed) & isChecked != 0 }

  /// Whether this is neither a forked child nor a process whose handles are checked.
  @inline(__always)
  static var isOrdinary: Bool { processFlags.load(ordering: .relaxed) == 0 }

  /// From now on handles are checked.
  static func checkHandles() { processFlags.bitwiseOr(isChecked, ordering: .relaxed) }

  /// Returns a number that no task had before.
  @inline(__always)
  static func nextID() -> UInt64 {
    ids.last.wrappingAdd(1, ordering: .releasing).newValue
  }

  /// The last number that was taken; a thread that reads it sees what came before it was taken.
  static var lastID: UInt64 { ids.last.load(ordering: .acquiring) }

  /// Returns a number that no registry had on a list before.
  static func nextListNumber() -> UInt64 {
    listNumbers.wrappingAdd(1, ordering: .relaxed).newValue
  }

  /// Where a reader outside finds whether this is a child of fork, and which bit says so.
  static var placeOfForkedBit: (address: UInt, mask: UInt32) {
    (addressOf(processFlags), isForked)
  }

  /// Makes the keys and installs the fork handler; needed before the first token or registry.
  ///
  /// Several threads may call it at once: a second handler does what the first does, and a second
  /// key is deleted.
  static func prepare() -> Status {
    if isForkedChild { return .forked }
    if !hasForkHandler.load(ordering: .acquiring) {
      let code = pthread_atfork(nil, nil, { ProcessState.processHasForked() })
      if code != 0 { return .noMemory }
      hasForkHandler.store(true, ordering: .releasing)
    }
    if workerKeyPlusOne.load(ordering: .acquiring) == 0 {
      var key = pthread_key_t()
      if pthread_key_create(&key, { Worker.threadIsEnding($0) }) != 0 { return .system }
      let made = workerKeyPlusOne.compareExchange(
        expected: 0, desired: UInt64(key) + 1, ordering: .acquiringAndReleasing)
      if !made.exchanged { mustSucceed(pthread_key_delete(key), "pthread_key_delete") }
      ThreadState.measureShortestChange()
    }
    if frameKeyPlusOne.load(ordering: .acquiring) == 0 {
      var key = pthread_key_t()
      if pthread_key_create(&key, nil) != 0 { return .system }
      let made = frameKeyPlusOne.compareExchange(
        expected: 0, desired: UInt64(key) + 1, ordering: .acquiringAndReleasing)
      if !made.exchanged { mustSucceed(pthread_key_delete(key), "pthread_key_delete") }
    }
    if heartbeatsKeyPlusOne.load(ordering: .acquiring) == 0 {
      var key = pthread_key_t()
      if pthread_key_create(&key, { ThreadHeartbeats.threadIsEnding($0) }) != 0 { return .system }
      let made = heartbeatsKeyPlusOne.compareExchange(
        expected: 0, desired: UInt64(key) + 1, ordering: .acquiringAndReleasing)
      if !made.exchanged { mustSucceed(pthread_key_delete(key), "pthread_key_delete") }
    }
    return MainThread.prepare()
  }

  /// The calling thread's `ThreadHeartbeats`, as bits; 0 for none.
  static var threadHeartbeats: UInt {
    let key = heartbeatsKeyPlusOne.load(ordering: .acquiring)
    return key == 0
      ? 0 : UInt(bitPattern: pthread_getspecific(pthread_key_t(truncatingIfNeeded: key &- 1)))
  }

  /// Sets the calling thread's `ThreadHeartbeats`; as `setFrame`.
  static func setThreadHeartbeats(_ heartbeats: UInt) -> Bool {
    let key = pthread_key_t(
      truncatingIfNeeded: heartbeatsKeyPlusOne.load(ordering: .acquiring) &- 1)
    return pthread_setspecific(key, UnsafeRawPointer(bitPattern: heartbeats)) == 0
  }

  /// The calling thread's innermost `CallFrame`, as bits; 0 for none.
  static var frame: UInt {
    let key = frameKeyPlusOne.load(ordering: .acquiring)
    return key == 0
      ? 0 : UInt(bitPattern: pthread_getspecific(pthread_key_t(truncatingIfNeeded: key &- 1)))
  }

  /// Sets the calling thread's innermost `CallFrame`.
  ///
  /// Requires that `prepare` has succeeded.
  ///
  /// - Returns: false if that needs memory, and there is none; see `threadValueTakesMemory`.
  static func setFrame(_ frame: UInt) -> Bool {
    let key = pthread_key_t(truncatingIfNeeded: frameKeyPlusOne.load(ordering: .acquiring) &- 1)
    return pthread_setspecific(key, UnsafeRawPointer(bitPattern: frame)) == 0
  }

  /// Called in the child, which has one thread; does only what is async-signal-safe.
  ///
  /// If the parent had no object of the library, the child has nothing that it must not touch: an
  /// object that another thread of the parent was about to make, or to free, has no handle. The
  /// child may then start anew, unless its only thread is one of the library's.
  private static func processHasForked() {
    SignalWatch.processHasForked()
    ExitBy.processHasForked()
    if objects.count.load(ordering: .relaxed) != 0 || Worker.currentOrDeparted != nil {
      processFlags.bitwiseOr(isForked, ordering: .relaxed)
    }
    if isForkedChild { return }
    MainThread.leaveBehind()
    TimerThread.leaveBehind()
    ConditionWaker.leaveBehind()
    DeferredFree.leaveBehind()
    TokenEnd.leaveBehind()
  }

  /// Counts a new object, before its handle is known to any other code.
  static func objectIsMade() { objects.count.wrappingAdd(1, ordering: .relaxed) }

  /// Counts the end of an object that has no handle left and that no thread uses any more.
  static func objectIsGone() {
    let left = objects.count.wrappingSubtract(1, ordering: .releasing)
    if left.newValue == 0 { Quiescence.lastObjectIsGone() }
  }

  /// The value of the thread-specific key for the calling thread; see `Worker.current`.
  @inline(__always)
  static var threadValue: UInt {
    let key = workerKeyPlusOne.load(ordering: .acquiring)
    return key == 0
      ? 0 : UInt(bitPattern: pthread_getspecific(pthread_key_t(truncatingIfNeeded: key &- 1)))
  }

  /// Sets the value of the thread-specific key for the calling thread, which has one already.
  static func setThreadValue(_ value: UInt) {
    mustSucceed(
      setFirstThreadValue(value), "pthread_setspecific",
      advice: "Has the program deleted a key that is not its own (pthread_key_delete)?")
  }

  /// Sets the first value of the thread-specific key for the calling thread.
  ///
  /// - Returns: 0, or an error number if it needs memory (`threadValueTakesMemory`) and there is
  ///   none.
  static func setFirstThreadValue(_ value: UInt) -> Int32 {
    let key = pthread_key_t(truncatingIfNeeded: workerKeyPlusOne.load(ordering: .acquiring) &- 1)
    return pthread_setspecific(key, UnsafeRawPointer(bitPattern: value))
  }

  /// Whether the first value in a thread needs memory.
  ///
  /// glibc has room for 32 keys in each thread, and allocates for keys made later.
  static var threadValueTakesMemory: Bool {
    workerKeyPlusOne.load(ordering: .acquiring) > 32
  }
}

/// A number that every object changes twice, also on a cache line of its own.
private struct ObjectCounter: ~Copyable {
  private let before = InlineArray<7, UInt64>(repeating: 0)
  // atomic: relaxed up; released by the thread that has freed an object.
  let count = Atomic<UInt64>(0)
  private let after = InlineArray<7, UInt64>(repeating: 0)
}

/// A number that every spawn changes, on a cache line of its own wherever the linker places it.
///
/// Each worker reads the values beside it for each task.
private struct IDCounter: ~Copyable {
  private let before = InlineArray<7, UInt64>(repeating: 0)
  // atomic: released by a thread that takes a number, acquired by one that reads the last
  // (`Stragglers.swift`).
  let last = Atomic<UInt64>(0)
  private let after = InlineArray<7, UInt64>(repeating: 0)
}
