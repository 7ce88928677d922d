import CPlatform
import Synchronization

// LOCKING
// One Monitor for the process guards the queue and every timer in it. No other Monitor is taken under
// it, and it is taken under none. It may be taken under a mutex of the application's (`ConditionWait`);
// of those none is waited for under it. What wants other locks, raising the flags of a token or a datagram to
// systemd, is done after it is unlocked. Signals are sent and condition variables woken under it, so that
// whoever has taken a timer out knows that its action is not under way.
//
// The thread never runs the application's code: that may take its time, or end the thread it is called on. What
// calls it, callbacks of a token whose timeout has passed or the report of a stall, is posted in `events`, for
// the threads of `EventThread` to take.

/// The library's one thread of its own: it does what is due at a moment.
///
/// It exists while somebody holds it or a timer is queued, and a second longer; a program that uses
/// no timer never has it.
struct TimerThread {
  fileprivate let monitor: Monitor<TimerState>
  /// Where the thread sleeps.
  fileprivate let parker: Parker

  /// The one there is, as bits; made at the first use and never freed.
  ///
  /// atomic: stored with release, loaded with acquire.
  private static let shared = Atomic<UInt>(0)

  /// The parent's, in a child of fork that began anew, as bits: its lock may be held for ever.
  ///
  /// atomic: relaxed; nobody uses it, it is merely known to leak checkers.
  private static let leftBehind = Atomic<UInt>(0)

  fileprivate typealias Pointer = UnsafeMutablePointer<TimerThread>

  /// How long the thread stays when it has nothing to do: starting one for each timer would cost more.
  private static var linger: Int64 { 1_000_000_000 }

  // MARK: Using it

  /// Makes sure that the thread exists, and that it stays until `letGo` or `schedule`.
  ///
  /// - Returns: `.ok`; `.noMemory`, `.again` when the system refuses a thread.
  static func hold() -> Status {
    guard let this = existingOrNew() else { return .noMemory }
    let isRunning = this.pointee.monitor.withLock { state in
      state.holds += 1
      state.leavesAt = .never
      if !state.isRunning { state.starting += 1 }
      return state.isRunning
    }
    // Where several come here at once, each creates one, and one of them stays.
    if isRunning { return .ok }
    if start() { return .ok }
    change {
      $0.starting -= 1
      $0.holds -= 1
    }
    return .again
  }

  /// Creates the thread; false when the system refuses it.
  private static func start() -> Bool {
    startThread(
      stackSize: RegistryOptionsCore.defaultStackSize, isDetached: true, argument: nil,
      main: { TimerThread.run($0) }
    ).code == 0
  }

  /// Gives up what `hold` gave.
  static func letGo() { change { $0.holds -= 1 } }

  /// Queues a timer in the place of a hold.
  ///
  /// - Parameters:
  ///   - timer: one that is not queued.
  ///   - due: nanoseconds on `CLOCK_MONOTONIC`.
  ///   - isWanted: called under the lock; if it says no, the timer is not queued.
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

  /// Has a thread of `EventThread` perform the timer's action; the caller holds the timer thread.
  static func post(_ timer: Timer.Pointer) { change { $0.post(timer) } }

  /// Runs `body` under the lock; the caller holds the thread.
  static func withQueue<Result>(_ body: (inout TimerQueue) -> Result) -> Result {
    change { body(&$0.queue) }
  }

  /// Changes the state, and wakes the thread if that concerns it.
  ///
  /// Requires that the thread was held before, so that there is one.
  static func change<Result>(_ body: (inout TimerState) -> Result) -> Result {
    // SAFETY: see above; it is never freed.
    let this = existing.unsafelyUnwrapped
    let (result, concernsThread) = this.pointee.monitor.withLock { state in
      // Not which timer is the first: the same one may have become due earlier.
      let before = (state.wakesAt, state.pulse)
      let result = body(&state)
      return (result, state.isUnused || state.wakesAt != before.0 || state.pulse < before.1)
    }
    if concernsThread { this.pointee.parker.unpark() }
    return result
  }

  // MARK: Ending it

  /// How the thread, and those for events, are; or those of `ConditionWaker`.
  enum Rest {
    /// They are when none of them exists.
    case gone
    /// They are when they leave, and will be gone in a moment.
    case leaving
    /// They are when they have something to do, now or later.
    case needed
  }

