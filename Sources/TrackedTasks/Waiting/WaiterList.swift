// LOCKING
// A waiter is guarded by the Monitor whose list it is on. It lives on the stack of the blocked
// thread, so only that lock keeps it there: a waker unparks it under the lock, and its thread
// leaves the list under the lock before it returns. A Parker's mutex is taken under the Monitor's,
// never the other way round.
//
// The predicate is read without the lock (it may take the same one), and so is the clock, and the
// thread parks without it. The gap between the predicate and the park is survived as the waker
// makes the predicate true first and then reads the list: it finds the waiter there and leaves a
// permit, with which the park returns at once. A waker that comes before the waiter is on the list
// is seen by the first reading of the predicate after that.
//
// A thread that cannot get the lock by its deadline does not wait at all. To leave the list it
// takes the lock without a deadline, as its node must not stay behind.

/// One blocked thread in a `WaiterList`; it lives on that thread's stack.
struct Waiter {
  /// Where the thread parks.
  let parker: Parker
  /// What it waits for, so that it is not woken for anything else: a record's address, or one of
  /// `WaitKey`.
  let key: UInt
  fileprivate var links = ListLinks<UnsafeMutablePointer<Waiter>>()

  init(parker: Parker, key: UInt) {
    self.parker = parker
    self.key = key
  }
}

/// The place of a waiter in its list.
private enum WaiterPlace: ListPlace {
  static subscript(element: UnsafeMutablePointer<Waiter>) -> ListLinks<UnsafeMutablePointer<Waiter>>
  {
    get { element.pointee.links }
    set { element.pointee.links = newValue }
  }
}

/// What a thread can wait for apart from the end of one task; no address has these values.
enum WaitKey {
  /// Every task has ended.
  static var empty: UInt { 1 }
  /// A thread has left, or all have.
  static var threads: UInt { 2 }
  /// The token is cancelled.
  static var token: UInt { 3 }
  /// Everything below the token is cancelled too.
  static var propagated: UInt { 4 }
  /// Every task of a phase and of those before it has ended.
  static var phase: UInt { 5 }
  /// No callbacks run that a deadline or a shutdown waits for.
  static var callbacks: UInt { 6 }
  /// A wait on a condition variable has to be woken.
  static var wakers: UInt { 7 }
  /// There is room for another task, or the registry has closed.
  static var room: UInt { 8 }
}

/// The threads blocked on one registry, on one token or in the waker; part of what its Monitor
/// guards.
///
/// Waiters are unparked *under* the lock: a node lives on its thread's stack, and only the lock,
/// which the thread takes to leave the list, keeps it there.
struct WaiterList {
  private var waiters = LinkedList<WaiterPlace>()

  mutating func add(_ waiter: UnsafeMutablePointer<Waiter>) { waiters.prepend(waiter) }

  mutating func remove(_ waiter: UnsafeMutablePointer<Waiter>) { waiters.remove(waiter) }

  /// Unparks every waiter for `key`; each reads its predicate again.
  func wake(_ key: UInt) {
    var waiter = waiters.first
    while let current = waiter {
      if current.pointee.key == key { current.pointee.parker.unpark() }
      waiter = waiters.element(after: current)
    }
  }

  /// Ends the program unless the links agree in both directions.
  func checkLinks() { waiters.checkLinks() }
}

/// Monitor state in which threads can wait.
protocol WaitableState: MonitorState {
  var waiters: WaiterList { get set }
}

extension Monitor where State: WaitableState {
  /// Blocks the calling thread until `isReady`, its own flag (C4, C16), or `deadline`.
  ///
  /// The order makes lost wake-ups impossible: the waiter is on the list before it reads the
  /// predicate, and a thread that makes the predicate true reads the list afterwards. The flag
  /// of the calling task needs no list: raising it unparks the task's worker.
  ///
  /// - Parameters:
  ///   - key: what is waited for.
  ///   - deadline: when to give up.
  ///   - kind: what reports say of it.
  ///   - object: which task it waits for, if it is one, or which registry.
  ///   - isCancellable: whether the flag of the calling task ends the wait.
  ///   - didEnlist: called once, unlocked, when the waiter is on the list.
  ///   - isHopeless: called in a task before each sleep, when other threads can read the note, and
  ///     nothing is locked: whether to give up as if the time were over.
  ///   - isReady: the predicate; called without the lock.
  /// - Returns: which of the three came first; the predicate is checked before the flag, and the
  ///   flag before the clock.
  func wait(
    for key: UInt, until deadline: Deadline, noting kind: WaitNote.Kind = .none,
    object: UInt64 = 0, isCancellable: Bool = true,
    didEnlist: () -> Void = {}, isHopeless: () -> Bool = { false }, isReady: () -> Bool
  ) -> WaitEnd {
    if isReady() { return .ready }
    let task = isCancellable ? Worker.currentTask : nil
    if let task, task.endsWait() { return .cancelled }
    return withHeartbeatsSuspended {
      withCancellationDisabled {
        withParker { parker in
          var node = Waiter(parker: parker, key: key)
          return withUnsafeMutablePointer(to: &node) { node in
            // A thread that is not on the list cannot be woken; the deadline has passed by then.
            guard withLock(until: deadline, { $0.waiters.add(node) }) != nil else {
              return isReady() ? .ready : .timedOut
            }
            didEnlist()
            var end: WaitEnd?
            var wait = NotedWait(kind, object: object)
            repeat {
              if isReady() {
                end = .ready
              } else if let task, task.endsWait() {
                end = .cancelled
              } else if deadline.hasPassed {
                end = .timedOut
              } else if task != nil, wait.isInVain(until: deadline, isHopeless) {
                end = .timedOut
              } else {
                _ = wait.block(until: deadline) { parker.park(until: deadline) }
              }
            } while end == nil
            withLock { $0.waiters.remove(node) }
            return end ?? .timedOut
          }
        }
      }
    }
  }
}
