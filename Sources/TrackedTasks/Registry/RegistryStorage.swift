import CPlatform
import Synchronization

// STATES
//     [create]
//         │
//         ▼          close, cancel          last end
//        OPEN ─────────────────→ CLOSING ─────────────→ CLOSED
//         │                                               │
//         │       no references, no live task             │
//         └───────────────→ UNREACHABLE ←─────────────────┘
//                             │     │
//                 threads left│     │no threads, or a group
//                             ▼     │
//                          BURIED   │
//                             │     │
//                             └──→ FREED
//
//     OPEN → CLOSING       [close; tokenWasCancelled], also from create (cancelled token)
//     CLOSING → CLOSED     [complete, completeWithOptionalState; withdraw, if there was no thread]
//     → UNREACHABLE        [endIfUnreachable], after the last release, the end of a task or of a
//                          group, or the closing of a group
//     UNREACHABLE → BURIED [orphanThreads]
//     UNREACHABLE → FREED  [releaseStorage]
//     BURIED → FREED       [destroyIfLast], by releaseStorage or DeferredFree.tend: the later one
//
// OPEN:
//  -  The gate is not closed. Any task can be spawned, if `maxTasks` allows it.
// CLOSING:
//  -  The gate is closed for good (Gate1). Only a clean-up task is still admitted, and only if a
//     task of this registry or of a group below it spawns it; so at least one task is alive.
//  -  If the token was cancelled, the gate says so too: an ordinary task that was admitted before,
//     and is published only now, gets its flag up. If a join's deadline has passed since, the gate
//     is overdue, and clean-up tasks are born with their flags up.
// CLOSED:
//  -  As many tasks have ended as were admitted. No task is alive and none can be spawned, as the
//     only callers that may pass a closed gate are live tasks.
//  -  The log callback is not called for spawns any more (`isFinished`). Log callbacks that other
//     threads have begun may still run; a shutdown waits for them.
//  -  Handles stay valid: the counters and the token can still be read.
// UNREACHABLE:
//  -  R4. A registry that is still open gets here when there is no reference, no group can be
//     reached and no task is alive; a closed group gets here even if the application still has
//     references.
//  -  A group does not count among its parent's references any more (R3), which may make the parent
//     unreachable in turn. The memory lives on while references to it are held (R2).
//  -  A root registry is orphaned and retires (I3): workers leave as soon as they have no task, and
//     the ends of their threads are not taken up.
// BURIED:
//  -  The DeferredFree has it in its list until the kernel has ended all of its threads. The last
//     reference may be that of a thread that still runs on one of its stacks.
// FREED:
//  -  It is on no list: neither its token's, nor its parent's, nor `MainThread`'s. The token's
//     reference, the log's context and the stacks are released.

// LOCKING
// `monitor` guards what is rare: the idle and the departed workers, the blocked threads, retiring.
// Spawning to an awake worker, ending a task, reading flags, counting and listing take no lock.
// Everything else here is immutable after init, or an atomic whose protocol is described beside it.
// The token's Monitor and this one are never held together.

/// The whole of a registry, in one block of memory.
///
/// It lives until the last reference to the registry, the last worker and the last handle of a task
/// are gone (G3).
///
/// R1: `admitted` of the gate == tasks counted in `endings` + live tasks + spawns under way.
/// R2: `storageRefs` == 1 while `handleRefs` > 0, + one per worker, + one per record that
///     `holdsRegistry`, + one per group; the memory is freed when it becomes 0.
/// R3: `handleRefs` == references of the application + groups that are not `isUnreachable`.
/// R4: once `isUnreachable`, no task is alive and none will be; `handleRefs` is 0, or it is a
///     closed group.
struct RegistryStorage: ~Copyable {
  // What spawning threads write.
  // atomic: the entry for spawns; see `GateWord`. Sequentially consistent, see `Spawn.swift`.
  let gate = Atomic<UInt64>(0)
  private let padding1 = InlineArray<7, UInt64>(repeating: 0)

