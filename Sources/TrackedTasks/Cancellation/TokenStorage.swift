import CPlatform
import Synchronization

// STATES
//     [create] ──→ LIVE ──→ CANCELLED ──→ PROPAGATED
//                    │          │             │
//                    └──────────┴─────────────┴──→ FREED
//
//     LIVE → CANCELLED       [claim], called by cancel, by expire (the timeout), by raiseFlagsBelow
//                            for each token below, or by create if the parent is cancelled already
//     CANCELLED → PROPAGATED [markPropagated], called by raiseFlagsBelow, or by create
//     any → FREED            [release], by the last reference; if callbacks are left, by the thread
//                            that has run or dropped them (`settle`)
//
// LIVE:
//  -  The flag is 0, and so is the reason. Children and registries are put on the lists.
// CANCELLED:
//  -  The flag is 1, or 2 once the token is aborted, for good. Reason and message were written
//     before and are immutable (claim).
//  -  What is put on the lists gets the level from the thread that puts it there. Once the token is
//     aborted, nothing is put there any more (Token2). What is on them leaves only when it is
//     freed.
//  -  The thread that claimed the token raises the descriptor and takes the timer out of its queue.
//  -  An abort goes the same way once more, with level 2, and is marked as propagated for itself.
//  -  Flags below may still be down. A later call of `cancel` waits up to `patience` for the
//     propagation and then does the same work itself.
// PROPAGATED:
//  -  Every flag below is up (Token1); no call of `cancel` returns before.
//  -  The callbacks of the token and of everything below it run, each once, in one thread. A
//     callback that is registered from now on runs in the thread that registers it.
// FREED:
//  -  No callback is left: with the last reference those that are due have run, and the others, all
//     detached (K3), were dropped.
//  -  There is no child and no registry, as each holds a reference. The token is not on its
//     parent's list and its timer is not queued; the descriptor is closed.

// LOCKING
// A token's Monitor guards its lists of children and of linked registries, their places in the
// lists, and the token's waiters. Reason and message are written under it once, before the flag
// rises with release, and are immutable afterwards. Propagation holds one lock at a time and none
// while it raises flags: it finds a child or a registry on the list, takes a reference, unlocks,
// and acts. An object to which a reference is held stays on the list, so the walk can go on from it
// to the next. An object whose last reference is gone cannot be retained; it takes itself off the
// list before it is freed. Several threads may walk the same lists at once.

/// A one-shot cancellation flag with a reason, in a tree.
struct TokenStorage: ~Copyable {
  // atomic: the number of references. Relaxed up, acquire-release down.
  let refs = Atomic<UInt64>(1)
  // atomic: the level: 0, 1 once cancelled, 2 once aborted; it only rises (C15). Stored under the
  // lock after reason and message, loaded with acquire; sequentially consistent for the sake of
  // `descriptor`.
  let flag = Atomic<UInt32>(0)
  /// Written once before the flag rises.
  var reason: UInt32 = 0
  var messageLength = 0
  let message = AtomicText<32>()
  /// Readable once the flag is up.
  let descriptor = CancelDescriptor()
  /// Readable once the token is aborted.
  let abortDescriptor = CancelDescriptor()
  /// Run once the flags of everything below are up.
  let callbacks = CancelCallbacks()
  /// Run as soon as the flag is up: waits on condition variables that it ends (C18).
  let waits = CancelCallbacks()
  // immutable after init
  let monitor: Monitor<TokenState>
  /// A reference is held.
  let parent: TokenReference?
  /// Cancels the token at its deadline; in the token's own memory.
  let timer: Timer.Pointer?

  // atomic: relaxed; whether a signal handler requested the cancellation, see
  // `SignalWatch.request`.
  let isRequested = Atomic<Bool>(false)
  // Owned by the thread that set `isRequested`, then by the watch's answerer.
  var requestedReason: UInt32 = 0
  var nextRequested: UInt = 0
  // Owned by the thread that releases the last reference, then by who finds it in `TokenEnd`.
  var nextUnsettled: UInt = 0

  // Guarded by the parent's Monitor.
  var siblings = ListLinks<TokenReference>()

  init(monitor: Monitor<TokenState>, parent: TokenReference?, timer: Timer.Pointer?) {
    self.monitor = monitor
    self.parent = parent
    self.timer = timer
  }
}

