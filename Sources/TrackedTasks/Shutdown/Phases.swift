import Synchronization

// LOCKING
// None: atomics, in a fixed order. `live` is incremented after the task is admitted and decremented
// before its end is counted; it is read after the gate and the endings. So "the phase has no task
// left" may be seen late, and is then seen again by the thread that counts, but it is never seen
// early. `asked` and the word of a task meet as the gate and the word do (`Spawn.swift`): the
// asking thread stores `asked` and then visits all published words; a spawner publishes the word
// and then reads `asked`.
//
// `settling` decides who asks a task that comes as the last phase is looked for: a shutdown counts
// itself there, reads once more whether later phases have tasks, marks all phases as asked if none
// has, and uncounts itself. A spawner counts its task in `live`, and then reads `settling` before
// `asked`: so the shutdown sees the task, or the spawner sees one of the two.

/// The phases of one registry's shutdown (E5).
///
/// Only tasks of phases 1 to 7 are counted here; those of phase 0 are the rest.
struct Phases: ~Copyable {
  // atomic: how many tasks of each phase are alive, including those of groups; and, in the high
  // half, how many there have been, modulo 2^32. Sequentially consistent.
  let live = InlineArray<8, Atomic<UInt64>> { _ in Atomic(0) }
  // atomic: how many threads wait for the end of each phase; `endWaiters` has the sum of them.
  // Sequentially consistent, like `endWaiters`.
  let waiters = InlineArray<8, Atomic<UInt64>> { _ in Atomic(0) }
  // atomic: how many phases were asked to stop; phase 0 is asked by the token.
  let asked = Atomic<UInt32>(0)
  // atomic: how many shutdowns are looking for the last time whether later phases have tasks; see
  // above. Sequentially consistent.
  let settling = Atomic<UInt32>(0)
  // atomic: how many unjoined tasks of each phase are alive, including those of groups (S9).
  // Sequentially consistent; see LOCKING in `UnjoinedTasks.swift`.
  let unjoined = InlineArray<8, Atomic<UInt64>> { _ in Atomic(0) }
  // atomic: how many phases were told to abort (C15); that of phase 0 is in the gate. It meets the
  // words as `asked` does.
  let aborted = Atomic<UInt32>(0)

  /// What a task that begins adds to `live`, and what it subtracts as it ends.
  static var begun: UInt64 { (1 << 32) + 1 }
  static var ended: UInt64 { 1 }

  /// What a thread that waits for the end of a phase adds to `endWaiters`.
  static var oneWaiter: UInt64 { 1 << 32 }

  /// The phases after `phase` that have tasks, one bit each.
  func present(after phase: UInt32) -> UInt32 {
    var present: UInt32 = 0
    for number in phase + 1..<PhasePlan.count where liveCount(number) != 0 {
      present |= 1 << number
    }
    return present
  }

  /// How many tasks of phase 1 to 7 are alive.
  func liveCount(_ phase: UInt32) -> UInt64 {
    live[Int(phase)].load(ordering: .sequentiallyConsistent) & UInt64(UInt32.max)
  }

  /// How many tasks of phases 1 to 7 are alive.
  var liveCountOfLater: UInt64 {
    var count: UInt64 = 0
    for number in 1..<PhasePlan.count { count &+= liveCount(number) }
    return count
  }

  /// How many tasks of phases 1 to 7 have ended, modulo 2^32.
  var endedCountOfLater: UInt32 {
    var count: UInt32 = 0
    for number in 1..<Int(PhasePlan.count) {
      let bits = live[number].load(ordering: .sequentiallyConsistent)
      count &+= UInt32(bits >> 32) &- UInt32(truncatingIfNeeded: bits)
    }
    return count
  }
}

extension TaskReference {
  /// Whether a cancellation of the registry's token raises the task's level, as far as its optional
  /// state decides: a task of a later phase is asked by the shutdown, and told to abort only after
  /// that; a task that is finalizing is not asked at all (C12, C15, E5).
  ///
  /// Requires a reference.
  func isAskedByToken(
    to level: StopLevel, asksPhaseZero: Bool, in registry: RegistryReference
  ) -> Bool {
    if !word.hasOptionalState { return asksPhaseZero }
    let traits = self.traits
    if traits.contains(.finalizing) { return false }
    if traits.phase == 0 { return asksPhaseZero }
    return level == .abort && registry.wasAborted(traits.phase)
  }
}

extension RegistryReference {
  // MARK: Counting

  /// Counts a task of a later phase that was admitted; called before it is given a thread.
  func phasedTaskBegins(_ phase: UInt32) {
    forEachUpwards {
      $0.pointer.pointee.phases.live[Int(phase)]
        .wrappingAdd(Phases.begun, ordering: .sequentiallyConsistent)
      // A thread that looked between this and the admission counted the task in phase 0.
      $0.wakePhaseWaiters()
    }
  }

  /// Uncounts a task of a later phase whose end is about to be counted.
  func phasedTaskEnds(_ phase: UInt32) {
    forEachUpwards {
      $0.pointer.pointee.phases.live[Int(phase)]
        .wrappingSubtract(Phases.ended, ordering: .sequentiallyConsistent)
    }
  }

