import CPlatform
import Synchronization

// LOCKING: see `TimerThread.swift`.

/// What the timer thread's Monitor guards.
///
/// H1: while `holds` > 0, a timer is queued or an event is waiting, the thread runs, or is being
///     created.
/// H2: `eventThreads` are those that run or are being created; each leaves when it finds no event.
/// H3: `endedRuns` of the holds are those of tasks that are over; this thread or an event thread frees
///     them, and then releases the hold.
struct TimerState: MonitorState {
  var queue = TimerQueue()
  /// How many users need the thread without having a timer in the queue.
  var holds = 0
  /// How many of them are of tasks that are over, to which this thread was just giving a thread.
  var endedRuns = 0
  var isRunning = false
  /// The thread, while it runs.
  var thread = cp_thread(0)
  /// When the thread leaves unless it is needed before; never while it is needed.
  var leavesAt = Deadline.never
  /// How many threads are being created, one of which becomes the timer thread.
  var starting = 0
  /// Those that have left: timer threads and event threads.
  private var leaving = LeavingThreads()

  /// The events for the event threads.
  private var events = EventQueue()
  private(set) var eventThreads = 0
  /// In how many of them the application's code is running.
  var callbacks = 0
  /// When the first event has waited so long that another thread is started; never while none is
  /// waiting.
  private var eventIsLateAt = Deadline.never

  /// How long an event waits for a thread that may soon be free, in nanoseconds.
  private static var patience: Int64 { 20_000_000 }
  /// How many slow callbacks may run at once before others have to wait.
  private static var mostEventThreads: Int { 8 }

  /// Whether the thread is not needed.
  var isUnused: Bool { queue.isEmpty && holds == 0 && events.isEmpty && eventThreads == 0 }

  /// When the thread has something to do.
  var wakesAt: Deadline {
    let next = min(queue.nextDue.nanoseconds, eventIsLateAt.nanoseconds)
    return Deadline(nanoseconds: min(next, dueRuns.wakesAt.nanoseconds))
  }

  /// Whether the thread will not be needed once the event threads have freed the runs of tasks that
  /// are over, and have found that there are no more events.
  ///
  /// A thread that has seen the end of a callback sees this: the count is changed before
  /// (`CallFrame`). While the system refuses event threads, nobody knows how long that takes.
  var isFinishing: Bool {
    !isUnused && queue.isEmpty && holds == endedRuns && callbacks == 0 && eventsAreOfEndedRuns
      && (events.isEmpty || !EventThread.isRefused)
  }

  /// Whether no event is waiting but those that free the runs of a task that is over.
  private var eventsAreOfEndedRuns: Bool {
    var place = events.first
    while let timer = place {
      guard case .start = timer.pointee.action else { return false }
      place = events.element(after: timer)
    }
    return true
  }

  /// The runs that are due and have no thread yet.
  var dueRuns = DueRuns()

  // MARK: Leaving

  /// Adds the calling thread, which is on its last instructions.
  mutating func threadLeaves() { leaving.add() }

  /// Likewise for the timer thread: the next one is another thread.
  mutating func timerThreadLeaves() {
    RunClock.hasLeft()
    isRunning = false
    threadLeaves()
  }

  /// Whether no thread exists any more; meaningful while none is needed.
  var isGone: Bool { !isRunning && starting == 0 && leaving.isEmpty }

  // MARK: Intervals

  /// How many heartbeat intervals there are.
  private(set) var intervals = 0
  /// The shortest heartbeat interval since there was none, in nanoseconds.
  private var shortestInterval = Int64.max
  /// The threads that are not tasks and have an interval, the newest first.
  var threads = LinkedList<ThreadPlace>()
  /// The watch for systemd, while it is armed.
  var systemd: SystemdWatch.Pointer?

  /// Counts an interval, whose owner holds the thread.
  mutating func intervalIsSet() {
    if intervals == 0 { shortestInterval = .max }
    intervals += 1
  }

  /// Uncounts an interval, and releases its hold of the thread.
  mutating func intervalIsOver() {
    intervals -= 1
    holds -= 1
  }

