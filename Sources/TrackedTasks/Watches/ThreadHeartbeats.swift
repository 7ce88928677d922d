import CPlatform
import Synchronization

// LOCKING
// The timer thread's Monitor guards the list of all intervals, and keeps each in memory while it is
// read there. Only the thread that has an interval sets, changes and frees it. A shutdown, and the
// end of systemd's watchdog, retire intervals that are not needed any more, so that the timer
// thread can leave: these stay in the list, and in memory, until the thread withdraws its interval,
// or ends.

/// The heartbeat interval of a thread that is not a task, such as the one that runs main's event
/// loop (E7).
struct ThreadHeartbeats: ~Copyable {
  /// The first field, so that its address is known.
  let heartbeats = HeartbeatState()

  // immutable after init
  /// The registry whose health includes it; a reference to its memory is held.
  let registry: RegistryReference
  let name: TaskName
  let threadID: Int32
  let since: Int64
  /// Whether it was set for systemd's watchdog, and ends with that.
  fileprivate let isForWatchdog: Bool

  // Guarded by the timer thread's Monitor.
  fileprivate var links = ListLinks<Pointer>()

  typealias Pointer = UnsafeMutablePointer<ThreadHeartbeats>

  // MARK: The thread's own

  private static var current: Pointer? { Pointer(bitPattern: ProcessState.threadHeartbeats) }

  /// Sets an interval, which replaces an earlier one of the calling thread.
  ///
  /// - Returns: `.ok`; `.noMemory`; `.again` if the system refuses the timer thread; `.deadlock` as
  ///   `withdraw`; `.closed` if the registry is closed and has no task; an earlier interval is
  ///   withdrawn even then.
  static func set(
    _ interval: Int64, sparesWaits: Bool, in registry: RegistryReference,
    isForWatchdog: Bool = false
  ) -> Status {
    if let current, current.pointee.registry == registry, !current.pointee.isForWatchdog,
      !isForWatchdog, !current.isRetired
    {
      return current.heartbeats.change(to: interval, sparesWaits: sparesWaits)
    }
    guard let memory = malloc(MemoryLayout<ThreadHeartbeats>.size) else { return .noMemory }
    let this = memory.bindMemory(to: ThreadHeartbeats.self, capacity: 1)
    let (status, watch) = HeartbeatWatch.make(.thread(this), this.heartbeats, interval: interval)
    guard let watch else {
      free(memory)
      return status
    }
    this.initialize(
      to: ThreadHeartbeats(
        registry: registry, name: TaskName.ofCallingThread, threadID: cp_gettid(),
        since: monotonicNow(), isForWatchdog: isForWatchdog))
    this.heartbeats.clear(interval: interval)
    this.heartbeats.pointee.watch.store(UInt(bitPattern: watch), ordering: .relaxed)
    this.heartbeats.pointee.sparesWaits.store(sparesWaits ? 1 : 0, ordering: .relaxed)
    var end = withdraw()
    // Only the first value of the key needs memory.
    if end == .ok && !ProcessState.setThreadHeartbeats(UInt(bitPattern: this)) { end = .noMemory }
    if end != .ok {
      watch.end()
      free(memory)
      return end
    }
    registry.retainStorage()
    TimerThread.change { $0.threads.prepend(this) }
    this.heartbeats.begin()
    // A thread that shuts the registry down retires the intervals that it finds in the list.
    if registry.isFinished {
      _ = withdraw()
      return .closed
    }
    return .ok
  }

  /// Withdraws the calling thread's interval.
  ///
  /// - Returns: `.ok`, also if there is none; `.deadlock` in the log callback that reports the end
  ///   of its stall: the interval is in use there.
  static func withdraw() -> Status {
    guard let this = current else { return .ok }
    if this.heartbeats.currentStage == .recovering { return .deadlock }
    _ = ProcessState.setThreadHeartbeats(0)
    end(this)
    return .ok
  }

  /// The destructor of the thread-specific key: ends the interval of a thread that ends.
  static func threadIsEnding(_ value: UnsafeMutableRawPointer?) {
    if ProcessState.isForkedChild { return }
    if let this = Pointer(bitPattern: UInt(bitPattern: value)) { end(this) }
  }