  /// Lets the thread leave now, unless somebody needs it.
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

  /// Has the thread look round, if it exists.
  static func wake() { existing?.pointee.parker.unpark() }

  // MARK: Its memory

  /// In a child of fork that begins anew: the thread is not there, and nothing was queued.
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

  /// What the thread is to do next.
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
      state.thread = pthread_self()
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
        // Whatever is queued: it was for others.
        this.pointee.monitor.withLock { $0.timerThreadLeaves() }
        return nil
      case .leave:
        return nil
      }
    }
  }

  /// Sleeps, until `due` at the latest.
  ///
  /// - Returns: false if the process is to end, as nobody is left for whom the timers are (P9).
  private static func sleeps(_ this: Pointer, until due: Deadline) -> Bool {
    MainThread.beginWaiting()
    let isOver = MainThread.isLastToWait
    if !isOver {
      let look = MainThread.nextLook
      let deadline = look.nanoseconds < due.nanoseconds ? look : due
      RunClock.willSleep(until: deadline)
      _ = this.pointee.parker.park(until: deadline)
      RunClock.hasWoken()
    }
    MainThread.endWaiting()
    return !isOver
  }
}

/// What is to be done for a timer that was due, with the lock free.
private enum DueAction {
  /// With a reference.
  case cancel(TokenReference, Timer.Pointer)
  case notifyManager(SystemdWatch.Pointer)

  func perform() {
    switch self {
    case .cancel(let token, let timer):
      // The reference goes along.
      if token.expire() { TimerThread.post(timer) } else { token.release() }
    case .notifyManager(let watch): watch.notify()
    }
  }
}

/// What the timer thread's Monitor guards.
///
/// H1: while `holds` > 0, a timer is queued or an event is to be told, the thread runs, or is being created.
/// H2: `eventThreads` are those that run or are being created; each leaves when it finds no event.
struct TimerState: MonitorState {
  var queue = TimerQueue()
  /// How many need the thread though nothing of theirs is queued.
  var holds = 0
  var isRunning = false
  /// The thread, while it runs.
  var thread = pthread_t()
  /// When the thread leaves, should nobody need it until then; never while somebody does.
  var leavesAt = Deadline.never
  /// How many threads are created, of which one is to be the thread.
  var starting = 0
  /// Those that have left, this thread and those for events.
  private var leaving = LeavingThreads()

  /// What the threads of `EventThread` are to do.
  private var events = EventQueue()
  private(set) var eventThreads = 0
  /// In how many of them the application's code runs.
  var callbacks = 0
  /// When the first of the events has waited for so long that another thread is started; never while none waits.
  private var eventIsLateAt = Deadline.never

  /// How long an event waits for a thread that may be about to be free, in nanoseconds.
  private static var patience: Int64 { 20_000_000 }
  /// How many callbacks may take their time at once before others wait for them.
  private static var mostEventThreads: Int { 8 }

  /// Whether nobody needs the thread.
  var isUnused: Bool { queue.isEmpty && holds == 0 && events.isEmpty && eventThreads == 0 }

  /// When the thread has something to do.
  var wakesAt: Deadline {
    queue.nextDue.nanoseconds < eventIsLateAt.nanoseconds ? queue.nextDue : eventIsLateAt
  }

  /// Whether nobody will need the thread, once those for events find that there is nothing more to be done.
  ///
  /// Whoever has seen that a callback has ended sees this: the count comes first (`CallFrame`).
  var isFinishing: Bool {
    queue.isEmpty && holds == 0 && events.isEmpty && eventThreads > 0 && callbacks == 0
  }

  // MARK: Leaving

  /// The calling thread is on its last instructions.
  mutating func threadLeaves() { leaving.add() }

  /// The calling thread is the timer thread, likewise: the next is another.
  fileprivate mutating func timerThreadLeaves() {
    RunClock.hasLeft()
    isRunning = false
    threadLeaves()
  }

  /// Whether no thread exists any more; of use while nobody needs one.
  var isGone: Bool { !isRunning && starting == 0 && leaving.isEmpty }

  // MARK: Promises

