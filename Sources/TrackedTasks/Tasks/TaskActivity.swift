import Synchronization

/// The activity of a task: what it reports, and what others record of it, that few tasks need (E2, E3,
/// E7).
///
/// It lies behind the records of the chunk, where it takes no memory until the first task there has
/// an activity. It is never initialised as a whole: the thread that opens it stores every field. All
/// fields are atomics, and relaxed, because a snapshot may read them while the next task of the
/// record opens them; the snapshot discards what it read then (see LOCKING in `TaskRecord.swift`).
/// A task's traits say whether it has an activity; they are stored with release after the fields.
struct TaskActivity: ~Copyable {
  typealias Pointer = UnsafeMutablePointer<TaskActivity>

  /// The task's heartbeats; the first field, so that its address is known.
  let heartbeats: HeartbeatState
  // atomic: the address of the last checkpoint's text, a `KeptText`; 0 for none. Written by the
  // task's own thread, with release after the text, and loaded with acquire.
  let checkpoint: Atomic<UInt>
  // atomic: how many times progress was reported; the last report is in the slot of its lowest bit.
  // Released by the task's own thread after the slot is written, which is not the slot that readers
  // use. A reader that finds the same number afterwards has read the progress of one call, and does
  // not have to wait for a task that stopped in the middle.
  let progressCount: Atomic<UInt64>
  let evenProgress: ProgressSlot
  let oddProgress: ProgressSlot
  // The others belong to no trait: the next two are valid once `CancelChecks.isSampled`.
  // atomic: the CPU time of the task's thread at `sampledAt`, in nanoseconds.
  let sampledCPU: Atomic<Int64>
  // atomic: on `CLOCK_MONOTONIC`.
  let sampledAt: Atomic<Int64>
  // atomic: when both a deadline that found the task alive and the abort grace after it have
  // passed. Stored before the word says `isOverdue`.
  let lateFrom: Atomic<Int64>
  // atomic: how many references are counted beside the word, in units of
  // `TaskWord.movedReferences`, if the word says that there are any (W5). Relaxed, guarded by the
  // registry's Monitor.
  let moreReferences: Atomic<UInt64>
  // atomic: the `WaitDescriptor` at which the task has a place, as bits, if its traits say
  // `hasWaitPlace`; 0 for none. Relaxed; changed by the task's own thread, under the lock of those.
  let waitDescriptor: Atomic<UInt>
  // atomic: relaxed; when the task began to drain, on `CLOCK_MONOTONIC`, if its traits say
  // `draining`.
  let drainingSince: Atomic<Int64>
  // atomic: relaxed; how many shields the task is in, if its traits say `shielded`. Owned by the
  // task's own thread.
  let shields: Atomic<UInt32>
  // atomic: relaxed; what the body of a failed task returned. Written by the worker before `ends`,
  // read after that.
  let code: Atomic<Int32>
  // atomic: the token of the task's own and the two callbacks that cancel it, as bits, if its
  // traits say `ownsToken` (the token: as long as there are callbacks). Relaxed; see LOCKING in
  // `OwnToken.swift`.
  let ownToken: Atomic<UInt>
  let drainCallback: Atomic<UInt>
  let abortCallback: Atomic<UInt>
  /// The task's label, if its traits say `labelled`.
  let label: LabelPlace
  // atomic: relaxed; the first bytes of the name of its thread, if its traits say `namedThread`.
  // Written by the spawner, read by the worker.
  let threadName: AtomicText<2>
  // atomic: a pointer of the application's, as bits, if its traits say `hasData`. Written by the
  // task's own thread with release, loaded with acquire: so what it points to can be read, too.
  let data: Atomic<UInt>
  // atomic: relaxed; its `SchedulingWish`, as bits, if its traits say `scheduled`. Written by the
  // spawner, and freed by the task's own thread at its end.
  let scheduling: Atomic<UInt>
  // The last five are valid if its traits say `startsAgain`.
  // atomic: its `TaskRuns`, as bits; 0 once no run follows. See LOCKING there.
  let runs: Atomic<UInt>
  // atomic: relaxed; how many runs have begun. Written by the task's own thread.
  let runCount: Atomic<UInt64>
  // atomic: relaxed; when the next run begins, on `CLOCK_MONOTONIC`, while the task waits for that.
  // Stored before the transition `rests`; 0 before the first run and while one is under way.
  let startsAt: Atomic<Int64>
  // atomic: relaxed; how the last run ended, as the number of `TR_ENDED_…`; 0 before. Its code is
  // `code`.
  let lastEnding: Atomic<UInt32>
  // atomic: relaxed; 1 once there were too many restarts.
  let hasGivenUp: Atomic<UInt32>
}

