import CPlatform
import Synchronization

// LOCKING
// One Monitor for the process guards the waits that are to be woken. It may be taken under a mutex
// of the application's (`ConditionWait`); nothing else is taken under it, and it is taken under no
// lock of the library's. Nothing of the application's is touched under it:
// pthread_cond_broadcast(3) waits for threads that were woken before and have not run since, for as
// long as they are not scheduled.
//
// A wait lives on its task's stack. While a thread broadcasts for it, `isBeingWoken` keeps it
// there.

/// Threads that broadcast condition variables of the application's, and do nothing else (C9).
///
/// A thread that raises a flag must not broadcast itself, nor may the timer thread, as a broadcast
/// may block indefinitely (P6). A thread is made when there is something to wake, and leaves when
/// there is nothing more. One that is stuck delays only the waits on its own condition variable:
/// for the others there is another thread.
enum ConditionWaker {
  /// The only one, as bits; made before the first wait and never freed.
  ///
  /// atomic: stored with release, loaded with acquire.
  private static let shared = Atomic<UInt>(0)

  /// The parent process's, in a forked child that starts afresh, as bits: its lock may be held for
  /// good.
  ///
  /// atomic: relaxed; not used, only reachable for leak checkers.
  private static let leftBehind = Atomic<UInt>(0)

  private static var existing: Monitor<WakerState>? { Monitor.shared(at: shared) }

  /// Makes sure that waits can be woken; false without memory.
  static func prepare() -> Bool {
    Monitor.shared(at: shared, orMadeOf: WakerState()) != nil
  }

  /// Queues a wait to be woken.
  ///
  /// Requires that the waker was prepared.
  ///
  /// - Parameter find: returns the wait; called under the lock, which keeps a published wait in
  ///   place.
  static func wake(_ find: () -> ConditionWait.Pointer?) {
    // SAFETY: see above; it is never freed.
    let monitor = existing.unsafelyUnwrapped
    let startsThread = monitor.withLock { state in
      guard let wait = find() else { return false }
      return state.add(wait)
    }
    if startsThread && !start(monitor) {
      // Without an available thread the caller does the work, however long it takes.
      work(on: monitor)
    }
  }

  /// Makes sure that no other thread uses the wait any more.
  ///
  /// Called by its thread, with the mutex held, when its task does not show the wait any more.
  ///
  /// - Parameters:
  ///   - wait: the calling thread's.
  ///   - hide: makes sure that it cannot be found any more; called under the lock.
  ///   - letsGo: releases the mutex while another thread uses the wait, and acquires it again.
  static func withdraw(
    _ wait: ConditionWait.Pointer, _ hide: () -> Void, letsGo: (() -> Void) -> Void
  ) {
    // SAFETY: see `wake`.
    let monitor = existing.unsafelyUnwrapped
    monitor.withLock { _ in hide() }
    if takes(wait, from: monitor) { return }
    letsGo {
      _ = monitor.wait(for: UInt(bitPattern: wait), until: .never, isCancellable: false) {
        takes(wait, from: monitor)
      }
    }
  }

  /// Takes a wait out of the queue.
  ///
  /// - Returns: whether no thread is waking it.
  private static func takes(_ wait: ConditionWait.Pointer, from monitor: Monitor<WakerState>)
    -> Bool
  {
    monitor.withLock { state in
      state.queue.remove(wait.timer)
      return !wait.pointee.isBeingWoken
    }
  }

  private static func start(_ monitor: Monitor<WakerState>) -> Bool {
    monitor.withLock { $0.threads += 1 }
    let code = startThread(
      stackSize: RegistryOptionsCore.defaultStackSize, isDetached: true
    ) { _ in
      beginOwnThread("taskreg-wake")
      // SAFETY: see `wake`.
      let monitor = ConditionWaker.existing.unsafelyUnwrapped
      ConditionWaker.work(on: monitor)
      monitor.withLock { state in
        state.threads -= 1
        state.leaving.add()
      }
      return nil
    }.code
    if code != 0 { monitor.withLock { $0.threads -= 1 } }
    return code == 0
  }

  // MARK: Ending it

  /// The state of the threads; they leave when there is nothing to wake.
  static var rest: TimerThread.Rest {
    existing?.withLock { $0.rest } ?? .gone
  }

