import CPlatform
import Synchronization

// LOCKING
// One Monitor for the process guards the queue and every timer in it. No other Monitor is taken
// under it, and it is taken under none. It may be taken under a mutex of the application's, which
// may raise flags while it holds one; no such mutex is waited for under it. Actions that need other
// locks, raising the flags of a token or sending a datagram to systemd, are done after it is
// unlocked. Signals are sent under it, so that a thread that has taken a timer out knows that its
// action is not under way.
//
// The thread never runs the application's code, which may take long, or end the thread it is called
// on. The timers that call it, for the callbacks of a token whose timeout has passed or the report
// of a stall, are posted in `events`, and the event threads take them from there.

/// The library's timer thread: it does everything that is due at a certain time.
///
/// It exists while it is held or a timer is queued, and a second longer; a program that uses no
/// timer never has it.
struct TimerThread {
  fileprivate let monitor: Monitor<TimerState>
  /// Where the thread parks.
  fileprivate let parker: Parker

  /// The only one, as bits; made at the first use and never freed.
  ///
  /// atomic: stored with release, loaded with acquire.
  private static let shared = Atomic<UInt>(0)

  /// The parent process's, in a forked child that starts afresh, as bits: its lock may be held for
  /// good.
  ///
  /// atomic: relaxed; not used, only reachable for leak checkers.
  private static let leftBehind = Atomic<UInt>(0)

  fileprivate typealias Pointer = UnsafeMutablePointer<TimerThread>

  /// How long the thread stays when it has nothing to do, in nanoseconds: starting one for each
  /// timer would cost more.
  private static var linger: Int64 { 1_000_000_000 }

  // MARK: Using it

  /// Makes sure that the thread exists, and that it stays until `letGo` or `schedule`.
  ///
  /// - Returns: `.ok`; `.noMemory`; `.again` if the system refuses a thread.
  static func hold() -> Status {
    guard let this = existingOrNew() else { return .noMemory }
    let isRunning = this.pointee.monitor.withLock { state in
      state.holds += 1
      state.leavesAt = .never
      if !state.isRunning { state.starting += 1 }
      return state.isRunning
    }
    // If several threads come here at once, each creates one, and one of them stays.
    if isRunning { return .ok }
    if start() { return .ok }
    change {
      $0.starting -= 1
      $0.holds -= 1
    }
    return .again
  }

  /// Creates the thread; false if the system refuses it.
  private static func start() -> Bool {
    startThread(
      stackSize: RegistryOptionsCore.defaultStackSize, isDetached: true, argument: nil,
      main: { TimerThread.run($0) }
    ).code == 0
  }

  /// Releases a hold that `hold` has added.
  static func letGo() { change { $0.holds -= 1 } }

  /// Queues a timer, which replaces a hold.
  ///
  /// - Parameters:
  ///   - timer: one that is not queued.
  ///   - due: nanoseconds on `CLOCK_MONOTONIC`.
  ///   - isWanted: called under the lock; if it returns false, the timer is not queued.
  static func schedule(_ timer: Timer.Pointer, due: Int64, if isWanted: () -> Bool) {
    change { state in
      state.holds -= 1
      if isWanted() { state.queue.insert(timer, due: due) }
    }
  }

  /// Runs `body` under the lock, if the thread was ever needed.
  static func ifExisting<Result>(_ body: (TimerState) -> Result?) -> Result? {
    guard let this = existing else { return nil }
    return this.pointee.monitor.withLock { body($0) }
  }

  /// Changes the state, if the thread was ever needed.
  static func changeIfExisting<Result>(_ body: (inout TimerState) -> Result?) -> Result? {
    existing == nil ? nil : change(body)
  }

  /// Takes a timer out of the queue, if it is there.
  static func remove(_ timer: Timer.Pointer) { change { $0.queue.remove(timer) } }

  /// Makes an event thread perform the timer's action; the caller holds the timer thread.
  static func post(_ timer: Timer.Pointer) { change { $0.post(timer) } }

  /// Runs `body` under the lock; the caller holds the thread.
  static func withQueue<Result>(_ body: (inout TimerQueue) -> Result) -> Result {
    change { body(&$0.queue) }
  }

  /// Changes the state, and wakes the thread if that affects it.
  ///
  /// Requires that the thread was held before, so that it exists.
  static func change<Result>(_ body: (inout TimerState) -> Result) -> Result {
    // SAFETY: see above; it is never freed.
    let this = existing.unsafelyUnwrapped
    let (result, concernsThread) = this.pointee.monitor.withLock { state in
      // Not which timer is the first: the same one may have become due earlier. If there is less to
      // do, the thread finds out when it wakes.
      let before = (state.wakesAt.nanoseconds, state.pulse)
      let result = body(&state)
      return (
        result,
        state.isUnused || state.wakesAt.nanoseconds < before.0 || state.pulse < before.1
      )
    }
    if concernsThread { this.pointee.parker.unpark() }
    return result
  }

  // MARK: Ending it

