import CPlatform
import Synchronization

// STATES
//     RUNNING ⇄ WAITING → ENDING
//        └─────────────────↑
//
//     → RUNNING         [spawn]
//     → WAITING         [restFirst], if the first run of a periodic task begins later
//     RUNNING → WAITING [restsAfterRun: rest], on the thread of the run that has ended
//     WAITING → RUNNING [startRun], by the timer thread; [runBegins], on the new thread
//     RUNNING → ENDING  [restsAfterRun], if the plan says so, or if the task was asked to stop
//     WAITING → ENDING  [endRest], by the thread that asks it to stop; [startRun]; [endWithoutRun]
//
// RUNNING:
//  -  The body runs in a thread, which owns `startedAt`, `due` and the plan. The timer is not queued.
// WAITING:
//  -  The word says `starting`, the task has no thread, and `startsAt` of its activity says until
//     when. The timer is queued, unless the schedule is paused; or the timer thread is at it
//     (`isStarting`). Nobody owns the plan.
// ENDING:
//  -  A thread runs the task's end, and no further run begins [bodyHasEnded: endRuns].

// LOCKING
// The timer thread's Monitor guards the timer, `isWaiting`, `isStarting`, `isOver`, `pause` and the
// schedule, and the pointer to this in the task's activity, which the task's own thread also reads
// without it, as nobody else changes it.
//
// A task goes to rest by the transition `rests` of its word, which exists only while it has not been
// asked to stop; it is made under that Monitor, together with queueing the timer. A thread that raises
// the level changes the word first, and then looks for the timer under the Monitor. So either the
// transition finds the level, and the task ends; or that thread finds the timer and makes it due at
// once; or the run that is starting finds the level, and its body does not run.
//
// Whoever triggers, pauses or changes a schedule does so under it, and so does the timer thread when it
// takes the timer out: a trigger that comes before that has the run that begins then, and one that comes
// later has the next.
//
// The timer thread gives the task a thread without the lock. The run may be over before it has come
// back from that, and so may the task, and the last reference to its registry. So this has a
// reference of its own to the registry's memory, and is freed by whoever comes last: the end of the
// task or, if the timer thread was still at it, an event thread, because the release may call the
// application.

/// The runs of a task whose body runs again after it has ended: what it needs that no thread keeps
/// while it waits (B1 to B6).
///
/// The task stays one: one record, id and name, the same handles; it is alive until its last run is
/// over. While it waits it has no thread. Each run gets one from its registry, as a spawn does.
struct TaskRuns {
  typealias Pointer = UnsafeMutablePointer<TaskRuns>

  /// Starts the next run; the first field, so that its address is known.
  var timer: Timer

  // immutable after init
  /// No reference is held, as this ends with the task.
  let task: TaskReference
  /// As in the spawn, in the form in which the root registry takes it.
  let stackSize: Int?
  let wantsFreshThread: Bool
  /// In the same block of memory; nil for a periodic task.
  let plan: UnsafeMutablePointer<RestartPlan>?
  /// The task's, where the next run's first steps are.
  let activity: TaskActivity.Pointer

  // Guarded by the timer thread's Monitor.
  /// When a periodic task runs; nil for others.
  var schedule: Schedule?
  /// Whether the task waits for its next run, and the timer thread is not at it.
  var isWaiting = false
  /// Whether the timer thread is giving the task a thread.
  var isStarting = false
  /// Whether it was refused one, for a run that the schedule knows of already.
  var wasRefused = false
  /// Whether the task is over, and this to be freed.
  var isOver = false
  /// How long the next attempt to get a thread waits, in nanoseconds, if the system refuses one.
  var pause = firstPause

  // Owned by the thread of the run; before, by the thread that starts it.
  /// The period when the run began; `.max` for a task that is not periodic.
  var period = Int64.max
  /// When the run began, on `CLOCK_MONOTONIC`.
  var startedAt: Int64 = 0
  /// When the next one begins, as the plan says.
  var due: Int64 = 0

  static var firstPause: Int64 { 20_000_000 }
  static var longestPause: Int64 { 1_000_000_000 }

  /// How many tasks wait for their next run.
  ///
  /// atomic: sequentially consistent with the count of the library's waiting threads
  /// (`MainThread`): counted before the thread of the last run ends.
  private static let waiting = Atomic<UInt64>(0)

