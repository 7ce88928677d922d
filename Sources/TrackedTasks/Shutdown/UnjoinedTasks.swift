import Synchronization

// LOCKING
// How many unjoined tasks are alive is counted in atomics, in a fixed order. A task is counted here
// after it was admitted, and uncounted before its end is counted. A reader reads how many were
// admitted, how many have ended, then these, and then again how many were admitted: if none was
// admitted meanwhile, each unjoined task that it has counted is among those that have not ended, so
// that "no other task is alive" may be seen late, and is then seen again by the thread that counts,
// but is never seen early. For one phase its own counter of tasks that have begun takes the place of
// the gate.
//
// How many threads run unjoined tasks is guarded by the Monitor of the root registry. A thread counts
// itself before it enters a body, and uncounts itself before the end of the task is counted: so the
// threads that a shutdown waits for may seem too many for a moment, never too few.

/// Unjoined tasks: those that no join, no shutdown and no wait for all tasks waits for (S9).
///
/// They are tasks like others in all that concerns them alone: they are listed, counted, limited,
/// asked to stop in their phase, and their record, context and registry's memory live until they
/// have ended.
extension RegistryReference {
  /// How many unjoined tasks are alive, including those of groups.
  var unjoinedCount: UInt64 {
    pointer.pointee.unjoinedTasks.load(ordering: .sequentiallyConsistent)
  }

  /// How many tasks a join waits for; as `unended`, without the unjoined ones.
  @inline(__always)
  var joinableCount: UInt64 {
    let unended = self.unended
    return unended == 0 || unjoinedCount == 0 ? unended : countJoinable()
  }

  @inline(never)
  private func countJoinable() -> UInt64 {
    while true {
      let admitted = gate.admitted
      let others = unended
      let unjoined = unjoinedCount
      // `unended` reads the gate last.
      if gate.admitted == admitted { return others &- unjoined }
    }
  }

  /// How many tasks of `phase` a join waits for; for phase 0 the number may be too high, but is
  /// never too low.
  func joinableCount(of phase: UInt32) -> UInt64 {
    if unjoinedCount(of: phase) == 0 { return liveCount(of: phase) }
    while true {
      let begun = begunCount(of: phase)
      let live = liveCount(of: phase)
      let unjoined = unjoinedCount(of: phase)
      if begunCount(of: phase) == begun { return live &- unjoined }
    }
  }

  private func unjoinedCount(of phase: UInt32) -> UInt64 {
    pointer.pointee.phases.unjoined[Int(phase)].load(ordering: .sequentiallyConsistent)
  }

  /// A number that changes when a task of `phase` begins.
  private func begunCount(of phase: UInt32) -> UInt64 {
    phase == 0
      ? gate.admitted
      : pointer.pointee.phases.live[Int(phase)].load(ordering: .sequentiallyConsistent) >> 32
  }

  /// Counts an unjoined task that was admitted; called before it is given a thread, and after
  /// `phasedTaskBegins`.
  func unjoinedTaskBegins(_ phase: UInt32) {
    forEachUpwards {
      $0.pointer.pointee.phases.unjoined[Int(phase)].wrappingAdd(
        1, ordering: .sequentiallyConsistent)
      $0.pointer.pointee.unjoinedTasks.wrappingAdd(1, ordering: .sequentiallyConsistent)
      // A thread that looked between this and the admission waits for the task.
      $0.wakeJoinersIfEmpty()
    }
  }

  /// Uncounts an unjoined task whose end is about to be counted; called before `phasedTaskEnds`.
  func unjoinedTaskEnds(_ phase: UInt32) {
    forEachUpwards {
      $0.pointer.pointee.unjoinedTasks.wrappingSubtract(1, ordering: .sequentiallyConsistent)
      $0.pointer.pointee.phases.unjoined[Int(phase)].wrappingSubtract(
        1, ordering: .sequentiallyConsistent)
    }
  }
}

extension TaskReference {
  /// Whether no join waits for it.
  ///
  /// Requires a reference.
  var isUnjoined: Bool { word.hasOptionalState && traits.contains(.unjoined) }
}

extension UnsafeMutablePointer<Worker> {
  /// The calling thread, whose worker this is, is about to run an unjoined task.
  func beginsUnjoinedTask() {
    pointee.runsUnjoined = true
    let registry = pointee.registry
    registry.monitor.withLock { state in
      state.unjoinedThreads += 1
      // A shutdown may wait for this thread.
      state.waiters.wake(WaitKey.threads)
    }
  }

  /// The calling thread, whose worker this is, has run one, if it has.
  func endsUnjoinedTask() {
    if !pointee.runsUnjoined { return }
    pointee.runsUnjoined = false
    pointee.registry.monitor.withLock { $0.unjoinedThreads -= 1 }
  }
}
