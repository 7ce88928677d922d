import CPlatform
import Synchronization

// LOCKING
// One Monitor for the process guards the list of registries; nothing is taken under it. A registry
// removes itself before its memory is freed, so a thread that finds it on the list, under the lock,
// may try to get a reference.

/// The end of the process after its main thread has left by pthread_exit(3) (P9).
///
/// The process then ends with its last thread. Tasks and the application's threads keep it alive.
/// Threads of the library that only wait must not. Idle workers end after a short time. The timer
/// thread and those of a signal watch continue, because they may still be needed, and check several
/// times a second whether any other thread is left.
///
///     unwatched → watched → left
///         └──────────────────↑
///
///     unwatched → watched  [prepare], in the main thread, with its first object
///     watched → left       [threadIsEnding], the key's destructor, which exit(3) does not run
///     unwatched → left     [checkForEnd], by an idle worker, if the main thread never made an object
enum MainThread {
  /// The key that has a value only in the main thread, plus one; 0 before it exists.
  ///
  /// Owned by the main thread, or in a child of fork by its only thread.
  private static let keyPlusOne = Atomic<UInt64>(0)
  // atomic: relaxed; whether the end of the main thread will be reported.
  private static let watched = Atomic<Bool>(false)
  // atomic: whether it has left. Sequentially consistent.
  private static let left = Atomic<Bool>(false)
  /// The list, as bits; made at its first use and never freed.
  ///
  /// atomic: stored with release, loaded with acquire.
  private static let shared = Atomic<UInt>(0)
  /// The parent's list, in a child of fork that started anew, as bits: its lock may never be
  /// released.
  ///
  /// atomic: relaxed; no thread uses it. Leak checkers find the memory through it.
  private static let leftBehind = Atomic<UInt>(0)
  // atomic: how many threads of the library only wait, in the low half; in the high half, how many
  // times one started to wait. Sequentially consistent.
  private static let waiting = Atomic<UInt64>(0)

  /// How long a worker stays idle once the main thread has left, in nanoseconds.
  ///
  /// The library's own threads sleep at most this long.
  static var patience: Int64 { 100_000_000 }

  @inline(__always)
  static var hasLeft: Bool { left.load(ordering: .sequentiallyConsistent) }
  /// Whether the end of the main thread will be reported.
  static var isWatched: Bool { watched.load(ordering: .relaxed) }

  // MARK: When it leaves

  /// Prepares for registries; in the main thread, makes its end known.
  static func prepare() -> Status {
    if isWatched && shared.load(ordering: .relaxed) != 0 { return .ok }
    if Monitor.shared(at: shared, orMadeOf: ListState()) == nil { return .noMemory }
    if isWatched || cp_gettid() != cp_process() { return .ok }
    if keyPlusOne.load(ordering: .relaxed) == 0 {
      var key = pthread_key_t()
      if pthread_key_create(&key, { _ in MainThread.threadIsEnding() }) != 0 { return .system }
      keyPlusOne.store(UInt64(key) + 1, ordering: .relaxed)
    }
    let key = pthread_key_t(truncatingIfNeeded: keyPlusOne.load(ordering: .relaxed) &- 1)
    if pthread_setspecific(key, UnsafeRawPointer(bitPattern: 1)) != 0 { return .noMemory }
    watched.store(true, ordering: .relaxed)
    return .ok
  }

  private static func threadIsEnding() {
    // In a child of fork the only thread may be another one.
    if !ProcessState.isForkedChild && cp_gettid() == cp_process() { leave() }
  }

  /// Checks whether the main thread has left, if its end is not reported.
  static func checkForEnd() {
    if !isWatched && !hasLeft && cp_threads_without_main() >= 0 { leave() }
  }

  /// The main thread has left, or is about to: from now on no thread of the library waits for long.
  private static func leave() {
    left.store(true, ordering: .sequentiallyConsistent)
    // A worker that goes to sleep after this sees the flag; those that sleep already are on the
    // lists.
    var next = takeRegistry(after: nil)
    while let registry = next {
      registry.dismissIdle()
      next = takeRegistry(after: registry)
      registry.releaseStorage()
    }
    TimerThread.wake()
    SignalWatch.wake()
    ExitBy.wake()
  }

  // MARK: The library's own threads

