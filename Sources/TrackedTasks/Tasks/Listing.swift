import CPlatform
import Synchronization

/// The facts of one live task at one moment (N2).
struct TaskFacts {
  var word: TaskWord
  /// The registry or group it belongs to, which is valid as long as the visit.
  var registry: RegistryReference
  var id: UInt64
  var name: TaskName
  var kind: UInt32
  var threadID: Int32
  /// Nanoseconds on `CLOCK_MONOTONIC`.
  var spawnedAt: Int64
  /// Nanoseconds on `CLOCK_MONOTONIC`; 0 while the flag is down.
  var cancelledAt: Int64
  /// The id of the task that has spawned it; 0: none (N4).
  var parent: UInt64 = 0
  /// The address to which its spawn returned; 0: not known.
  var spawnedFrom: UInt64 = 0
  /// Its checkpoint, progress and heartbeats; nil for most tasks.
  var activity: ActivityFacts?

  /// Whether joins wait for it (S9).
  var isJoinable: Bool { activity?.isUnjoined != true }

  /// How far it has got.
  var state: State {
    // A call would need all facts in memory: a third more for a snapshot.
    @inline(__always) get {
      switch word.stage {
      case .starting:
        word.isOverdue
          ? .abandoned : activity?.startsAt ?? 0 != 0 ? .waiting : .starting
      case .running: word.isOverdue ? .abandoned : word.isCancelRequested ? .cancelling : .running
      default: .ended
      }
    }
  }

  /// How far a task has got; the numbers are those of `TR_STATE_…`.
  enum State: UInt32 {
    case starting = 1
    case running = 2
    case cancelling = 3
    case abandoned = 4
    case ended = 5
    case waiting = 6

    /// Its name in text and in JSON.
    var text: StaticString { Names.state(rawValue) }
  }
}

extension TaskReference {
  /// The facts of the task in this record if it is live; never a mixture of two tasks or moments.
  ///
  /// Needs no reference; see LOCKING in `TaskRecord.swift`.
  ///
  /// - Parameter registry: the task's; the record's own field is on another cache line.
  /// - Returns: the facts; nil if no live task is in the record.
  @inline(__always)
  func facts(in registry: RegistryReference) -> TaskFacts? {
    let record = pointer
    while true {
      // The id is read before the word: a word alone does not identify its task, because the word
      // of the next task may have the same bits. A thread that has read the id of a task reads no
      // word older than the moment when that task's record was free. A live word is then that
      // task's, or a later one's, whose id the second read finds.
      let id = record.pointee.id.load(ordering: .acquiring)
      let word = self.word
      if !word.isLive { return nil }
      let facts = TaskFacts(
        word: word, registry: registry, id: id, name: name, kind: kind,
        threadID: word.stage == .starting
          ? 0 : record.pointee.threadID.load(ordering: .relaxed),
        spawnedAt: record.pointee.spawnedAt.load(ordering: .relaxed),
        cancelledAt: word.isCancelRequested
          ? record.pointee.cancelledAt.load(ordering: .relaxed) : 0,
        parent: record.pointee.parent.load(ordering: .relaxed),
        spawnedFrom: UInt64(record.pointee.spawnedFrom.load(ordering: .relaxed)),
        activity: word.hasOptionalState ? activityFacts : nil)
      atomicMemoryFence(ordering: .acquiring)
      let wordAfter = record.pointee.word.load(ordering: .relaxed)
      let idAfter = record.pointee.id.load(ordering: .relaxed)
      if wordAfter == word.bits && idAfter == id { return facts }
    }
  }
}

/// A visitor of tasks: unlike a closure, it can be inlined into the loop that calls it.
protocol FactsVisitor {
  /// Called for each task with 0, 1, …
  func visit(_ index: Int, _ facts: TaskFacts)
}

extension RegistryReference {
  /// Visits every live task once, as `list` does with a closure; faster where there are no groups.
  ///
  /// - Returns: how many were visited.
  @inline(__always)
  func list<Visitor: FactsVisitor>(for visitor: Visitor) -> Int {
    var count = 0
    pointer.pointee.records.forEach { task in
      if let facts = task.facts(in: self) {
        visitor.visit(count, facts)
        count += 1
      }
      return true
    }
    if pointer.pointee.groupCount.load(ordering: .sequentiallyConsistent) == 0 { return count }
    return count + listBelow(for: visitor, from: count)
  }

  /// Visits every live task of the groups inside.
  @inline(never)
  private func listBelow<Visitor: FactsVisitor>(for visitor: Visitor, from first: Int) -> Int {
    var count = 0
    forEachInTree { registry in
      if registry == self { return true }
      registry.pointer.pointee.records.forEach { task in
        if let facts = task.facts(in: registry) {
          visitor.visit(first + count, facts)
          count += 1
        }
        return true
      }
      return true
    }
    return count
  }

  /// Visits every live task once, without a lock (N3).
  ///
  /// - Returns: how many were visited.
  @inline(never)
  func list(_ visit: (_ index: Int, _ facts: TaskFacts) -> Void) -> Int {
    var count = 0
    forEachTask { task, registry in
      if let facts = task.facts(in: registry) {
        visit(count, facts)
        count += 1
      }
      return true
    }
    return count
  }
}