  /// Gives up the parent's waker, in a forked child that starts afresh: no thread is there, and
  /// nothing was queued.
  static func leaveBehind() {
    let parents = shared.exchange(0, ordering: .relaxed)
    if parents != 0 { leftBehind.store(parents, ordering: .relaxed) }
  }

  /// Wakes waits until there are no more.
  private static func work(on monitor: Monitor<WakerState>) {
    while true {
      switch monitor.withLock({ $0.step(at: monotonicNow()) }) {
      case .wake(let wait, let startsThread):
        if startsThread && !start(monitor) { monitor.withLock { $0.free -= 1 } }
        let isCertain = wait.broadcast()
        monitor.withLock { $0.hasWoken(wait, isCertain: isCertain) }
      case .sleep(let due):
        _ = monitor.wait(for: WaitKey.wakers, until: due, isCancellable: false) {
          monitor.withLock { $0.hasWork(at: monotonicNow()) }
        }
      case .leave: return
      }
    }
  }
}

/// What the waker's Monitor guards.
///
/// V1: while something is queued, a thread is free, or is being made, unless the system refused it.
/// V2: no two threads broadcast the same condition variable.
private struct WakerState: WaitableState {
  var waiters = WaiterList()
  /// The waits that are to be woken, each with its due time.
  var queue = TimerQueue()
  /// How many threads are not broadcasting.
  var free = 0
  /// Those that are being woken, linked by `nextBusy`.
  private var busy: ConditionWait.Pointer?
  /// How many threads run, or are being created; a caller that does the work itself is not counted.
  var threads = 0
  /// Those that have left.
  var leaving = LeavingThreads()

  var rest: TimerThread.Rest {
    if !queue.isEmpty || busy != nil { return .needed }
    return threads == 0 && leaving.isEmpty ? .gone : .leaving
  }

  /// The next step of a thread.
  enum Step {
    /// The thread is not free until `hasWoken`.
    case wake(ConditionWait.Pointer, startsThread: Bool)
    case sleep(until: Deadline)
    case leave
  }

  /// Queues a wait.
  ///
  /// - Returns: whether a thread must be started, which is counted already.
  mutating func add(_ wait: ConditionWait.Pointer) -> Bool {
    if wait.pointee.isBeingWoken { return false }
    queue.remove(wait.timer)
    queue.insert(wait.timer, due: monotonicNow())
    waiters.wake(WaitKey.wakers)
    return countsAnother()
  }

  private mutating func countsAnother() -> Bool {
    if queue.isEmpty || free > 0 { return false }
    free += 1
    return true
  }

  mutating func step(at now: Int64) -> Step {
    while let timer = queue.first, timer.pointee.due <= now {
      let wait = ConditionWait.Pointer(of: timer)
      queue.remove(timer)
      if isBusy(wait.pointee.condition) {
        queue.insert(timer, due: now + wait.nextPause())
        continue
      }
      wait.pointee.isBeingWoken = true
      wait.pointee.nextBusy = busy
      busy = wait
      free -= 1
      return .wake(wait, startsThread: countsAnother())
    }
    if !queue.isEmpty { return .sleep(until: queue.nextDue) }
    free -= 1
    return .leave
  }

  func hasWork(at now: Int64) -> Bool { queue.isEmpty || queue.nextDue.nanoseconds <= now }

  /// The wait was woken; if that is not certain, it is queued again.
  mutating func hasWoken(_ wait: ConditionWait.Pointer, isCertain: Bool) {
    free += 1
    wait.pointee.isBeingWoken = false
    if busy == wait {
      busy = wait.pointee.nextBusy
    } else {
      var place = busy
      while let current = place, current.pointee.nextBusy != wait {
        place = current.pointee.nextBusy
      }
      place?.pointee.nextBusy = wait.pointee.nextBusy
    }
    if !isCertain { queue.insert(wait.timer, due: monotonicNow() + wait.nextPause()) }
    waiters.wake(UInt(bitPattern: wait))
  }

  private func isBusy(_ condition: UnsafeMutablePointer<pthread_cond_t>) -> Bool {
    var place = busy
    while let current = place {
      if current.pointee.condition == condition { return true }
      place = current.pointee.nextBusy
    }
    return false
  }

  func checkInvariants() {
    if free < 0 || threads < 0 { fatalError("the wakers are miscounted") }
    waiters.checkLinks()
  }
}