  private static func end(_ this: Pointer) {
    let registry = this.pointee.registry
    TimerThread.change { _ = $0.threads.remove(this) }
    this.heartbeats.pointee.interval.store(0, ordering: .relaxed)
    this.heartbeats.watch?.end()
    if ProcessState.isForkedChild { return }
    free(this)
    registry.releaseStorage()
  }

  // MARK: The watchdog

  /// Sets the interval that systemd's watchdog requires, if there is one: a heartbeat in half of
  /// the watchdog's timeout.
  static func setForWatchdog() -> Status {
    guard let (registry, pause) = SystemdWatch.watchdogInUse() else {
      return .invalid("tr_heartbeat", "the caller is not a task, and has no heartbeat interval")
    }
    var status = set(pause, sparesWaits: false, in: registry, isForWatchdog: true)
    // Nothing is left that would need a heartbeat.
    if status == .closed { status = .ok }
    // The watchdog may have ended before it could find the interval.
    if status == .ok && !SystemdWatch.isInUse(for: registry) { _ = withdraw() }
    registry.releaseStorage()
    return status
  }

  /// Whether the calling thread has no interval, or only one for a watchdog that is gone.
  static var isOver: Bool {
    guard let current else { return true }
    let heartbeats = current.heartbeats
    // A log callback that reports the end of the stall is still using it.
    return current.pointee.isForWatchdog
      && heartbeats.pointee.interval.load(ordering: .relaxed) == 0
      && heartbeats.currentStage != .recovering
  }
}

extension UnsafeMutablePointer<ThreadHeartbeats> {
  /// SAFETY: the first field.
  var heartbeats: HeartbeatState.Pointer {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: HeartbeatState.self)
  }

  /// Whether it was retired; called on the thread that has the interval.
  fileprivate var isRetired: Bool {
    TimerThread.withQueue { _ in heartbeats.watch?.pointee.isRetired ?? true }
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

/// The place of a thread among those with a heartbeat interval.
enum ThreadPlace: ListPlace {
  static subscript(element: ThreadHeartbeats.Pointer) -> ListLinks<ThreadHeartbeats.Pointer> {
    get { element.pointee.links }
    set { element.pointee.links = newValue }
  }
}

extension RegistryReference {
  /// Whether a thread that is not a task, with an interval for the registry or a group below it, is
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
    _ index: Int, _ body: (ThreadHeartbeats.Pointer) -> Result
  ) -> Result? {
    TimerThread.ifExisting { state in
      var left = index
      var next = state.threads.first
      while let current = next {
        next = state.threads.element(after: current)
        if !current.heartbeats.isOverdue || !current.pointee.registry.isWithin(self) { continue }
        if left == 0 { return body(current) }
        left -= 1
      }
      return nil
    }
  }

  /// Retires the intervals of threads for the registry, or a group below it: it was shut down, or
  /// systemd's watchdog is gone.
  ///
  /// Requires a reference to the registry.
  ///
  /// - Parameter forWatchdog: whether only intervals that were set for the watchdog are retired.
  func retireHeartbeats(forWatchdog: Bool) {
    // If the report of an interval was withdrawn, its registry's memory is still retained; these
    // references are released one after the other.
    while true {
      let withdrawn = TimerThread.changeIfExisting { state -> RegistryReference? in
        var next = state.threads.first
        while let current = next {
          next = state.threads.element(after: current)
          if forWatchdog && !current.pointee.isForWatchdog
            || !current.pointee.registry.isWithin(self)
          {
            continue
          }
          if current.heartbeats.watch?.retire(&state) == true { return current.pointee.registry }
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
  fileprivate init(of thread: ThreadHeartbeats.Pointer) {
    self.init(
      word: .ofThread, registry: thread.pointee.registry, id: 0, name: thread.pointee.name,
      kind: 0, threadID: thread.pointee.threadID, spawnedAt: thread.pointee.since, cancelledAt: 0,
      activity: ActivityFacts(isStalled: true))
  }
}
