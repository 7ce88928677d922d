import CPlatform
import Synchronization

// STATES
//     SPARE ──→ RUNNING ⇄ LISTENING ──→ SLEEPING ──→ LEAVING ──→ DEPARTED ──→ SPARE
//                 │ ▲ │                  ▲  │           ▲
//                 │ └─┼──────────────────┼──┘           │
//                 │   └──────────────────┘              │
//                 └─────────────────────────────────────┘
//
//     SPARE → RUNNING      [start: takeSpareWorker, createThread]; SPARE again if that fails
//     RUNNING → LISTENING  [nextTask: becomeSpinner], if no other worker is the spinner
//     LISTENING → RUNNING  [handToSpinner], by a spawner
//     LISTENING → SLEEPING [listen, sleep: addIdle], if no task came
//     RUNNING → SLEEPING   [sleep: addIdle]
//     SLEEPING → RUNNING   [takeIdleWorker, post], by a spawner
//     SLEEPING → LEAVING   [dismiss: post(.leave)]; or [sleep], when the idle time is over
//     RUNNING → LEAVING    [threadMain returns], if it is not reusable or the registry retires;
//                          [threadIsEnding], if the task or its cancellation ends the thread
//     LISTENING → LEAVING  [sleep], likewise
//     LEAVING → DEPARTED   [threadIsEnding, leave, depart]
//     DEPARTED → SPARE     [reapDeparted], once the thread has ended
//
//     SPARE ⇄ ADOPTED      [adopt]; [detach], by the thread, when its task is over
//
// SPARE:
//  -  It has no thread, is on the list of the spare ones, and is not counted in `threadCount`. It
//     may still have its place in the stack arena.
// RUNNING:
//  -  It is counted in `threadCount` and holds a reference to the registry's memory, as in every
//     state up to LEAVING. No other thread writes its mailbox.
//  -  The mailbox is the record of its task, or `restoring` when the task is over and the thread is
//     being reset for the next one. A spawner may spin for the end of either.
//  -  `task` is set from before the body until the end of the task is counted; `stage` says which
//     of the application's functions have run. Callbacks for the end run after that, inside no task
//     [EndCallbacks.run].
// LISTENING:
//  -  It spins, `spinner` points to it, and the mailbox is `listening`: any spawner may exchange that
//     for a task (M1).
// SLEEPING:
//  -  It is on the idle list, and the mailbox is `sleeping`. It is parked, or is about to be. Only
//     the thread that takes it off the list posts to it, once (M2).
// LEAVING:
//  -  The mailbox is `leave`, unless the thread was ended inside a task; then it is still the
//     record.
//  -  The destructor of the thread-specific key runs. In its first round it ends the task, if that
//     is necessary; from then on `current` is nil and `currentOrDeparted` is not. In the second
//     round the worker departs.
// DEPARTED:
//  -  It is on the list of the departed, and releases its reference. Its thread may still run: its
//     stack is not reused before `life` says that it has ended.
//  -  Once the registry is orphaned, it is not counted in `threadCount` and stays here until it is
//     freed with the registry.
// ADOPTED:
//  -  It lends a thread of the application's what a thread needs to run a task: see
//     `AdoptedThread.swift`. It is counted in `threadCount`, and holds a reference to the registry's
//     memory; no thread of its own, no stack, no place on a list. Nobody posts to it: the mailbox is
//     the record of its task until that has ended.

// LOCKING
// A worker belongs to one registry and is freed with it, as part of its batch. Its links are
// guarded by the registry's Monitor; its mailbox follows M1 and M2 of `MailboxWord`; the rest is
// owned by its thread.

/// One thread of a registry: it runs a task, and then perhaps another.
struct Worker: ~Copyable {
  typealias Pointer = UnsafeMutablePointer<Worker>

  // Read by spawners. Apart from hints, only the mailbox is written while the thread lives.
  // atomic: what the worker does next; see `MailboxWord`. Posted with release, so that the record
  // is seen complete.
  let mailbox = Atomic<UInt>(0)
  // atomic: relaxed, a hint; the CPU it runs on.
  let cpu = Atomic<Int32>(-1)
  // atomic: relaxed, a hint; the CPU of the spawner of its task.
  let spawnerCPU = Atomic<Int32>(-1)
  // immutable after init
  let registry: RegistryReference
  let parker: Parker
  /// Whether its thread has ended.
  let life: ThreadLife.Pointer
  private let padding = InlineArray<1, UInt64>(repeating: 0)

