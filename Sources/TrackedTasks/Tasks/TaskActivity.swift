import Synchronization

/// What a task says of itself, and what others note of it that few tasks need (E2, E3, E7).
///
/// It lies behind the records of the chunk, where it takes no memory until the first task there has
/// notes, and is never initialised as a whole: whoever opens it stores every field. All fields are
/// atomics, and relaxed, as a snapshot may read them while the next task of the record opens them: what
/// it read then, it throws away (see LOCKING in `TaskRecord.swift`). Whether a task has notes its traits
/// say, which are stored with release after the fields.
struct TaskActivity: ~Copyable {
  typealias Pointer = UnsafeMutablePointer<TaskActivity>

  /// What it has promised; the first field, so that its address is known.
  let promise: HeartbeatPromise
  // atomic: the address of the last checkpoint's text, a `KeptText`; 0 is none. Written by the task's own
  // thread, with release after the text, and loaded with acquire.
  let checkpoint: Atomic<UInt>
  // atomic: how often progress was told; the last is in the slot of its lowest bit. Released by the
  // task's own thread after the slot is written, which is not the one that readers look at: a
  // reader who finds the same number afterwards has read one call's progress, and need not
  // wait for a task that stopped in the middle.
  let progressCount: Atomic<UInt64>
  let evenProgress: ProgressSlot
  let oddProgress: ProgressSlot
  // The others belong to no trait: the next two are there once `CancelChecks.isSampled`.
  // atomic: the processor time of the task's thread at `sampledAt`, in nanoseconds.
  let sampledCPU: Atomic<Int64>
  // atomic: on `CLOCK_MONOTONIC`.
  let sampledAt: Atomic<Int64>
  // atomic: when a deadline that found the task alive, and the abort grace after it, are over. Stored before
  // the word says `isOverdue`.
  let lateFrom: Atomic<Int64>
  // atomic: how many references are counted beside the word, in units of `TaskWord.movedReferences`, if the
  // word says that any are (W5). Relaxed, guarded by the registry's Monitor.
  let moreReferences: Atomic<UInt64>
  // atomic: the `WaitDescriptor` at which the task has a place, as bits, if its traits say `hasWaitPlace`; 0 is none.
  // Relaxed; changed by the task's own thread, under the lock of those.
  let waitDescriptor: Atomic<UInt>
}

/// What is known of a task that has extras.
struct ActivityFacts {
  var phase: UInt32 = 0
  /// Text that lives as long as the program.
  var checkpoint: UnsafePointer<UInt8>?
  var progress = Progress()
  var readsFlag = false
  /// Whether a promised heartbeat is overdue (E7).
  var isStalled = false
}

extension TaskReference {
  /// What the task told of itself.
  ///
  /// Requires that the word says `hasOptionalState`; otherwise as `facts`.
  @inline(never)
  var activityFacts: ActivityFacts {
    let traits = self.traits
    var facts = ActivityFacts(phase: traits.phase, readsFlag: traits.contains(.readsFlag))
    if !traits.contains(.activity) { return facts }
    let activity = self.activity
    facts.checkpoint = UnsafePointer(
      bitPattern: activity.pointee.checkpoint.load(ordering: .acquiring))
    facts.progress = activity.pointee.progress
    if traits.contains(.heartbeat) { facts.isStalled = promise.isOverdue }
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
    promise.clear(interval: heartbeat)
  }

  /// The notes of the calling thread's own task, opened if they are not.
  @inline(__always)
  func openActivity() -> TaskActivity.Pointer {
    if !word.hasOptionalState || !traits.contains(.activity) {
      clearActivity()
      add(.activity)
      advance { $0.extrasAdded() }
    }
    return activity
  }

  // MARK: Looking at the flag

  /// What happened since the flag rose.
  var cancelChecks: CancelChecks {
    CancelChecks(bits: pointer.pointee.cancelChecks.load(ordering: .acquiring))
  }

  /// Whether the task was asked to stop; the task's own looks are counted once it was (E2).
  @inline(__always)
  func checkCancel() -> Bool {
    let isUp = word.isCancelRequested
    if isUp { countCancelCheck() }
    return isUp
  }

  /// Counts a look at the flag, which is up, if it is the task's own.
  @inline(never)
  func countCancelCheck() {
    if Worker.currentTask != self || cancelChecks.count == CancelChecks.most { return }
    pointer.pointee.cancelChecks.wrappingAdd(1, ordering: .relaxed)
  }

  /// Notes that the task asks for the address of its flag, where its looks are not counted (E2).
  ///
  /// Others may ask for it as well, who say nothing of the task.
  func asksForFlag() {
    if Worker.currentTask != self || word.hasOptionalState && traits.contains(.readsFlag) { return }
    add(.readsFlag)
    advance { $0.extrasAdded() }
  }

  // MARK: Processor time

  /// Nanoseconds of processor time that the task's thread has used by now; -1 for a task that has not begun
  /// its body, or has ended.
  ///
  /// Requires a reference.
  var threadCPU: Int64 {
    guard word.phase == .running else { return -1 }
    let now = ThreadClock.read(ofThread: pointer.pointee.threadID.load(ordering: .relaxed))
    // Its thread has gone on to another task if it has ended meanwhile.
    atomicMemoryFence(ordering: .acquiring)
    return word.phase == .running ? now : -1
  }

  /// Of `threadCPU`, what the task has used, as well as that is known; see `Worker.cpuBase`.
  ///
  /// Requires a reference to the task, which is running.
  func ownCPU(of threadCPU: Int64) -> Int64 {
    let bits = pointer.pointee.worker.load(ordering: .acquiring)
    guard let worker = Worker.Pointer(bitPattern: bits), threadCPU >= 0 else { return -1 }
    let base = worker.pointee.cpuBase.load(ordering: .relaxed)
    return base < 0 ? -1 : max(0, threadCPU &- base)
  }

  /// Notes how much processor time the task's thread has used by now, unless that was noted before (E1).
  ///
  /// Requires a reference. Called once the flag is up: until then, nobody reads or resets `looks`. It is
  /// wait-free, and takes a system call. A task that has not begun its body is left to the next who asks.
  func sampleCPU() {
    if pointer.pointee.cancelChecks.load(ordering: .relaxed) & CancelChecks.sampling != 0 { return }
    let used = threadCPU
    if used < 0 { return }
    let before = pointer.pointee.cancelChecks.bitwiseOr(CancelChecks.sampling, ordering: .acquiring)
      .oldValue
    if before & CancelChecks.sampling != 0 { return }
    activity.pointee.sampledCPU.store(used, ordering: .relaxed)
    activity.pointee.sampledAt.store(monotonicNow(), ordering: .relaxed)
    // Acquired by `looks`.
    pointer.pointee.cancelChecks.bitwiseOr(CancelChecks.sampled, ordering: .releasing)
  }
}

extension TaskActivity {
  /// What the task last told of its progress.
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

  /// Notes progress; called by the task's own thread.
  func store(_ progress: Progress) {
    let count = progressCount.load(ordering: .relaxed) &+ 1
    // A reader that sees a field of this telling sees that the one it began with is not the last.
    atomicMemoryFence(ordering: .releasing)
    if count & 1 == 0 { evenProgress.store(progress) } else { oddProgress.store(progress) }
    progressCount.store(count, ordering: .releasing)
  }
}

/// Says what the calling task is about to do (E3).
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

/// Says how far the calling task has come (E3).
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