  /// Whether any task waits for its next run: it keeps the process as a task in a thread does (P9).
  static var areWaiting: Bool { waiting.load(ordering: .sequentiallyConsistent) != 0 }

  /// Counts a task that waits, or uncounts one.
  static func countWaiting(_ isWaiting: Bool) {
    if isWaiting {
      waiting.wrappingAdd(1, ordering: .sequentiallyConsistent)
    } else {
      waiting.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    }
  }

  /// Makes what a task needs that starts again; holds the timer thread and the registry's memory.
  static func make(
    for task: TaskReference, _ policy: RunPolicy, stackSize: Int?, fresh: Bool
  ) -> (Status, Pointer?) {
    let size = MemoryLayout<TaskRuns>.stride
    var room = size
    if case .restart = policy { room += MemoryLayout<RestartPlan>.stride }
    guard let memory = malloc(room) else { return (.noMemory, nil) }
    let status = TimerThread.hold()
    if status != .ok {
      free(memory)
      return (status, nil)
    }
    var plan: UnsafeMutablePointer<RestartPlan>?
    var schedule: Schedule?
    switch policy {
    case .restart(let policy):
      plan = (memory + size).bindMemory(to: RestartPlan.self, capacity: 1)
      plan?.initialize(to: RestartPlan(policy))
    case .schedule(let rule):
      let now = monotonicNow()
      let chance = chance(at: now, of: UInt64(UInt(bitPattern: memory)))
      schedule = Schedule(rule, at: now, chance: chance)
      // The first run begins with the task.
      if rule.firstDelay == 0 { schedule?.runBegins(at: now, chance: 0) }
    }
    let this = memory.bindMemory(to: TaskRuns.self, capacity: 1)
    this.initialize(
      to: TaskRuns(
        timer: Timer(.start(this)), task: task, stackSize: stackSize, wantsFreshThread: fresh,
        plan: plan, activity: task.activity, schedule: schedule,
        period: schedule?.rule.period ?? .max))
    task.registry.retainStorage()
    return (.ok, this)
  }

  /// A number that differs from moment to moment and from task to task: bits of both, spread.
  static func chance(at now: Int64, of id: UInt64) -> UInt32 {
    let mixed = (UInt64(bitPattern: now) ^ (id << 32) ^ (id >> 4)) &* 0x9E37_79B9_7F4A_7C15
    return UInt32(truncatingIfNeeded: mixed >> 32)
  }
}

extension TaskReference {
  /// Whether the task starts again after its body has ended.
  var startsAgain: Bool { word.hasOptionalState && traits.contains(.startsAgain) }

  var runsPointer: TaskRuns.Pointer? {
    TaskRuns.Pointer(bitPattern: activity.pointee.runs.load(ordering: .relaxed))
  }

  /// What is kept of the task's runs.
  ///
  /// Called on the task's own thread, of a task that starts again, before its end; or by its spawner.
  var runs: TaskRuns.Pointer {
    // SAFETY: made with the task, and freed by its own thread alone.
    runsPointer.unsafelyUnwrapped
  }

  /// Gets what the task needs to start again.
  ///
  /// The record is the caller's own.
  func prepareRuns(_ policy: RunPolicy, stackSize: Int?, fresh: Bool) -> Status {
    let (status, runs) = TaskRuns.make(for: self, policy, stackSize: stackSize, fresh: fresh)
    activity.pointee.runs.store(UInt(bitPattern: runs), ordering: .relaxed)
    activity.pointee.runCount.store(0, ordering: .relaxed)
    activity.pointee.startsAt.store(0, ordering: .relaxed)
    activity.pointee.lastEnding.store(0, ordering: .relaxed)
    activity.pointee.hasGivenUp.store(0, ordering: .relaxed)
    return status
  }

  /// Releases that: no run follows.
  ///
  /// Called on the task's own thread, or by the spawner of a task that does not run.
  func endRuns() {
    // An earlier task in the same record may have had some.
    guard let runs = runsPointer else { return }
    let isFree = TimerThread.change { state in
      activity.pointee.runs.store(0, ordering: .relaxed)
      return runs.end(&state)
    }
    if isFree { runs.destroy() }
  }

  /// Starts the task at once if it waits for its next run: it was asked to stop, and has to end.
  ///
  /// Called by the thread that has raised the level, with a reference.
  func endRest() {
    TimerThread.change { state in
      runsPointer?.endRest(&state)
    }
  }
}
