import CPlatform
import Synchronization

// LOCKING
// One Monitor for the process guards the descriptors: which tasks have a place at which of them,
// and the list of those that accept more tasks. It is taken when a task first waits, when its flag
// rises and when it ends, not for each wait; no other lock is held then. No system call is made
// under it.
//
// Why no wake-up is lost. A task takes its place and reads its flag afterwards; a thread that
// raises the flag checks for the place afterwards: one of them sees the other (the fence in
// `descriptor(for:)`). A place is found and changed only under the lock. So if the task moves to
// another descriptor, either the flag was up before, and the task reads it once more; or the thread
// that raised it finds the new place. A descriptor is never made unreadable.
//
// A thread that writes to a descriptor is counted among its users meanwhile, so it is not closed,
// and its number is not reused. Only after a write has returned is the descriptor certain to be
// readable; until then every thread that has raised a flag writes to it, so none depends on a
// thread that is preempted before its write (P6).

/// A descriptor that ends the waits of several tasks for descriptors of the application's (C8).
///
/// poll(2) is ended by a descriptor or by a signal handler, and handlers belong to the application.
/// One descriptor for each task would halve the number of connections that a server can have. So 32
/// tasks share one. When the flag of one of them rises, the descriptor becomes readable for good;
/// the others wake, find their own flags down, and move to another descriptor. That costs 31
/// wake-ups at the most; if many flags rise at once, it takes fewer writes than tasks.
///
///     roomy ⇄ full
///       ├───────┴──→ raised → closed
///       └───────────────────────┘
///
///     roomy ⇄ full      [take, leave], by the task
///     → raised          [raise], by a thread that raises a flag
///     → closed          by the last user
struct WaitDescriptor: ~Copyable {
  // immutable after init
  let descriptor: Int32
  // atomic: relaxed; written once, under the lock. A task that reads an old value without it waits
  // and is woken.
  let isRaised = Atomic<Bool>(false)
  /// Guarded by the Monitor; in memory of its own, as the other fields are read without it.
  let shared: UnsafeMutablePointer<Shared>

  struct Shared {
    /// The number of tasks that have a place, plus the threads that write to it.
    var users = 0
    /// Whether a write has returned.
    var isReadable = false
    /// Its neighbours in the list, while it is not raised.
    var links = ListLinks<Pointer>()
  }

  typealias Pointer = UnsafeMutablePointer<WaitDescriptor>

  /// How many tasks share one, as long as another one can be made.
  static var places: Int { 32 }

  private init(_ descriptor: Int32, _ shared: UnsafeMutablePointer<Shared>) {
    self.descriptor = descriptor
    self.shared = shared
  }

  /// The process's Monitor, as bits; made before the first wait and never freed.
  ///
  /// atomic: stored with release, loaded with acquire. A thread that raises a flag finds it because
  /// it has found the trait `hasWaitPlace`, which is added later.
  private static let kept = Atomic<UInt>(0)

  private static var monitor: Monitor<WaitDescriptors>? { Monitor.shared(at: kept) }

  /// Returns the Monitor, which is made if there is none; nil without memory.
  static func prepare() -> Monitor<WaitDescriptors>? {
    Monitor.shared(at: kept, orMadeOf: WaitDescriptors())
  }

  /// Frees the Monitor; used by the explorer, which checks for leaks.
  ///
  /// Requires that no thread uses it any more.
  static func forget() {
    Monitor<WaitDescriptors>(bits: kept.exchange(0, ordering: .acquiringAndReleasing))?.destroy()
  }

  /// The result of `descriptor(for:isWaiting:)`.
  enum Found {
    case descriptor(Int32)
    /// None is available now; the wait goes on without one, for a while.
    case none
    case failed(Status)
  }

  /// Returns the descriptor by which a wait of the calling thread's task ends; the caller must read
  /// the flag afterwards.
  ///
  /// - Parameters:
  ///   - task: the calling thread's.
  ///   - isWaiting: whether the wait has begun and must not fail any more.
  /// - Returns: see `Found`.
  static func descriptor(for task: TaskReference, isWaiting: Bool) -> Found {
    let place = task.activity
    let hadPlace = task.hasWaitPlace
    if hadPlace {
      let bits = place.pointee.waitDescriptor.load(ordering: .relaxed)
      if let own = Pointer(bitPattern: bits), !own.pointee.isRaised.load(ordering: .relaxed) {
        return .descriptor(own.pointee.descriptor)
      }
    }
    guard let monitor = prepare() else { return isWaiting ? .none : .failed(.noMemory) }
    // After that, so that a thread which raises the flag and finds the trait finds the Monitor.
    if !hadPlace {
      place.pointee.waitDescriptor.store(0, ordering: .relaxed)
      task.announceWaitPlace()
    }
    let found = take(for: place, from: monitor, isWaiting: isWaiting)
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    return found
  }