/// The facts in the activity of a task.
struct ActivityFacts {
  var phase: UInt32 = 0
  /// Text that is valid until the process ends.
  var checkpoint: UnsafePointer<UInt8>?
  var progress = Progress()
  var readsFlag = false
  /// Whether a heartbeat is overdue (E7).
  var isStalled = false
  /// When it began to drain, on `CLOCK_MONOTONIC`; 0 before (C16).
  var drainingSince: Int64 = 0
  /// Its record, which is valid as long as the visit; nil for a thread that is not a task.
  var record: TaskReference?
  /// Whether it has a label (E14).
  var isLabelled = false
  /// Whether it is that of a thread that shuts down, and is not waited for (A4).
  var joinsOthers = false
  /// Whether no join waits for it (S9).
  var isUnjoined = false

  /// How many runs have begun, of a task that starts again; 0 for all others (B3).
  var runs: UInt64 = 0
  /// How its last run ended, as the number of `TR_ENDED_…`, and its code; 0 before the end of one.
  var lastEnding: UInt32 = 0
  var lastCode: Int32 = 0
  /// When its next run begins, on `CLOCK_MONOTONIC`; 0 unless it may be waiting for that.
  var startsAt: Int64 = 0

  /// Whether it has one run, as most tasks.
  var isWithoutRuns: Bool { runs == 0 && startsAt == 0 }

  /// How long it still waits for its next run, in nanoseconds; `.max` if it is paused, -1 if it does
  /// not wait.
  func startsIn(_ state: TaskFacts.State, at now: Int64) -> Int64 {
    state == .waiting ? startsAt == .max ? .max : max(0, startsAt &- now) : -1
  }

  /// For how long it has been draining, in nanoseconds; -1 if it is not.
  func drainingFor(at now: Int64) -> Int64 {
    drainingSince == 0 ? -1 : max(0, now &- drainingSince)
  }
}

extension TaskReference {
  /// What the task has reported.
  ///
  /// Requires that the word says `hasOptionalState`; otherwise as `facts`.
  @inline(never)
  var activityFacts: ActivityFacts {
    let traits = self.traits
    var facts = ActivityFacts(phase: traits.phase, readsFlag: traits.contains(.readsFlag))
    if traits.contains(.draining) {
      facts.drainingSince = activity.pointee.drainingSince.load(ordering: .relaxed)
    }
    facts.record = self
    facts.isLabelled = traits.contains(.labelled)
    facts.joinsOthers = traits.contains(.joinsOthers)
    facts.isUnjoined = traits.contains(.unjoined)
    if traits.contains(.startsAgain) { addRuns(to: &facts) }
    if !traits.contains(.activity) { return facts }
    let activity = self.activity
    facts.checkpoint = UnsafePointer(
      bitPattern: activity.pointee.checkpoint.load(ordering: .acquiring))
    facts.progress = activity.pointee.progress
    if traits.contains(.heartbeat) { facts.isStalled = heartbeats.isOverdue }
    return facts
  }

  /// Adds what is known of the runs of a task that starts again.
  private func addRuns(to facts: inout ActivityFacts) {
    facts.runs = activity.pointee.runCount.load(ordering: .relaxed)
    facts.lastEnding = activity.pointee.lastEnding.load(ordering: .relaxed)
    if facts.lastEnding == UInt32(TaskWord.Ending.failed.rawValue) {
      facts.lastCode = activity.pointee.code.load(ordering: .relaxed)
    }
    facts.startsAt = activity.pointee.startsAt.load(ordering: .relaxed)
  }

  /// Stores every field of the activity that belongs to a trait.
  ///
  /// Called before the trait is set, by the spawner or by the task's own thread.
  func clearActivity(heartbeat: Int64 = 0) {
    let activity = self.activity
    activity.pointee.checkpoint.store(0, ordering: .relaxed)
    activity.pointee.progressCount.store(0, ordering: .relaxed)
    activity.pointee.evenProgress.store(Progress())
    heartbeats.clear(interval: heartbeat)
  }