  /// The state of the timer thread and the event threads, or of the threads of `ConditionWaker`.
  enum Rest {
    /// None of them exists.
    case gone
    /// They are leaving, and will be gone in a moment.
    case leaving
    /// They have something to do, now or later.
    case needed
  }

  /// Makes the thread leave now, unless it is needed.
  static func dismiss() -> Rest {
    guard let this = existing else { return .gone }
    let rest = this.pointee.monitor.withLock { state in
      if state.isFinishing { return Rest.leaving }
      if !state.isUnused { return Rest.needed }
      if state.isGone { return Rest.gone }
      state.leavesAt = Deadline(nanoseconds: 0)
      return Rest.leaving
    }
    if rest == .leaving { this.pointee.parker.unpark() }
    return rest
  }

  /// Wakes the thread, if it exists, so that it checks everything.
  static func wake() { existing?.pointee.parker.unpark() }

  // MARK: Its memory

  /// Gives up the parent's state, in a forked child that starts afresh: the thread is not there,
  /// and nothing was queued.
  static func leaveBehind() {
    let parents = shared.exchange(0, ordering: .relaxed)
    if parents != 0 { leftBehind.store(parents, ordering: .relaxed) }
    RunClock.hasLeft()
  }

  private static var existing: Pointer? {
    Pointer(bitPattern: shared.load(ordering: .acquiring))
  }

  private static func existingOrNew() -> Pointer? {
    if let this = existing { return this }
    guard let monitor = Monitor(TimerState()) else { return nil }
    let size = MemoryLayout<TimerThread>.stride
    guard let memory = malloc(size + Parker.byteCount) else {
      monitor.destroy()
      return nil
    }
    let this = memory.bindMemory(to: TimerThread.self, capacity: 1)
    this.initialize(to: TimerThread(monitor: monitor, parker: Parker(at: memory + size)))
    let (done, seen) = shared.compareExchange(
      expected: 0, desired: UInt(bitPattern: this), ordering: .acquiringAndReleasing)
    if done { return this }
    // Another thread was faster.
    this.pointee.parker.destroy()
    monitor.destroy()
    free(this)
    return Pointer(bitPattern: seen)
  }

  // MARK: The thread

  /// The next step of the thread.
  private enum Step {
    case act(DueAction)
    case startEventThread
    case sleep(until: Deadline)
    case leave
  }

  private static func run(_: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    // SAFETY: `hold` has made it.
    let this = existing.unsafelyUnwrapped
    let isTheOne = this.pointee.monitor.withLock { state in
      state.starting -= 1
      if state.isRunning {
        state.threadLeaves()
        return false
      }
      state.isRunning = true
      state.thread = cp_thread_self()
      return true
    }
    if !isTheOne { return nil }
    beginOwnThread("taskreg-timer")
    while true {
      let step = this.pointee.monitor.withLock { state in
        let now = monotonicNow()
        if state.takesOnEventThread(at: now) { return Step.startEventThread }
        if let action = state.doWhatIsDue(at: now) { return Step.act(action) }
        if !state.isUnused { return Step.sleep(until: state.sleepsUntil(from: now)) }
        if state.leavesAt.isNever { state.leavesAt = .after(linger) }
        if !state.leavesAt.hasPassed { return Step.sleep(until: state.leavesAt) }
        state.timerThreadLeaves()
        return Step.leave
      }
      switch step {
      case .act(let action): action.perform()
      case .startEventThread:
        if !EventThread.start() { change { $0.eventThreadIsGone(retries: true) } }
      case .sleep(let due):
        if sleeps(this, until: due) { continue }
        // Whatever is queued does not matter: the process is ending.
        this.pointee.monitor.withLock { $0.timerThreadLeaves() }
        return nil
      case .leave:
        return nil
      }
    }
  }

  /// Sleeps, until `due` at the latest.
  ///
  /// - Returns: false if the process must end, as no thread is left for which the timers are (P9).
  private static func sleeps(_ this: Pointer, until due: Deadline) -> Bool {
    MainThread.beginWaiting()
    let isOver = MainThread.isLastToWait
    if !isOver {
      let check = MainThread.nextCheck
      let deadline = check.nanoseconds < due.nanoseconds ? check : due
      RunClock.willSleep(until: deadline)
      _ = this.pointee.parker.park(until: deadline)
      RunClock.hasWoken()
    }
    MainThread.endWaiting()
    return !isOver
  }
}

/// The action of a timer that was due, to be performed without the lock.
enum DueAction {
  /// With a reference.
  case cancel(TokenReference, Timer.Pointer)
  case start(TaskRuns.Pointer)
  case notifyManager(SystemdWatch.Pointer)
  case endProcess(ExitBell.Stall)

  func perform() {
    switch self {
    case .endProcess(let stall): ExitBy.endHere(stall)
    case .cancel(let token, let timer):
      // The reference is passed on.
      if token.expire() { TimerThread.post(timer) } else { token.release() }
    case .start(let runs): runs.startRun()
    case .notifyManager(let watch): watch.notify()
    }
  }
}