  /// Whether the library has made the descriptor of the calling thread's task readable.
  ///
  /// If it is readable and this is false, the application has closed it. That is stored
  /// before the descriptor is written to, so a thread that has polled it sees it.
  static func isRaised(for task: TaskReference) -> Bool {
    let bits = task.activity.pointee.waitDescriptor.load(ordering: .relaxed)
    return Pointer(bitPattern: bits)?.pointee.isRaised.load(ordering: .relaxed) ?? true
  }

  /// Takes a place, at a new descriptor if there is none elsewhere.
  private static func take(
    for place: TaskActivity.Pointer, from monitor: Monitor<WaitDescriptors>, isWaiting: Bool
  ) -> Found {
    let (old, shared) = monitor.withLock { state in
      let old = state.leave(place)
      let shared = state.take(for: place, beyondLimit: false)
      if shared == nil { state.making += 1 }
      return (old, shared)
    }
    old?.close()
    if let shared { return .descriptor(shared) }
    let made = make()
    let failure = cp_errno()
    let (kept, isMade, others) = monitor.withLock { state in
      state.making -= 1
      // Another thread may have made one meanwhile; if none can be made, more tasks share one.
      if let shared = state.take(for: place, beyondLimit: made == nil) {
        return (shared as Int32?, false, state.making)
      }
      guard let made else { return (nil, false, state.making) }
      state.insert(made)
      return (state.take(for: place, beyondLimit: false), true, state.making)
    }
    if let made, !isMade { made.close() }
    if let kept { return .descriptor(kept) }
    if isWaiting || others > 0 { return .none }
    cp_set_errno(failure)
    return .failed(failure == ENOMEM ? .noMemory : .system)
  }

  /// Makes one; nil with errno set.
  private static func make() -> Pointer? {
    let size = MemoryLayout<WaitDescriptor>.stride
    guard let memory = malloc(size + MemoryLayout<Shared>.stride) else {
      cp_set_errno(ENOMEM)
      return nil
    }
    let descriptor = cp_eventfd()
    if descriptor < 0 {
      let failure = cp_errno()
      free(memory)
      cp_set_errno(failure)
      return nil
    }
    let this = memory.bindMemory(to: WaitDescriptor.self, capacity: 1)
    let shared = (memory + size).bindMemory(to: Shared.self, capacity: 1)
    shared.initialize(to: Shared())
    this.initialize(to: WaitDescriptor(descriptor, shared))
    return this
  }

  /// Ends the wait of a task for a descriptor, now or as soon as it waits: its flag is up.
  ///
  /// Requires a reference to the task, which has had a place.
  static func raise(for task: TaskReference) {
    guard let monitor else { return }
    let place = task.activity
    let found = monitor.withLock { state -> Pointer? in
      let bits = place.pointee.waitDescriptor.load(ordering: .relaxed)
      guard let this = Pointer(bitPattern: bits), !this.shared.pointee.isReadable else {
        return nil
      }
      state.raise(this)
      return this
    }
    guard let found else { return }
    cp_eventfd_raise(found.pointee.descriptor)
    let isLast = monitor.withLock { state in
      found.shared.pointee.isReadable = true
      return state.drop(found)
    }
    if isLast { found.close() }
  }

  /// Gives up the task's place.
  ///
  /// Called on the task's own thread, when it will not wait any more.
  static func leave(_ task: TaskReference) {
    let place = task.activity
    if place.pointee.waitDescriptor.load(ordering: .relaxed) == 0 { return }
    monitor?.withLock { $0.leave(place) }?.close()
  }
}

extension WaitDescriptor.Pointer {
  var shared: UnsafeMutablePointer<WaitDescriptor.Shared> { pointee.shared }

  /// Closes it; requires that it has no users.
  func close() {
    cp_close(pointee.descriptor)
    deinitialize(count: 1)
    free(self)
  }
}