  /// The calling thread, one of the library's own, has nothing to do.
  static func beginWaiting() {
    waiting.wrappingAdd(1 << 32 + 1, ordering: .sequentiallyConsistent)
  }

  /// The calling thread has something to do, or ends.
  static func endWaiting() { waiting.wrappingSubtract(1, ordering: .sequentiallyConsistent) }

  /// How long such a thread may sleep before it checks.
  static var nextCheck: Deadline { hasLeft ? .after(patience) : .never }

  /// Whether the only threads left are some of the library's own that wait, including the caller.
  ///
  /// If the number has not changed and none of them ran meanwhile, none of the threads that the
  /// kernel counted can start another.
  static var isLastToWait: Bool {
    if !hasLeft || TaskRuns.areWaiting { return false }
    let before = waiting.load(ordering: .sequentiallyConsistent)
    let threads = cp_threads_without_main()
    return threads >= 0 && UInt64(threads) == before & 0xffff_ffff
      && waiting.load(ordering: .sequentiallyConsistent) == before
  }

  // MARK: Registries

  /// Adds a registry to the list; groups have no threads, and are not on it.
  static func link(_ registry: RegistryReference) {
    list.withLock {
      registry.isAboutToBeListed()
      $0.registries.prepend(registry)
    }
  }

  /// Removes a registry from the list; called once, before its memory is freed.
  static func unlink(_ registry: RegistryReference) {
    list.withLock {
      registry.isAboutToBeUnlisted()
      $0.registries.remove(registry)
    }
  }

  /// The first registry that is not being freed, or the first after `before`, to which the caller
  /// has a reference; with a reference to its memory.
  private static func takeRegistry(after before: RegistryReference?) -> RegistryReference? {
    list.withLock { state in
      var registry = state.registries.element(after: before)
      while let current = registry, !current.retainStorageIfAlive() {
        registry = state.registries.element(after: current)
      }
      return registry
    }
  }

  /// As `takeRegistry(after:)`, for a thread that must not wait for a lock that may never be free.
  ///
  /// - Returns: whether the list could be read, and what was found.
  static func takeRegistry(
    after before: RegistryReference?, until deadline: Deadline
  ) -> (isKnown: Bool, found: RegistryReference?) {
    guard let list = Monitor<ListState>.shared(at: shared) else { return (true, nil) }
    var found: RegistryReference?
    let isKnown: Void? = list.withLock(until: deadline) { state in
      found = state.registries.element(after: before)
      while let current = found, !current.retainStorageIfAlive() {
        found = state.registries.element(after: current)
      }
    }
    return (isKnown != nil, found)
  }

  /// Whether the list's lock was free by the deadline.
  static func canReadRegistries(until deadline: Deadline) -> Bool {
    guard let list = Monitor<ListState>.shared(at: shared) else { return true }
    let isFree: Void? = list.withLock(until: deadline) { _ in }
    return isFree != nil
  }

  /// Where a reader outside finds the list: the place of its address, and the first registry from
  /// there.
  static var placesOfList: (place: UInt, first: UInt) {
    let first = list.withLock { state in
      withUnsafeMutablePointer(to: &state.registries) { UInt(bitPattern: $0) }
    }
    return (addressOf(shared), first &- list.bits)
  }

  private static var list: Monitor<ListState> {
    // `prepare` comes before the first registry.
    Monitor.shared(at: shared).unsafelyUnwrapped
  }

  /// In a child of fork that starts anew there is no registry, and the thread that forked is the
  /// main thread.
  static func leaveBehind() {
    let parents = shared.exchange(0, ordering: .relaxed)
    if parents != 0 { leftBehind.store(parents, ordering: .relaxed) }
    watched.store(false, ordering: .relaxed)
    left.store(false, ordering: .relaxed)
    waiting.store(0, ordering: .relaxed)
  }
}

private struct ListState: MonitorState {
  var registries = LinkedList<RootPlace>()

  func checkInvariants() { registries.checkLinks() }
}

/// The place of a root registry among all.
private enum RootPlace: ListPlace {
  static subscript(element: RegistryReference) -> ListLinks<RegistryReference> {
    get { element.pointer.pointee.rootLinks }
    set { element.pointer.pointee.rootLinks = newValue }
  }
}