  // atomic: a hint: the worker that spins for its next task, or runs a short one and will spin
  // soon; as bits, or 0. Its mailbox decides whether it can be given a task (M1).
  let spinner = Atomic<UInt>(0)
  private let padding2 = InlineArray<7, UInt64>(repeating: 0)

  // What workers write.
  /// How many tasks have ended in each way; see `Endings`.
  let endings = Endings()
  // atomic: how many threads wait until all tasks have ended, and, in the high half, how many until
  // those of a phase have. Sequentially consistent: a joiner counts itself and then checks whether
  // all have ended; a worker counts an end and then checks for joiners. One of them sees the other.
  let endWaiters = Atomic<UInt64>(0)
  private let padding3 = InlineArray<3, UInt64>(repeating: 0)

  let records = RecordPool()

  // What changes now and then.
  // atomic: R3. Relaxed up; down sequentially consistent with the ends of tasks, see
  // `endIfUnreachable`.
  let handleRefs = Atomic<UInt64>(1)
  // atomic: R2. Relaxed up, acquire-release down.
  let storageRefs = Atomic<UInt64>(1)
  // atomic: relaxed; spawns rejected.
  let rejected = Atomic<UInt64>(0)
  // atomic: how many callbacks are registered with tasks. Sequentially consistent: counted before
  // the flag is checked, and read after the flags are raised.
  let taskCallbacks = Atomic<UInt64>(0)
  // atomic: how many callbacks are registered for the ends of tasks. Sequentially consistent:
  // counted before the task is marked as awaited, and read after its end.
  let endCallbacks = Atomic<UInt64>(0)
  // atomic: whether shutdowns are to stop waiting. Sequentially consistent with the list of
  // waiters, like the predicates of `Monitor.wait`.
  let isDeadlineForced = Atomic<Bool>(false)
  // atomic: R4. Sequentially consistent; the thread that sets it acts on it.
  let isUnreachable = Atomic<Bool>(false)
  // atomic: how many of `endWaiters` are adopted threads that wait for all tasks but their own
  // (A4). Sequentially consistent, like `endWaiters`, and counted before.
  let exemptWaiters = Atomic<Int32>(0)
  // atomic: `maxTasks` of the options, which may change later. Sequentially consistent, like
  // `roomWaiters`; relaxed where tasks are admitted.
  let maxTasks = Atomic<UInt64>(0)
  // atomic: how many of `endWaiters` wait for room. Sequentially consistent, like those, and counted
  // before.
  let roomWaiters = Atomic<UInt32>(0)
  // atomic: how many unjoined tasks are alive, including those of groups; the sum of
  // `Phases.unjoined`. Sequentially consistent; see LOCKING in `UnjoinedTasks.swift`.
  let unjoinedTasks = Atomic<UInt64>(0)
  // atomic: relaxed; how often a task has started again.
  let restarts = Atomic<UInt64>(0)
  // atomic: relaxed; how many runs of periodic tasks took longer than the period.
  let overruns = Atomic<UInt64>(0)

  // atomic: how many groups there are, alive or about to be freed. Sequentially consistent: counted
  // before a task can be spawned in one, and read by threads that walk the tree.
  let groupCount = Atomic<UInt64>(0)

  // atomic: in a group, how many of its tasks are also counted as ended in its ancestors.
  // Sequentially consistent, like `Endings`.
  let endedInAncestors = Atomic<UInt64>(0)

  // atomic: its number while it is on the list of its parent, or of `MainThread`; 0 before and
  // after. Stored under that list's lock, sequentially consistently, before its links are set and
  // before they are cleared: a reader outside, which takes no lock, knows by it whether the links
  // that it has read were those of an element of the list (`ReaderTable`).
  let listNumber = Atomic<UInt64>(0)

  let phases = Phases()
  let cancelBaseline = CancelBaseline()
  // atomic: how many reports record which tasks end. Changed with sequential consistency, before
  // flags are raised; read relaxed, by tasks that have seen their flag.
  let reportCount = Atomic<UInt64>(0)
  // atomic: relaxed; the signal that forced the deadline, how many nanoseconds after the first one,
  // and the number of that. Stored before `isDeadlineForced`, whose order makes them visible.
  let forcedBy = Atomic<Int32>(0)
  let forcedAfter = Atomic<Int64>(0)
  let forcedAfterSignal = Atomic<Int32>(0)

