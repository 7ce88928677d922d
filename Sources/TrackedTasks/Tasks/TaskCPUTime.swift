import Synchronization

/// The CPU time of a task, and whether its thread has run since somebody looked.
extension TaskReference {
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

  /// The mark of the task's thread, which changes whenever it runs; -1: not known, or the task is not
  /// in its body.
  ///
  /// Requires a reference.
  var runMark: Int64 {
    guard word.stage == .running else { return -1 }
    let mark = ThreadProbe.runMark(
      ofThread: pointer.pointee.threadID.load(ordering: .relaxed))
    // As in `threadCPU`.
    atomicMemoryFence(ordering: .acquiring)
    return word.stage == .running ? mark : -1
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

  /// Since when the task's thread has not run, at the least, on `CLOCK_MONOTONIC`; nil: it has run
  /// since somebody looked, or nobody has.
  ///
  /// A thread that has not run sleeps where it slept. Requires a reference.
  ///
  /// - Parameters:
  ///   - mark: that of its thread, read before `now`; -1: not known.
  ///   - now: on `CLOCK_MONOTONIC`; remembered for the next one who looks.
  /// - Returns: when somebody looked at it first, since it has last run.
  func resting(_ mark: Int64, at now: Int64) -> Int64? {
    let bits = pointer.pointee.worker.load(ordering: .acquiring)
    guard let worker = Worker.Pointer(bitPattern: bits), mark >= 0, word.isLive else { return nil }
    let seen = worker.pointee.restMark.load(ordering: .acquiring)
    var since = worker.pointee.restSince.load(ordering: .relaxed)
    if seen == mark { return since }
    // Two who look at once may mix their numbers. The time never decreases, and comes first: it is
    // not before the moment at which any number that can be seen was read.
    while since < now {
      let (done, other) = worker.pointee.restSince.compareExchange(
        expected: since, desired: now, ordering: .relaxed)
      if done { break }
      since = other
    }
    worker.pointee.restMark.store(mark, ordering: .releasing)
    return nil
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
