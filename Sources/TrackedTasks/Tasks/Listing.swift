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
  var state: State { State(word, waits: activity?.startsAt ?? 0 != 0) }

  /// How far a task has got; the numbers are those of `TR_STATE_…`.
  enum State: UInt32 {
    case starting = 1
    case running = 2
    case cancelling = 3
    case abandoned = 4
    case ended = 5
    case waiting = 6

    /// The state that a word says, of a task that `waits` for its next run or not.
    @inline(__always)
    init(_ word: TaskWord, waits: Bool) {
      self =
        switch word.stage {
        case .starting: word.isOverdue ? .abandoned : waits ? .waiting : .starting
        case .running:
          word.isOverdue ? .abandoned : word.isCancelRequested ? .cancelling : .running
        default: .ended
        }
    }

    /// Its name in text and in JSON.
    var text: StaticString { Names.state(rawValue) }
  }
}

/// What is not only copied of a task without optional state (`FactsVisitor`); few enough to stay in
/// registers.
struct PlainFacts {
  let word: TaskWord
  let registry: RegistryReference
  let id: UInt64
  let threadID: Int32
  let cancelledAt: Int64

  var state: TaskFacts.State { TaskFacts.State(word, waits: false) }
}

extension TaskFacts {
  var plain: PlainFacts {
    PlainFacts(
      word: word, registry: registry, id: id, threadID: threadID, cancelledAt: cancelledAt)
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
    readWhole { id, word in
      TaskFacts(
        word: word, registry: registry, id: id, name: name, kind: kind, threadID: threadID(word),
        spawnedAt: spawnedAt, cancelledAt: cancelledAt(word), parent: parent,
        spawnedFrom: spawnedFrom, activity: word.hasOptionalState ? activityFacts : nil)
    }
  }

  /// What `read` has read of the record, the last time that it was called: all of one live task, at
  /// one moment; nil if no live task is in the record.
  @inline(__always)
  private func readWhole<Result>(_ read: (_ id: UInt64, _ word: TaskWord) -> Result) -> Result? {
    let record = pointer
    while true {
      // The id is read before the word: a word alone does not identify its task, because the word
      // of the next task may have the same bits. A thread that has read the id of a task reads no
      // word older than the moment when that task's record was free. A live word is then that
      // task's, or a later one's, whose id the second read finds.
      let id = record.pointee.id.load(ordering: .acquiring)
      let word = self.word
      if !word.isLive { return nil }
      let result = read(id, word)
      atomicMemoryFence(ordering: .acquiring)
      let wordAfter = record.pointee.word.load(ordering: .relaxed)
      let idAfter = record.pointee.id.load(ordering: .relaxed)
      if wordAfter == word.bits && idAfter == id { return result }
    }
  }

  var spawnedAt: Int64 { pointer.pointee.spawnedAt.load(ordering: .relaxed) }
  var parent: UInt64 { pointer.pointee.parent.load(ordering: .relaxed) }
  var spawnedFrom: UInt64 { UInt64(pointer.pointee.spawnedFrom.load(ordering: .relaxed)) }

  /// The kernel's id of its thread; 0 while it starts.
  @inline(__always)
  func threadID(_ word: TaskWord) -> Int32 {
    word.stage == .starting ? 0 : pointer.pointee.threadID.load(ordering: .relaxed)
  }

  @inline(__always)
  private func cancelledAt(_ word: TaskWord) -> Int64 {
    word.isCancelRequested ? pointer.pointee.cancelledAt.load(ordering: .relaxed) : 0
  }

  /// Has the task visited if it is live; returns whether it is.
  @inline(__always)
  fileprivate func isVisited<Visitor: FactsVisitor>(
    by visitor: Visitor, _ index: Int, in registry: RegistryReference
  ) -> Bool {
    // Both sorts of tasks in one piece of code would keep a score of zeros on the stack.
    let read = readWhole { id, word -> PlainFacts? in
      if word.hasOptionalState { return nil }
      visitor.copy(self, to: index)
      return PlainFacts(
        word: word, registry: registry, id: id, threadID: threadID(word),
        cancelledAt: cancelledAt(word))
    }
    guard let read else { return false }
    guard let plain = read else { return isVisitedWithActivity(by: visitor, index, in: registry) }
    visitor.visit(index, plain: plain)
    return true
  }

  @inline(never)
  private func isVisitedWithActivity<Visitor: FactsVisitor>(
    by visitor: Visitor, _ index: Int, in registry: RegistryReference
  ) -> Bool {
    guard let facts = facts(in: registry) else { return false }
    visitor.visit(index, facts)
    return true
  }
}

/// A visitor of tasks: unlike a closure, it can be inlined into the loop that calls it.
///
/// Of a task without optional state, as most are, what needs no decision is copied at once to where
/// it belongs: what is kept until it is known to be of one task is written and read once more.
protocol FactsVisitor {
  /// Called for each task with 0, 1, …
  func visit(_ index: Int, _ facts: TaskFacts)
  /// Copies name, kind, time and origin of the spawn from the record; perhaps several times, and
  /// perhaps of two tasks unless `visit(_:plain:)` follows.
  func copy(_ task: TaskReference, to index: Int)
  /// Called in the place of `visit` for a task whose other facts were copied.
  func visit(_ index: Int, plain facts: PlainFacts)
}

extension RegistryReference {
  /// Visits every live task once, as `list` does with a closure; faster where there are no groups.
  ///
  /// - Returns: how many were visited.
  @inline(__always)
  func list<Visitor: FactsVisitor>(for visitor: Visitor) -> Int {
    var count = 0
    pointer.pointee.records.forEach { task in
      if task.isVisited(by: visitor, count, in: self) { count += 1 }
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
        if task.isVisited(by: visitor, first + count, in: registry) { count += 1 }
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
