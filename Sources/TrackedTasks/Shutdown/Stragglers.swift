import CPlatform
import Synchronization

/// Handles the tasks that are alive when the deadline of a join has passed (J2, J4).
///
/// A straggler is a task that was alive at the deadline, so its id was given out by then. Therefore
/// there are never more of them than the count that is read after the last id, however many tasks
/// are spawned meanwhile.
extension RegistryReference {
  /// How long a join keeps looking, after its deadline, for tasks that are counted but not on a
  /// list, in nanoseconds.
  private static var hiddenAllowance: Int64 { 10_000_000 }

  /// Tells every live task to abort once the deadline has passed, waits for the abort grace, and
  /// counts (J2, J4, C15).
  ///
  /// The flag of the calling task ends it, as it ends every wait (C4).
  func abandonStragglers(
    after policy: WaitPolicy, _ full: ReportReference?,
    _ listStraggler: (Int, TaskFacts) -> Void
  ) -> (Status, JoinTally) {
    let abortGrace = options.abortGrace(after: policy)
    let graceEnd = Deadline.after(abortGrace)
    var tally = JoinTally()
    var listed = 0
    func list(_ facts: TaskFacts, _ task: TaskReference) {
      listStraggler(listed, facts)
      full?.add(facts, task)
      listed += 1
    }
    // The tasks whose end the abort grace is waited for, each with a reference, so that a task that
    // ends meanwhile can be distinguished from its successor in the record.
    var remembered = PinnedTasks()
    // A task is on no list for a few instructions after its admission and before its end is
    // counted. If the system preempts its thread there, that may last long; nobody waits for it
    // beyond this limit.
    let lastTry = Deadline.after(max(abortGrace, Self.hiddenAllowance))
    let exempt = exemptCaller
    search: while true {
      let now = monotonicNow()
      let lastID = ProcessState.lastID
      let most = count
      full?.makeRoom(for: most)
      if abortGrace > 0 { remembered.makeRoom(for: Int(clamping: most)) }
      forEachInTree { registry in
        registry.advanceGate { $0.overdue() }
        return true
      }
      atomicMemoryFence(ordering: .sequentiallyConsistent)
      forEachTask { task, registry in
        guard task != exempt, task.pin() else { return true }
        if task.id > lastID {
          // A clean-up task spawned since the deadline: its flag is raised, but this join did not
          // wait for it.
          if registry.gate.isOverdue { task.raiseFlag(at: now) { $0.asked(.abort) } }
          task.unpin()
          return true
        }
        // Nobody waits for it, so no deadline concerns it (S9).
        if task.isUnjoined {
          task.unpin()
          return true
        }
        if !task.word.isOverdue {
          task.activity.pointee.lateFrom.store(graceEnd.nanoseconds, ordering: .releasing)
        }
        if let before = task.raiseFlag(at: now, { $0.overdue() }), let word = before.overdue() {
          tally.pending += 1
          if full != nil { task.sampleCPU() }
          // A record that is held holds its group's memory.
          if remembered.append(task) { return true }
          list(task.facts(in: registry) ?? task.pinnedFacts(word), task)
        }
        task.unpin()
        return true
      }
      if tally.pending > 0 { break search }
      // None was found: the last task has just ended, or is only now being published.
      switch waitUntilEmpty(.after(1_000_000), .untilDeadline) {
      case .ready:
        remembered.destroy()
        return (.ok, tally)
      case .cancelled:
        remembered.destroy()
        return (.cancelled, tally)
      case .timedOut:
        if lastTry.hasPassed {
          // They are counted, but have no name yet, or none any more (J4).
          tally.pending = max(joinableCount &- (exempt == nil ? 0 : 1), 1)
          break search
        }
      }
    }
    let callbacks = CallbackRun.begin(in: self)
    if ProcessState.isForkedChild { return (.forked, tally) }
    logDeadlineExceeded(pending: tally.pending)
    if ProcessState.isForkedChild { return (.forked, tally) }
    var isCut = false
    remembered.forEach { task in
      var end: Status = isCut ? .cancelled : task.wait(until: graceEnd)
      let facts = end == .timedOut ? task.facts(in: task.registry) : nil
      // A task that ends at this very moment is a few instructions from being counted (J2, J8).
      if end == .timedOut && facts == nil { end = task.wait(until: graceEnd) }
      if end == .cancelled {
        isCut = true
        task.unpin()
        return
      }
      // One read: between two, a running task could end.
      let word = task.word
      if word.ending == .none && word.stage == .ended {
        // It never ran: the system refused its thread meanwhile (S6).
        tally.pending -= 1
      } else {
        if end == .ok { tally.aborted += 1 }
        list(facts ?? task.pinnedFacts(word), task)
      }
      task.unpin()
    }
    remembered.destroy()
    if isCut { return (.cancelled, tally) }
    callbacks?.wait()
    tally.abandoned = tally.pending - tally.aborted
    return (tally.pending > 0 ? .deadline : .ok, tally)
  }
}

extension TaskReference {
  /// The facts of a task whose word was `word`, even if it has ended.
  ///
  /// Requires a reference.
  func pinnedFacts(_ word: TaskWord) -> TaskFacts {
    TaskFacts(
      word: word, registry: registry, id: id, name: name, kind: kind, threadID: threadID(word),
      spawnedAt: spawnedAt, cancelledAt: pointer.pointee.cancelledAt.load(ordering: .relaxed),
      parent: parent, spawnedFrom: spawnedFrom,
      activity: word.hasOptionalState ? activityFacts : nil)
  }
}

/// Tasks remembered during the abort grace, each with a reference.
private struct PinnedTasks {
  private var base: UnsafeMutablePointer<TaskReference>?
  private var count = 0
  private var capacity = 0

  /// Makes room for `wanted` tasks; leaves none if memory is short.
  ///
  /// Requires that none is remembered.
  mutating func makeRoom(for wanted: Int) {
    if wanted <= capacity { return }
    destroy()
    guard let memory = malloc(wanted * MemoryLayout<TaskReference>.stride) else { return }
    base = memory.bindMemory(to: TaskReference.self, capacity: wanted)
    capacity = wanted
  }

  /// Takes over the caller's reference; false if there is no room.
  mutating func append(_ task: TaskReference) -> Bool {
    guard let base, count < capacity else { return false }
    (base + count).initialize(to: task)
    count += 1
    return true
  }

  func forEach(_ visit: (TaskReference) -> Void) {
    guard let base else { return }
    for number in 0..<count { visit(base[number]) }
  }

  mutating func destroy() {
    free(base)
    base = nil
    capacity = 0
  }
}