  // immutable after init
  let options: RegistryOptionsCore
  let spin: SpinPolicy
  /// Whether the program needs executable stacks, as glibc would have made them.
  let stacksAreExecutable: Bool
  /// The signals that its tasks block when they start (S7); a group's is not used.
  let taskMask: SignalMask
  /// The state of its threads when a task starts (S1); a group's is not used.
  let origin: ThreadOrigin
  /// The registry that contains this group; a reference to its memory is held.
  // `var`, like the next two and `monitor`, only so that it has an address for `ReaderTable`.
  fileprivate(set) var parent: RegistryReference?
  fileprivate(set) var path: GroupPath
  fileprivate(set) var name: TaskName
  /// Whether each task needs more work than most tasks do; see `OptionalState`.
  let givesOptionalState: Bool
  /// The metrics of its tasks; nil for most registries.
  let metrics: Metrics?
  /// Whether it or an ancestor keeps metrics.
  let isMeasured: Bool
  fileprivate(set) var monitor: Monitor<RegistryState>
  /// A reference is held.
  let token: TokenReference

  // Guarded by the token's Monitor: the registry's place among those linked to it.
  var tokenLinks = ListLinks<RegistryReference>()
  // Guarded by the parent's Monitor: the group's place among the others.
  var groupLinks = ListLinks<RegistryReference>()
  // Guarded by `MainThread`'s Monitor: the registry's place among all that are not groups.
  var rootLinks = ListLinks<RegistryReference>()
  // Written by the thread that orphans the registry, which holds a reference to its memory
  // meanwhile.
  var isBuried = false
  // Owned by the `DeferredFree`: the next registry in it, as bits.
  var nextBuried: UInt = 0
  // atomic: of a buried registry, whether its last reference is gone, or its threads are. The
  // thread that brings about the second of these frees it. Acquire and release.
  let isHalfGone = Atomic<Bool>(false)

  init(
    options: RegistryOptionsCore, monitor: Monitor<RegistryState>, token: TokenReference,
    parent: RegistryReference?, path: GroupPath, metrics: Metrics?
  ) {
    self.options = options
    self.monitor = monitor
    self.token = token
    self.parent = parent
    self.path = path
    name = options.name
    self.metrics = metrics
    isMeasured = metrics != nil || parent?.isMeasured == true
    givesOptionalState = parent != nil || metrics != nil
    spin = SpinPolicy(nanoseconds: options.spinNanoseconds)
    stacksAreExecutable = parent == nil && cp_wants_executable_stacks()
    taskMask = parent == nil ? options.taskMask ?? .ofCreator : .none
    origin = ThreadOrigin(isCaptured: parent == nil)
  }
}

extension UnsafeMutablePointer<RegistryStorage> {
  /// Where these fields are, in bytes from the start (`ReaderTable`).
  var placesForReaders: (parent: UInt, monitor: UInt, path: UInt, name: UInt) {
    let base = UInt(bitPattern: self)
    return (
      withUnsafeMutablePointer(to: &pointee.parent) { UInt(bitPattern: $0) &- base },
      withUnsafeMutablePointer(to: &pointee.monitor) { UInt(bitPattern: $0) &- base },
      withUnsafeMutablePointer(to: &pointee.path) { UInt(bitPattern: $0) &- base },
      withUnsafeMutablePointer(to: &pointee.name) { UInt(bitPattern: $0) &- base }
    )
  }
}

extension RegistryReference {
  /// Gives it the number of its place on a list; called under the list's lock.
  func isAboutToBeListed() {
    pointer.pointee.listNumber.store(
      ProcessState.nextListNumber(), ordering: .sequentiallyConsistent)
  }

  /// Takes the number away; likewise.
  func isAboutToBeUnlisted() {
    pointer.pointee.listNumber.store(0, ordering: .sequentiallyConsistent)
  }
}