  /// Records a heartbeat interval in nanoseconds.
  mutating func recordInterval(_ interval: Int64) {
    shortestInterval = min(shortestInterval, interval)
  }

  /// How long the thread sleeps at the most, in nanoseconds: while there is an interval, it wakes
  /// eight times in an interval, but at most a hundred times a second, to detect that the process
  /// was stopped; see `RunClock`.
  var pulse: Int64 { intervals == 0 ? .max : max(shortestInterval / 8, 10_000_000) }

  /// Until when the thread sleeps.
  func sleepsUntil(from now: Int64) -> Deadline {
    let next = Deadline(nanoseconds: now).extended(by: pulse)
    return wakesAt.nanoseconds < next.nanoseconds ? wakesAt : next
  }

  // MARK: Events

  /// Makes an event thread perform the timer's action.
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

  /// Takes the first event; with nil, the calling thread must leave.
  mutating func takeEvent() -> Timer.Pointer? {
    let timer = events.takeFirst()
    if timer == nil {
      eventThreads -= 1
      threadLeaves()
    }
    eventIsLateAt = events.isEmpty ? .never : .after(Self.patience)
    return timer
  }

  /// Whether another event thread must be started; it is counted then.
  mutating func takesOnEventThread(at now: Int64) -> Bool {
    if eventIsLateAt.nanoseconds > now { return false }
    // When all are busy, the next one that is free continues.
    if eventThreads == Self.mostEventThreads {
      eventIsLateAt = .never
      return false
    }
    eventThreads += 1
    eventIsLateAt = .after(Self.patience)
    return true
  }

  /// Uncounts an event thread that could not be made, which is retried a little later, or that has
  /// ended during an event.
  mutating func eventThreadIsGone(retries: Bool = false) {
    eventThreads -= 1
    if !events.isEmpty { eventIsLateAt = .after(retries ? Self.patience : 0) }
  }

  /// The stall for which the process ends, if such a step is among the events.
  private var postedEnd: ExitBell.Stall? {
    var place = events.first
    while let timer = place {
      if case .heartbeat(let watch) = timer.pointee.action, let stall = watch.postedEnd {
        return stall
      }
      place = events.element(after: timer)
    }
    return nil
  }

  // MARK: Timers

  /// Takes out the timers that are due and performs their actions, up to one whose action must be
  /// performed without the lock.
  ///
  /// - Returns: that action, or nil if nothing else is due.
  mutating func doWhatIsDue(at now: Int64) -> DueAction? {
    if EventThread.isRefused, let stall = postedEnd, !ExitBy.endNow(stall) {
      return .endProcess(stall)
    }
    while let timer = queue.first, timer.pointee.due <= now {
      queue.remove(timer)
      switch timer.pointee.action {
      case .cancel(let token): if token.retainIfAlive() { return .cancel(token, timer) }
      case .signal(let signal): signal.send(again: &queue)
      case .wake: fatalError("such a timer is queued elsewhere")
      case .heartbeat(let watch):
        switch watch.check(&queue) {
        case .nothing: break
        case .event: post(timer)
        case .endOfProcess(let stall): return .endProcess(stall)
        }
      case .start(let runs):
        runs.willStart(at: now)
        if !runs.mayWait { return .start(runs) }
        dueRuns.append(timer, at: now)
      case .systemd(let watch):
        watch.willNotify()
        return .notifyManager(watch)
      // Posted, and never queued.
      case .systemdFailure, .settle: fatalError("such a timer is posted, never queued")
      }
    }
    return dueRuns.next(at: now).map { .start($0) }
  }

  func checkInvariants() {
    if holds < 0 || starting < 0 || intervals < 0 || callbacks < 0 {
      fatalError("H1: the users of the timer thread are miscounted")
    }
    if eventThreads < 0 || eventThreads > Self.mostEventThreads {
      fatalError("H2: the threads for events are miscounted")
    }
    if endedRuns < 0 || endedRuns > holds {
      fatalError("H3: the runs of tasks that are over are miscounted")
    }
  }
}
