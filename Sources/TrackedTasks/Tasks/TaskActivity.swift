import Synchronization

/// The notes of a task: what it reports, and what others record of it, that few tasks need (E2, E3,
/// E7).
///
/// It lies behind the records of the chunk, where it takes no memory until the first task there has
/// notes. It is never initialised as a whole: the thread that opens it stores every field. All
/// fields are atomics, and relaxed, because a snapshot may read them while the next task of the
/// record opens them; the snapshot discards what it read then (see LOCKING in `TaskRecord.swift`).
/// A task's traits say whether it has notes; they are stored with release after the fields.
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
  // atomic: the token of the task's own and the two callbacks that cancel it, as bits, if its traits
  // say `ownsToken` (the token: as long as there are callbacks). Relaxed; see LOCKING in
  // `OwnToken.swift`.
  let ownToken: Atomic<UInt>
  let drainCallback: Atomic<UInt>
  let abortCallback: Atomic<UInt>
}

/// The facts in the notes of a task.
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
    if !traits.contains(.activity) { return facts }
    let activity = self.activity
    facts.checkpoint = UnsafePointer(
      bitPattern: activity.pointee.checkpoint.load(ordering: .acquiring))
    facts.progress = activity.pointee.progress
    if traits.contains(.heartbeat) { facts.isStalled = heartbeats.isOverdue }
    return facts
  }

  /// Stores every field of the notes that belongs to a trait.
  ///
  /// Called before the trait is set, by the spawner or by the task's own thread.
  func clearActivity(heartbeat: Int64 = 0) {
    let activity = self.activity
    activity.pointee.checkpoint.store(0, ordering: .relaxed)
    activity.pointee.progressCount.store(0, ordering: .relaxed)
    activity.pointee.evenProgress.store(Progress())
    heartbeats.clear(interval: heartbeat)
  }

  /// The notes of the calling thread's own task, which are opened if they are not.
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

  // MARK: CPU time

  /// The CPU time of the task's thread in nanoseconds; -1 if the task is not in its body.
  ///
  /// Requires a reference.
  var threadCPU: Int64 {
    guard word.stage == .running else { return -1 }
    let now = ThreadClock.read(ofThread: pointer.pointee.threadID.load(ordering: .relaxed))
    // If the task has ended, its thread has gone on to another one.
    atomicMemoryFence(ordering: .acquiring)
    return word.stage == .running ? now : -1
  }

  /// The part of `threadCPU` that the task has used, as far as that is known; see `Worker.cpuBase`.
  ///
  /// Requires a reference to the task, which is running.
  func ownCPU(of threadCPU: Int64) -> Int64 {
    let bits = pointer.pointee.worker.load(ordering: .acquiring)
    guard let worker = Worker.Pointer(bitPattern: bits), threadCPU >= 0 else { return -1 }
    let base = worker.pointee.cpuBase.load(ordering: .relaxed)
    return base < 0 ? -1 : max(0, threadCPU &- base)
  }

  /// Records the CPU time of the task's thread, unless that was done before (E1).
  ///
  /// Requires a reference. Called once the flag is up: before that, no thread reads or resets
  /// `cancelChecks`. It is wait-free, and takes a system call. If the task has not entered its
  /// body, the next caller does it.
  func sampleCPU() {
    if pointer.pointee.cancelChecks.load(ordering: .relaxed) & CancelChecks.sampling != 0 { return }
    let used = threadCPU
    if used < 0 { return }
    let before = pointer.pointee.cancelChecks.bitwiseOr(CancelChecks.sampling, ordering: .acquiring)
      .oldValue
    if before & CancelChecks.sampling != 0 { return }
    activity.pointee.sampledCPU.store(used, ordering: .relaxed)
    activity.pointee.sampledAt.store(monotonicNow(), ordering: .relaxed)
    // Acquired by `cancelChecks`.
    pointer.pointee.cancelChecks.bitwiseOr(CancelChecks.sampled, ordering: .releasing)
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

/// Reports the progress of the calling task (E3).
///
/// - Parameters:
///   - done: how much of it is done.
///   - total: how much there is; 0 if that is not known.
///   - unit: is copied.
/// - Returns: `.ok`; `.invalid` outside a task.
func setProgress(done: UInt64, total: UInt64, unit: UnsafePointer<UInt8>?) -> Status {
  guard let task = Worker.currentTask else {
    return .invalid("tr_progress", "the caller is not a task")
  }
  let activity = task.openActivity()
  let last = activity.pointee.progress
  let isNews = last.at == 0 || last.done != done || last.total != total
  activity.pointee.store(
    Progress(
      done: done, total: total, unit: unit.map { KeptText.copy(of: $0) },
      at: isNews ? monotonicNow() : last.at))
  return .ok
}