  /// The activity of the calling thread's own task, which is opened if it is not.
  @inline(__always)
  func openActivity() -> TaskActivity.Pointer {
    if !word.hasOptionalState || !traits.contains(.activity) {
      clearActivity()
      add(.activity)
      advance { $0.optionalStateAdded() }
    }
    return activity
  }

  /// What the body returned; 0 unless the task has failed.
  ///
  /// Requires a reference to the task, whose body has ended in this way.
  func code(of how: TaskWord.Ending) -> Int32 {
    how == .failed ? activity.pointee.code.load(ordering: .relaxed) : 0
  }

  // MARK: The application's pointer

  /// The pointer that the task has set; nil if it has set none.
  ///
  /// Requires a reference.
  var data: UnsafeMutableRawPointer? {
    if !word.hasOptionalState || !traits.contains(.hasData) { return nil }
    return UnsafeMutableRawPointer(bitPattern: activity.pointee.data.load(ordering: .acquiring))
  }

  /// Sets the application's pointer.
  ///
  /// Called on the task's own thread.
  ///
  /// - Returns: `.ok`; `.invalid` if the end of the task is being counted.
  func setData(_ data: UnsafeMutableRawPointer?) -> Status {
    if word.stage != .running {
      return .invalid("tr_task_set_data", "the task has ended")
    }
    activity.pointee.data.store(UInt(bitPattern: data), ordering: .releasing)
    if word.hasOptionalState && traits.contains(.hasData) { return .ok }
    add(.hasData)
    advance { $0.optionalStateAdded() }
    return .ok
  }

  // MARK: Cancellation checks

  /// What has happened since the flag was raised.
  var cancelChecks: CancelChecks {
    CancelChecks(bits: pointer.pointee.cancelChecks.load(ordering: .acquiring))
  }

  /// Whether the task was asked to stop; once it was, the task's own checks are counted (E2).
  @inline(__always)
  func checkCancel() -> Bool {
    let isUp = word.isCancelRequested
    if isUp { countCancelCheck() }
    return isUp
  }

  /// Counts a check of the flag, which is up, if the task itself makes it.
  @inline(never)
  func countCancelCheck() {
    if Worker.currentTask != self || cancelChecks.count == CancelChecks.most { return }
    pointer.pointee.cancelChecks.wrappingAdd(1, ordering: .relaxed)
  }

  /// Records that the task takes the address of its flag, where its checks are not counted (E2).
  ///
  /// Other threads may take it too, which says nothing about the task.
  func asksForFlag() {
    if Worker.currentTask != self || word.hasOptionalState && traits.contains(.readsFlag) { return }
    add(.readsFlag)
    advance { $0.optionalStateAdded() }
  }
}

extension TaskActivity {
  /// The progress that the task reported last.
  var progress: Progress {
    var count = progressCount.load(ordering: .acquiring)
    while true {
      let progress = count & 1 == 0 ? evenProgress.value : oddProgress.value
      atomicMemoryFence(ordering: .acquiring)
      let countAfter = progressCount.load(ordering: .relaxed)
      if countAfter == count { return progress }
      count = countAfter
    }
  }

  /// Records progress; called by the task's own thread.
  func store(_ progress: Progress) {
    let count = progressCount.load(ordering: .relaxed) &+ 1
    // A reader that sees a field of this report also sees that its first number is not the last.
    atomicMemoryFence(ordering: .releasing)
    if count & 1 == 0 { evenProgress.store(progress) } else { oddProgress.store(progress) }
    progressCount.store(count, ordering: .releasing)
  }
}

/// Sets the checkpoint of the calling task (E3).
///
/// - Parameter text: is copied; nil is nothing in particular.
/// - Returns: `.ok`; `.invalid` outside a task.
@inline(__always)
func setCheckpoint(_ text: UnsafePointer<UInt8>?) -> Status {
  guard let task = Worker.currentTask else {
    return .invalid("tr_checkpoint", "the caller is not a task")
  }
  let kept = text.map { KeptText.copy(of: $0) }
  task.openActivity().pointee.checkpoint.store(UInt(bitPattern: kept), ordering: .releasing)
  return .ok
}