  /// How many have promised heartbeats.
  private(set) var promises = 0
  /// The shortest interval that was promised since anybody has, in nanoseconds.
  private var shortestPromise = Int64.max
  /// The promises of threads that are no tasks, the newest first; see `ThreadPromise`.
  var firstPromise: ThreadPromise.Pointer?
  /// The watch of systemd's, while it is armed.
  var systemd: SystemdWatch.Pointer?

  /// Somebody has promised, who holds the thread.
  mutating func promiseIsMade() {
    if promises == 0 { shortestPromise = .max }
    promises += 1
  }

  /// A promise is over, and with it a hold of the thread.
  mutating func promiseIsOver() {
    promises -= 1
    holds -= 1
  }

  /// Somebody promises to beat every `interval` nanoseconds.
  mutating func recordInterval(_ interval: Int64) {
    shortestPromise = min(shortestPromise, interval)
  }

  /// How long the thread sleeps at the most, in nanoseconds: while anybody has promised, it wakes eight times in an
  /// interval, though no more than a hundred times a second, to know when the process was stopped; see `RunClock`.
  fileprivate var pulse: Int64 { promises == 0 ? .max : max(shortestPromise / 8, 10_000_000) }

  /// Until when the thread sleeps.
  fileprivate func sleepsUntil(from now: Int64) -> Deadline {
    let next = Deadline(nanoseconds: now).extended(by: pulse)
    return wakesAt.nanoseconds < next.nanoseconds ? wakesAt : next
  }

  // MARK: Events

  /// Lets a thread of `EventThread` perform the timer's action.
  mutating func post(_ timer: Timer.Pointer) {
    if events.isEmpty { eventIsLateAt = .after(eventThreads == 0 ? 0 : Self.patience) }
    events.append(timer)
  }

  /// Takes back what was posted, unless a thread has taken it.
  ///
  /// - Returns: whether it was there.
  mutating func withdraw(_ timer: Timer.Pointer) -> Bool {
    let wasPosted = events.remove(timer)
    if events.isEmpty { eventIsLateAt = .never }
    return wasPosted
  }

  /// Takes what came first; with nil, the thread that asked is to leave.
  mutating func takeEvent() -> Timer.Pointer? {
    let timer = events.takeFirst()
    if timer == nil {
      eventThreads -= 1
      threadLeaves()
    }
    eventIsLateAt = events.isEmpty ? .never : .after(Self.patience)
    return timer
  }

  /// Whether another thread is to be started for events; then it is counted.
  fileprivate mutating func takesOnEventThread(at now: Int64) -> Bool {
    if eventIsLateAt.nanoseconds > now { return false }
    // When all are busy, the next that is free goes on.
    if eventThreads == Self.mostEventThreads {
      eventIsLateAt = .never
      return false
    }
    eventThreads += 1
    eventIsLateAt = .after(Self.patience)
    return true
  }

  /// One of the threads could not be made, and is to be tried again a little later, or has ended in the middle of
  /// an event.
  mutating func eventThreadIsGone(retries: Bool = false) {
    eventThreads -= 1
    if !events.isEmpty { eventIsLateAt = .after(retries ? Self.patience : 0) }
  }

  // MARK: Timers

  /// Takes out the timers that are due and acts on them, up to one whose action wants the lock
  /// free.
  ///
  /// - Returns: that action, or nil when nothing else is due.
  fileprivate mutating func doWhatIsDue(at now: Int64) -> DueAction? {
    while let timer = queue.first, timer.pointee.due <= now {
      queue.remove(timer)
      switch timer.pointee.action {
      case .cancel(let token): if token.retainIfAlive() { return .cancel(token, timer) }
      case .signal(let signal): signal.send(again: &queue)
      case .wake: fatalError("such a timer is queued elsewhere")
      case .heartbeat(let watch): if watch.finds(stallAgain: &queue) { post(timer) }
      case .systemd(let watch):
        watch.willNotify()
        return .notifyManager(watch)
      // Posted, and never queued.
      case .systemdFailure: fatalError("such a timer is posted, never queued")
      }
    }
    return nil
  }

  func checkInvariants() {
    if holds < 0 || starting < 0 || promises < 0 || callbacks < 0 {
      fatalError("H1: the users of the timer thread are miscounted")
    }
    if eventThreads < 0 || eventThreads > Self.mostEventThreads {
      fatalError("H2: the threads for events are miscounted")
    }
  }
}