/// What a token's Monitor guards.
///
/// Token1: the flags of all tokens below, and of the tasks that they ask, show at least
///         `propagated`.
/// Token2: once aborted, nothing is put on the lists.
struct TokenState: WaitableState {
  var waiters = WaiterList()
  var propagated = StopLevel.none
  var children = LinkedList<SiblingPlace>()
  var registries = LinkedList<TokenRegistryPlace>()

  func checkInvariants() {
    waiters.checkLinks()
  }
}

/// The place of a token among the children of its parent.
enum SiblingPlace: ListPlace {
  static subscript(element: TokenReference) -> ListLinks<TokenReference> {
    get { element.pointer.pointee.siblings }
    set { element.pointer.pointee.siblings = newValue }
  }
}

/// The place of a registry among those linked to its token.
enum TokenRegistryPlace: ListPlace {
  static subscript(element: RegistryReference) -> ListLinks<RegistryReference> {
    get { element.pointer.pointee.tokenLinks }
    set { element.pointer.pointee.tokenLinks = newValue }
  }
}

/// A pointer to a token; copying it counts nothing.
struct TokenReference: Equatable {
  let pointer: UnsafeMutablePointer<TokenStorage>

  init(_ pointer: UnsafeMutablePointer<TokenStorage>) { self.pointer = pointer }
  init(_ handle: OpaquePointer) { pointer = UnsafeMutablePointer(handle) }

  var opaque: OpaquePointer { OpaquePointer(pointer) }
  var monitor: Monitor<TokenState> { pointer.pointee.monitor }

  // MARK: Life

  /// Creates a token with one reference; `parent`, if given, is retained and linked (C2).
  ///
  /// With a deadline other than never, the token is cancelled when the deadline passes (C11).
  static func create(
    childOf parent: TokenReference? = nil, deadline: Deadline = .never
  ) -> (Status, TokenReference?) {
    let prepared = ProcessState.prepare()
    if prepared != .ok { return (prepared, nil) }
    if !deadline.isNever {
      let held = TimerThread.hold()
      if held != .ok { return (held, nil) }
    }
    guard let token = allocate(childOf: parent, hasTimer: !deadline.isNever) else {
      if !deadline.isNever { TimerThread.letGo() }
      return (.noMemory, nil)
    }
    if let parent {
      parent.linkChild(token)
      // Read after it was linked: a thread that cancels the parent later finds it on the list.
      let level = parent.level
      if level != .none {
        token.claim(copying: parent, level)
        token.markPropagated(level)
      }
    }
    // No callback can have been registered yet.
    if deadline.hasPassed { _ = token.expire() }
    if let timer = token.pointer.pointee.timer {
      // A thread that cancels the token raises its flag first and takes the timer out afterwards.
      TimerThread.schedule(timer, due: deadline.nanoseconds) { !token.isCancelled }
    }
    return (.ok, token)
  }

  /// A token that is linked to nothing yet; `parent`, if given, is retained.
  private static func allocate(childOf parent: TokenReference?, hasTimer: Bool) -> TokenReference? {
    guard let monitor = Monitor(TokenState()) else { return nil }
    let size = MemoryLayout<TokenStorage>.stride
    guard let memory = malloc(hasTimer ? size + MemoryLayout<Timer>.size : size) else {
      monitor.destroy()
      return nil
    }
    parent?.retain()
    let pointer = memory.bindMemory(to: TokenStorage.self, capacity: 1)
    let token = TokenReference(pointer)
    var timer: Timer.Pointer?
    if hasTimer {
      timer = (memory + size).bindMemory(to: Timer.self, capacity: 1)
      timer?.initialize(to: Timer(.cancel(token)))
    }
    pointer.initialize(to: TokenStorage(monitor: monitor, parent: parent, timer: timer))
    ProcessState.objectIsMade()
    return token
  }

  func retain() { pointer.pointee.refs.wrappingAdd(1, ordering: .relaxed) }

  /// Takes a reference unless the token is being freed.
  ///
  /// Called under the parent's Monitor or the timer thread's.
  func retainIfAlive() -> Bool {
    var count = pointer.pointee.refs.load(ordering: .relaxed)
    while count != 0 {
      let (done, seen) = pointer.pointee.refs.compareExchange(
        expected: count, desired: count + 1, ordering: .acquiringAndReleasing)
      if done { return true }
      count = seen
    }
    return false
  }