  /// How many tasks of `phase` are alive; for phase 0 the number may be too high, but is never too
  /// low.
  func liveCount(of phase: UInt32) -> UInt64 {
    if phase != 0 { return pointer.pointee.phases.liveCount(phase) }
    while true {
      let admitted = gate.admitted
      let ended = pointer.pointee.endings.total
      let later = pointer.pointee.phases.liveCountOfLater
      if gate.admitted == admitted { return admitted &- ended &- later }
    }
  }

  /// Whether `phase` was asked, here or in an ancestor.
  func wasAsked(_ phase: UInt32) -> Bool {
    var wasAsked = false
    forEachUpwards {
      if phase < $0.pointer.pointee.phases.asked.load(ordering: .sequentiallyConsistent) {
        wasAsked = true
      }
    }
    return wasAsked
  }

  /// Whether a task of `phase` that has just been counted there must be asked by its spawner.
  func asksNewborn(of phase: UInt32) -> Bool {
    var asks = false
    forEachUpwards {
      if $0.pointer.pointee.phases.settling.load(ordering: .sequentiallyConsistent) != 0 {
        asks = true
      }
    }
    return asks || wasAsked(phase)
  }

  /// Whether `phase`, 1 to 7, was told to abort, here or in an ancestor.
  func wasAborted(_ phase: UInt32) -> Bool {
    var wasAborted = false
    forEachUpwards {
      if phase < $0.pointer.pointee.phases.aborted.load(ordering: .sequentiallyConsistent) {
        wasAborted = true
      }
    }
    return wasAborted
  }

  /// From now on tasks of the phases that were asked, here or in an ancestor, are told to abort as
  /// they are spawned.
  func markAskedPhasesAborted() {
    var asked: UInt32 = 0
    forEachUpwards {
      asked = max(asked, $0.pointer.pointee.phases.asked.load(ordering: .sequentiallyConsistent))
    }
    var old = pointer.pointee.phases.aborted.load(ordering: .sequentiallyConsistent)
    while old < asked {
      let (done, seen) = pointer.pointee.phases.aborted.compareExchange(
        expected: old, desired: asked, ordering: .sequentiallyConsistent)
      if done { return }
      old = seen
    }
  }

  // MARK: Asking and waiting

  /// Raises the flags of the tasks of `phase` and of earlier ones, except clean-up tasks, and runs
  /// their callbacks.
  func ask(upTo phase: UInt32) {
    let asked = pointer.pointee.phases.asked
      .load(ordering: .sequentiallyConsistent)
    if asked <= phase { advanceAsked(to: phase + 1) }
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    let now = monotonicNow()
    forEachTask { task, _ in
      if task.pin() {
        if task.word.hasOptionalState {
          let traits = task.traits
          if traits.phase != 0 && traits.phase <= phase && !traits.contains(.finalizing) {
            task.raiseFlag(at: now) { $0.isCleanup ? nil : $0.asked() }
          }
        }
        task.unpin()
      }
      return true
    }
    TreeCallbacks.run(in: self)
  }

  /// From now on, tasks of the phases below `count` are born with their flag up.
  func advanceAsked(to count: UInt32) {
    var old = pointer.pointee.phases.asked.load(ordering: .sequentiallyConsistent)
    while old < count {
      let (done, seen) = pointer.pointee.phases.asked.compareExchange(
        expected: old, desired: count, ordering: .sequentiallyConsistent)
      if done { return }
      old = seen
    }
  }

  /// Blocks until no task of `phase` is alive for which a join waits, or none but an exempt
  /// caller's.
  func waitUntilOver(_ phase: UInt32, _ deadline: Deadline, _ policy: WaitPolicy) -> WaitEnd {
    let exempt: UInt64 = exemptCaller?.phase == phase ? 1 : 0
    var isCounted = false
    var early: WaitEnd?
    let end = monitor.wait(for: WaitKey.phase, until: deadline, noting: .tasks) {
      if exempt != 0 { countExemptWaiter(1) }
      pointer.pointee.phases.waiters[Int(phase)].wrappingAdd(1, ordering: .sequentiallyConsistent)
      pointer.pointee.endWaiters.wrappingAdd(
        Phases.oneWaiter, ordering: .sequentiallyConsistent)
      isCounted = true
    } isReady: {
      early = policy.end(isDone: joinableCount(of: phase) <= exempt, isForced: isDeadlineForced)
      return early != nil
    }
    if isCounted {
      pointer.pointee.endWaiters.wrappingSubtract(
        Phases.oneWaiter, ordering: .sequentiallyConsistent)
      pointer.pointee.phases.waiters[Int(phase)]
        .wrappingSubtract(1, ordering: .sequentiallyConsistent)
      if exempt != 0 { countExemptWaiter(-1) }
    }
    return early ?? end
  }

  /// Wakes the threads that wait for the end of a phase, if it has ended.
  func wakePhaseWaiters() {
    let exempt: UInt64 =
      pointer.pointee.exemptWaiters.load(ordering: .sequentiallyConsistent) == 0 ? 0 : 1
    for phase in 0..<PhasePlan.count {
      let waiters = pointer.pointee.phases.waiters[Int(phase)]
        .load(ordering: .sequentiallyConsistent)
      if waiters != 0 && joinableCount(of: phase) <= exempt {
        monitor.withLock { $0.waiters.wake(WaitKey.phase) }
        return
      }
    }
  }
}
