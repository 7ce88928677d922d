import CPlatform
import Synchronization

// LOCKING
// The timer thread's Monitor guards the list of all promises, and keeps each in memory while it is
// read there. Only the thread that has a promise makes, changes and frees it. A shutdown, and the
// end of systemd's watchdog, retire promises that are not needed any more, so that the timer thread
// can leave: these stay in the list, and in memory, until the thread withdraws its promise, or
// ends.

/// The heartbeat interval of a thread that is not a task, such as the one that runs main's event
/// loop (E7).
struct ThreadPromise: ~Copyable {
  /// The first field, so that its address is known.
  let promise = HeartbeatPromise()

  // immutable after init
  /// The registry whose health includes it; a reference to its memory is held.
  let registry: RegistryReference
  let name: TaskName
  let threadID: Int32
  let since: Int64
  /// Whether it was made for systemd's watchdog, and ends with that.
  fileprivate let isForWatchdog: Bool

  // Guarded by the timer thread's Monitor.
  fileprivate var previous: Pointer?
  fileprivate var next: Pointer?

  typealias Pointer = UnsafeMutablePointer<ThreadPromise>

  // MARK: The thread's own

  private static var current: Pointer? { Pointer(bitPattern: ProcessState.promise) }

  /// Makes a promise, which replaces an earlier one of the calling thread.
  ///
  /// - Returns: `.ok`; `.noMemory`; `.again` if the system refuses the timer thread; `.deadlock` as
  ///   `withdraw`; `.closed` if the registry is closed and has no task; an earlier promise is
  ///   withdrawn even then.
  static func promise(
    _ interval: Int64, sparesWaits: Bool, in registry: RegistryReference,
    isForWatchdog: Bool = false
  ) -> Status {
    if let current, current.pointee.registry == registry, !current.pointee.isForWatchdog,
      !isForWatchdog, !current.isRetired
    {
      return current.promise.change(to: interval, sparesWaits: sparesWaits)
    }
    guard let memory = malloc(MemoryLayout<ThreadPromise>.size) else { return .noMemory }
    let this = memory.bindMemory(to: ThreadPromise.self, capacity: 1)
    let (status, watch) = HeartbeatWatch.make(.thread(this), this.promise, interval: interval)
    guard let watch else {
      free(memory)
      return status
    }
    this.initialize(
      to: ThreadPromise(
        registry: registry, name: TaskName.ofCallingThread, threadID: cp_gettid(),
        since: monotonicNow(), isForWatchdog: isForWatchdog, previous: nil, next: nil))
    this.promise.clear(interval: interval)
    this.promise.pointee.watch.store(UInt(bitPattern: watch), ordering: .relaxed)
    this.promise.pointee.sparesWaits.store(sparesWaits ? 1 : 0, ordering: .relaxed)
    var end = withdraw()
    // Only the first value of the key needs memory.
    if end == .ok && !ProcessState.setPromise(UInt(bitPattern: this)) { end = .noMemory }
    if end != .ok {
      watch.end()
      free(memory)
      return end
    }
    registry.retainStorage()
    TimerThread.change { $0.add(this) }
    this.promise.begin()
    // A thread that shuts the registry down retires the promises that it finds in the list.
    if registry.isFinished {
      _ = withdraw()
      return .closed
    }
    return .ok
  }

  /// Withdraws the calling thread's promise.
  ///
  /// - Returns: `.ok`, also if there is none; `.deadlock` in the log callback that reports the end
  ///   of its stall: the promise is in use there.
  static func withdraw() -> Status {
    guard let this = current else { return .ok }
    if this.promise.currentStage == .recovering { return .deadlock }
    _ = ProcessState.setPromise(0)
    end(this)
    return .ok
  }

  /// The destructor of the thread-specific key: ends the promise of a thread that ends.
  static func threadIsEnding(_ value: UnsafeMutableRawPointer?) {
    if ProcessState.isForkedChild { return }
    if let this = Pointer(bitPattern: UInt(bitPattern: value)) { end(this) }
  }

  private static func end(_ this: Pointer) {
    let registry = this.pointee.registry
    TimerThread.change { $0.remove(this) }
    this.promise.pointee.interval.store(0, ordering: .relaxed)
    this.promise.watch?.end()
    if ProcessState.isForkedChild { return }
    free(this)
    registry.releaseStorage()
  }

  // MARK: The watchdog

