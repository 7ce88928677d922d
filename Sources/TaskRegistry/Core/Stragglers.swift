import CPlatform
import Synchronization

/// What becomes of those that are alive when the deadline of a join has passed (J2, J4).
extension RegistryReference {
  /// The deadline has passed: raises the flag of everyone alive, waits for the abort grace, and
  /// counts (J2, J4).
  func abandonStragglers(
    _ full: ReportReference?, _ listStraggler: (Int, TaskFacts) -> Void
  ) -> (Status, JoinTally) {
    full?.makeRoom(for: count)
    let graceEnd = Deadline.after(options.abortGrace)
    func list(_ index: Int, _ facts: TaskFacts, _ task: TaskReference) {
      listStraggler(index, facts)
      full?.add(facts, task)
    }
    // Remembered by reference, so that one who ends in the grace is known from its successor in
    // the record. Without memory the grace is skipped: they are alive as the call returns.
    var remembered = PinnedTasks(capacity: options.abortGrace > 0 ? Int(clamping: count) : 0)
    var tally = JoinTally()
    var listed = 0
    while true {
      let now = monotonicNow()
      forEachInTree { registry in
        registry.advanceGate { $0.overdue() }
        return true
      }
      atomicMemoryFence(ordering: .sequentiallyConsistent)
      forEachTask { task, registry in
        guard task.pin() else { return true }
        if !task.word.isOverdue {
          task.notes.pointee.lateFrom.store(graceEnd.nanoseconds, ordering: .releasing)
        }
        if let before = task.raiseFlag(at: now, { $0.overdue() }), let word = before.overdue() {
          tally.pending += 1
          if full != nil { task.sampleCPU() }
          // A record that is held holds its group's memory.
          if remembered.append(task) { return true }
          list(listed, task.facts(in: registry) ?? task.pinnedFacts(word), task)
          listed += 1
        }
        task.unpin()
        return true
      }
      if tally.pending > 0 { break }
      // Nobody was found: the last task has just ended, or is only now being published.
      if waitUntilDrained(.after(1_000_000)) == .ready {
        remembered.destroy()
        return (.ok, tally)
      }
    }
    forEachInTree { registry in
      registry.runTaskCallbacks()
      return !ProcessState.isForkedChild
    }
    if ProcessState.isForkedChild { return (.forked, tally) }
    logDeadlineExceeded(pending: tally.pending)
    if ProcessState.isForkedChild { return (.forked, tally) }
    remembered.forEach { task in
      let hasEnded = task.wait(until: graceEnd) == .ok
      let facts = hasEnded ? nil : task.facts(in: task.registry)
      // One look: between two of them a task that runs may end.
      let word = task.word
      if word.ending == .none && word.phase == .ended {
        // It never ran: its thread was refused meanwhile (S6).
        tally.pending -= 1
      } else {
        if facts == nil { tally.aborted += 1 }
        list(listed, facts ?? task.pinnedFacts(word), task)
        listed += 1
      }
      task.unpin()
    }
    remembered.destroy()
    tally.abandoned = tally.pending - tally.aborted
    return (tally.pending > 0 ? .deadline : .ok, tally)
  }
}

extension TaskReference {
  /// The facts of a task whose word was `word`, also if it has ended.
  ///
  /// Requires a reference.
  func pinnedFacts(_ word: TaskWord) -> TaskFacts {
    TaskFacts(
      word: word, registry: registry, id: id, name: name, kind: kind,
      threadID: word.phase == .starting
        ? 0 : pointer.pointee.threadID.load(ordering: .relaxed),
      spawnedAt: pointer.pointee.spawnedAt.load(ordering: .relaxed),
      cancelledAt: pointer.pointee.cancelledAt.load(ordering: .relaxed),
      notes: word.hasExtras ? notedFacts : nil)
  }
}

/// Tasks remembered through the abort grace, each with a reference.
private struct PinnedTasks {
  private var base: UnsafeMutablePointer<TaskReference>?
  private var count = 0
  private var capacity: Int

  /// Room for `capacity` tasks and as many again that may come meanwhile; none without memory.
  init(capacity wanted: Int) {
    capacity = wanted == 0 ? 0 : wanted + wanted / 2 + 64
    base = nil
    if capacity > 0, let memory = malloc(capacity * MemoryLayout<TaskReference>.stride) {
      base = memory.bindMemory(to: TaskReference.self, capacity: capacity)
    } else {
      capacity = 0
    }
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

  func destroy() { free(base) }
}