  // owned by the worker thread; on a cache line of their own, as spawners poll the one above
  /// The task it runs, from before the body until its end is counted.
  var task: TaskReference?
  /// How far the end of the task has got, in case the thread ends in the middle.
  var stage = Stage.body
  var ending = TaskWord.Ending.none
  /// Whether the thread leaves after its task; set by the creator before the thread exists, and by
  /// a thread whose scheduling could not be set.
  var isSingleUse = false
  /// Whether the changes that its last body made to the thread are unchecked, as the registry had
  /// closed: then it is given no other task.
  ///
  /// Owned by the worker thread while it is not idle, otherwise guarded by the registry's Monitor.
  var isUnchecked = false
  /// Whether its last task has been put to rest, or ended without a run: others may be due (B5).
  var hasRested = false
  /// Whether callbacks for the end of its last task have run.
  var hasRunCallbacks = false
  /// Whether its thread is the application's own, and was adopted (A1); set by that thread.
  var isAdopted = false
  /// Whether its thread is counted in `unjoinedThreads`: its task is an unjoined one (S9).
  var runsUnjoined = false
  /// The kernel's id of the thread; set by the thread itself, read by others after it departed.
  var threadID: Int32 = 0
  /// The first two words of the task name that the kernel was last given.
  var kernelName: (UInt64, UInt64) = (0, 0)
  /// The backtrace signal that the thread unblocks in bodies; 0 is none.
  var backtraceSignal: Int32 = 0
  /// The initial state of the thread, and what has to be checked against it.
  var threadState = ThreadState()
  /// The lowest byte of its place in the arena, where the guard lies; nil before it is first
  /// needed.
  ///
  /// Set by the creator of a thread, read by the thread that reaps it.
  var stack: UnsafeMutableRawPointer?

  // guarded by the registry's Monitor
  /// Where the thread reports whether it could start, if its creator waits for that.
  ///
  /// SAFETY: it points to the creator's stack. The creator returns only after the thread has
  /// reported, and the thread writes to it once, under the lock.
  var beginning: UnsafeMutablePointer<Beginning>?
  /// The next one of the departed, the spare ones, or some that were taken together.
  var next: Pointer?
  var idleLinks = ListLinks<Pointer>()

  // rarely touched
  // atomic: the mark of its thread (`ThreadProbe.hasRun`) when somebody looked; -1: nobody has.
  // Released after `restSince`, acquired before it.
  let restMark = Atomic<Int64>(-1)
  // atomic: relaxed, never decreases; when that was, or later, on `CLOCK_MONOTONIC`.
  let restSince = Atomic<Int64>(0)
  /// A stack of another size than the registry's, for one thread: its guard, and its size in bytes
  /// without the guard.
  ///
  /// Set and read like `stack`.
  var ownStack: UnsafeMutableRawPointer?
  var ownStackSize = 0
  /// The id of the last task that was reported as late; owned by the worker thread.
  var lateReported: UInt64 = 0
  // atomic: relaxed; the CPU time that the thread had used when it took its task, in nanoseconds,
  // to within a few milliseconds; -1 if unknown. Written by the thread; see `WorkerClock.swift`.
  let cpuBase = Atomic<Int64>(0)
  /// What the thread waits for; written by the thread.
  let note = WaitNote()
  /// Ticks of bodies since `cpuBase` was stored; owned by the worker thread.
  var ticksSinceBase: UInt64 = 0

  /// How far the end of a task has got.
  enum Stage {
    /// The stage while the body runs.
    case body
    /// The stage once a run is over after which the task starts again.
    case resting
    /// The stage while `drop` runs.
    case drop
    /// The stage while the log callback runs.
    case log
    /// The stage once only the library's own steps are left.
    case done
  }

  /// Whether a new thread could start; on its creator's stack.
  enum Beginning {
    /// The state before the thread has reported.
    case awaited
    /// The thread goes on.
    case made
    /// The thread had no memory for its thread-specific data, and ends (S6).
    case rejected
  }

  init(registry: RegistryReference, parker: Parker, life: ThreadLife.Pointer) {
    self.registry = registry
    self.parker = parker
    self.life = life
  }

  // MARK: The calling thread

  // Workers are aligned, so the low bits of the thread-specific value are free. They are 0 while
  // the thread serves a registry; once its worker has departed they count the rounds of destructors
  // for which it is still known.
  private static var roundsMask: UInt { 3 }

  /// The worker of the calling thread, or nil.
  @inline(__always)
  static var current: Pointer? {
    let value = ProcessState.threadValue
    return value & roundsMask == 0 ? Pointer(bitPattern: value) : nil
  }

  /// The worker of the calling thread, even if it has departed: other destructors of the thread's
  /// thread-specific data may run after that.
  static var currentOrDeparted: Pointer? {
    Pointer(bitPattern: ProcessState.threadValue & ~roundsMask)
  }

  /// Makes `worker` the calling thread's.
  static func setCurrent(_ worker: Pointer) {
    ProcessState.setThreadValue(UInt(bitPattern: worker))
  }

  /// Marks `worker` as departed, for this round of destructors and the next two.
  ///
  /// Not for the fourth, the last that POSIX guarantees: ThreadSanitizer has released its own state
  /// of the thread by then, and none of our code may run.
  static func setDeparted(_ worker: Pointer) {
    ProcessState.setThreadValue(UInt(bitPattern: worker) | 2)
  }

  /// Counts a round of destructors.
  ///
  /// - Parameter value: the thread-specific value before.
  /// - Returns: how many rounds came since `setDeparted`; 0 before that.
  static func laterRound(_ value: UInt) -> Int {
    let rounds = value & roundsMask
    if rounds > 1 { ProcessState.setThreadValue(value - 1) }
    return rounds == 0 ? 0 : Int(3 - rounds)
  }

  /// The task that the calling thread runs, or nil.
  @inline(__always)
  static var currentTask: TaskReference? { current?.pointee.task }
}

/// Runs `body` with a Parker for the calling thread: its worker's, or one on the stack.
func withParker<Result>(_ body: (Parker) -> Result) -> Result {
  if let worker = Worker.current { return body(worker.pointee.parker) }
  return withParkerOfItsOwn(body)
}