  /// Makes the promise that systemd's watchdog requires, if there is one: a heartbeat in half of
  /// the watchdog's timeout.
  static func promiseForWatchdog() -> Status {
    guard let (registry, pause) = SystemdWatch.watchdogInUse() else {
      return .invalid("tr_heartbeat", "the caller is not a task, and has promised nothing")
    }
    var status = promise(pause, sparesWaits: false, in: registry, isForWatchdog: true)
    // Nothing is left that would need a heartbeat.
    if status == .closed { status = .ok }
    // The watchdog may have ended before it could find the promise.
    if status == .ok && !SystemdWatch.isInUse(for: registry) { _ = withdraw() }
    registry.releaseStorage()
    return status
  }

  /// Whether the calling thread has no promise, or only one for a watchdog that is gone.
  static var isOver: Bool {
    guard let current else { return true }
    let promise = current.promise
    // A log callback that reports the end of the stall is still using it.
    return current.pointee.isForWatchdog && promise.pointee.interval.load(ordering: .relaxed) == 0
      && promise.currentStage != .recovering
  }
}

extension UnsafeMutablePointer<ThreadPromise> {
  /// SAFETY: the first field.
  var promise: HeartbeatPromise.Pointer {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: HeartbeatPromise.self)
  }

  /// Whether it was retired; called on the thread that has the promise.
  fileprivate var isRetired: Bool {
    TimerThread.withQueue { _ in promise.watch?.pointee.isRetired ?? true }
  }
}

extension TaskName {
  /// The kernel's name of the calling thread, or "thread".
  fileprivate static var ofCallingThread: TaskName {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 16) { buffer in
      // SAFETY: a temporary allocation of 16 bytes has a base address.
      let base = buffer.baseAddress.unsafelyUnwrapped
      cp_own_thread_name(UnsafeMutableRawPointer(base).assumingMemoryBound(to: CChar.self))
      let fallback: StaticString = "thread"
      return TaskName(base) ?? TaskName(fallback.utf8Start) ?? TaskName()
    }
  }
}

extension TimerState {
  fileprivate mutating func add(_ promise: ThreadPromise.Pointer) {
    promise.pointee.next = firstPromise
    firstPromise?.pointee.previous = promise
    firstPromise = promise
  }

  fileprivate mutating func remove(_ promise: ThreadPromise.Pointer) {
    if let previous = promise.pointee.previous {
      previous.pointee.next = promise.pointee.next
    } else {
      firstPromise = promise.pointee.next
    }
    promise.pointee.next?.pointee.previous = promise.pointee.previous
  }
}

extension RegistryReference {
  /// Whether a thread that is not a task, with a promise for the registry or a group below it, is
  /// stalled.
  var hasStalledThread: Bool { withStalledThread(0) { _ in true } ?? false }

  /// The stalled thread that comes after `index` others, with a reference to the memory of its
  /// registry; nil if there are no more.
  func stalledThread(_ index: Int) -> TaskFacts? {
    withStalledThread(index) { thread in
      thread.pointee.registry.retainStorage()
      return TaskFacts(of: thread)
    }
  }

  private func withStalledThread<Result>(
    _ index: Int, _ body: (ThreadPromise.Pointer) -> Result
  ) -> Result? {
    TimerThread.ifExisting { state in
      var left = index
      var next = state.firstPromise
      while let current = next {
        next = current.pointee.next
        if !current.promise.isOverdue || !current.pointee.registry.isWithin(self) { continue }
        if left == 0 { return body(current) }
        left -= 1
      }
      return nil
    }
  }

  /// Retires what threads have promised for the registry, or a group below it: it was shut down, or
  /// systemd's watchdog is gone.
  ///
  /// Requires a reference to the registry.
  ///
  /// - Parameter forWatchdog: whether only promises that were made for the watchdog are retired.
  func retirePromises(forWatchdog: Bool) {
    // If the report of a promise was withdrawn, its registry's memory is still retained; these
    // references are released one after the other.
    while true {
      let withdrawn = TimerThread.changeIfExisting { state -> RegistryReference? in
        var next = state.firstPromise
        while let current = next {
          next = current.pointee.next
          if forWatchdog && !current.pointee.isForWatchdog
            || !current.pointee.registry.isWithin(self)
          {
            continue
          }
          if current.promise.watch?.retire(&state) == true { return current.pointee.registry }
        }
        return nil
      }
      guard let withdrawn else { return }
      withdrawn.releaseStorage()
    }
  }
}

extension TaskFacts {
  /// The facts of a stalled thread that is not a task.
  fileprivate init(of thread: ThreadPromise.Pointer) {
    self.init(
      word: .ofThread, registry: thread.pointee.registry, id: 0, name: thread.pointee.name,
      kind: 0, threadID: thread.pointee.threadID, spawnedAt: thread.pointee.since, cancelledAt: 0,
      activity: ActivityFacts(isStalled: true))
  }
}