  /// Releases a reference.
  ///
  /// A loop, not a recursion: it may release a chain of parents.
  ///
  /// - Parameter callsApplication: whether this is a place where the application's code may run: no
  ///   lock is held, no flag is being raised, and the thread is neither the timer thread nor that
  ///   of the signals. Elsewhere the callbacks that are left are dropped by an event thread.
  func release(callsApplication: Bool = false) {
    var next: TokenReference? = self
    while let token = next {
      let left = token.pointer.pointee.refs.wrappingSubtract(1, ordering: .acquiringAndReleasing)
      if left.newValue != 0 { return }
      token.pointer.pointee.parent?.unlinkChild(token)
      if let timer = token.pointer.pointee.timer { TimerThread.remove(timer) }
      if !token.pointer.pointee.callbacks.isEmpty {
        // Nobody can reach the token any more: this thread has it for itself.
        token.pointer.pointee.refs.store(1, ordering: .relaxed)
        if !callsApplication { return TokenEnd.handOver(token) }
        TokenEnd.settle(token)
        if ProcessState.isForkedChild { return }
      }
      next = token.destroy()
    }
  }

  /// Frees a token without references and callbacks.
  ///
  /// - Returns: its parent, with the reference that it had.
  fileprivate func destroy() -> TokenReference? {
    let parent = pointer.pointee.parent
    pointer.pointee.descriptor.close()
    pointer.pointee.abortDescriptor.close()
    monitor.destroy()
    // Not deinitialised, for the reason given in `RegistryReference.destroy`.
    if HandleCheck.isOn { HandleCheck.keep(.token, pointer) } else { free(pointer) }
    ProcessState.objectIsGone()
    return parent
  }

  /// Frees a token whose callbacks have run or were dropped, in a thread that is ending.
  func releaseSettled() { destroy()?.release(callsApplication: true) }

  // MARK: Lists

  /// Puts `child` on the list, unless this token is aborted: then nothing can come any more.
  private func linkChild(_ child: TokenReference) {
    monitor.withLock { state in
      if level == .abort { return }
      state.children.prepend(child)
    }
  }

  /// Takes `child` off the list, if it is there.
  private func unlinkChild(_ child: TokenReference) {
    monitor.withLock { _ = $0.children.remove(child) }
  }

  /// Links a registry, which holds a reference to this token; if the token is cancelled already,
  /// the registry is cancelled at once (G2).
  func link(_ registry: RegistryReference) {
    let level = monitor.withLock { state in
      let level = self.level
      if level != .abort { state.registries.prepend(registry) }
      return level
    }
    if level != .none { registry.tokenWasCancelled(level) }
  }

  /// Takes a registry off the list, if it is there.
  func unlink(_ registry: RegistryReference) {
    monitor.withLock { _ = $0.registries.remove(registry) }
  }

  // MARK: State

  var isCancelled: Bool { pointer.pointee.flag.load(ordering: .acquiring) != 0 }

  /// Whether no function is registered with it.
  var hasNoCallbacks: Bool { pointer.pointee.callbacks.isEmpty }

  /// The level: `.none` while it is not cancelled.
  var level: StopLevel {
    StopLevel(rawValue: pointer.pointee.flag.load(ordering: .sequentiallyConsistent)) ?? .none
  }

  /// The reason; 0 while not cancelled.
  var reason: UInt32 { isCancelled ? pointer.pointee.reason : 0 }

  /// Passes the message to `body`, NUL-terminated, with its length; empty while not cancelled.
  func withMessage<Result>(_ body: (UnsafePointer<UInt8>, Int) -> Result) -> Result {
    let length = isCancelled ? pointer.pointee.messageLength : 0
    if length == 0 {
      let empty: StaticString = ""
      return body(empty.utf8Start, 0)
    }
    return pointer.pointee.message.withText { body($0, length) }
  }

  // MARK: Waiting

  /// Waits until the token is cancelled.
  func wait(until deadline: Deadline) -> Status {
    let end = monitor.wait(
      for: WaitKey.token, until: deadline, noting: .token, isReady: { isCancelled })
    return switch end {
    case .ready: .ok
    case .timedOut: .timedOut
    case .cancelled: .cancelled
    }
  }
}
