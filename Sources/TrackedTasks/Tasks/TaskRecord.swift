import CPlatform
import Synchronization

// LOCKING
// No lock guards a record. Its word is changed only by `advance`, and counts the holders of the
// record: the running worker, each handle, and each walk that reads more of it than the word.
// Records are never freed while their registry lives, so reading one that is not held is safe.
//
// A snapshot holds nothing. It reads as with a sequence lock whose sequence is the task's id, which
// is never reused (Boehm, "Can seqlocks get along with programming language memory models?", MSPC
// 2012): id, word, fields, fence, word and id again. The writer, while the word says that the
// record is free, stores the id with release, then a release fence, the fields, and then the word.
// So a reader that saw one new field sees the new id at its second read. The id is read before the
// word and after it, so the word is of the same task too. The word's bits alone would not say that:
// they can occur again with the next task. This is why all fields that a snapshot reads are
// atomics.

/// One task: its state, what it runs, and how it ended.
///
/// The first cache line has what a worker needs of a task, the second and the fourth what only a
/// list needs, and the third is rarely used: handing a task over moves one line.
struct TaskRecord: ~Copyable {
  // First line.
  // atomic: the state; see `TaskWord`. Transitions release what was written before them and acquire
  // what the earlier ones released.
  let word = Atomic<UInt64>(0)
  // atomic: the sequence of the protocol above; unique in the process.
  let id = Atomic<UInt64>(0)
  /// Written by the spawner before the task is handed over, read by its worker.
  var body: TaskBody?
  var context: UnsafeMutableRawPointer?
  var drop: TaskDrop?
  // immutable after init: the record's place in its pool.
  let index: UInt32
  // atomic: relaxed; the next record of a free list as index + 1.
  let nextFree = Atomic<UInt32>(0)
  // atomic: relaxed under the sequence protocol. The 16 bytes that the kernel needs are in the
  // first line.
  let name = AtomicText<8>()

  // Second line.
  // atomic: relaxed under the sequence protocol; nanoseconds on `CLOCK_MONOTONIC`.
  let spawnedAt = Atomic<Int64>(0)
  // atomic: relaxed under the sequence protocol.
  let kind = Atomic<UInt32>(0)
  // atomic: relaxed under the sequence protocol; the kernel's thread id. While starting it is that
  // of an earlier task, and readers take it for 0.
  let threadID = Atomic<Int32>(0)

  // Third line.
  // atomic: the `Worker` whose thread runs the task, as bits. Stored by the spawner, with release
  // because the worker may be new, before the worker makes the transition `entered`; loaded after
  // `cancelRequested`. Either the task sees the flag when it starts, or the thread that raised it
  // sees the worker. Workers are never freed while the registry lives, so one left over from an
  // earlier task is merely unparked for nothing.
  let worker = Atomic<UInt>(0)
  // atomic: relaxed under the sequence protocol; when the flag was raised, 0 before.
  let cancelledAt = Atomic<Int64>(0)
  // immutable after init
  let registry: RegistryReference
  /// Readable once the task is asked to stop.
  let descriptor = CancelDescriptor()
  /// Readable once the task is told to abort.
  let abortDescriptor = CancelDescriptor()
  /// For its cancellation, and for its end.
  let callbacks = CancelCallbacks()
  let optionalState = OptionalState()
  // atomic: what has happened since the flag was raised; see `CancelChecks`. Set to 0 by the
  // spawner, like `cancelledAt`, if it can be anything else.
  let cancelChecks = Atomic<UInt32>(0)

  // Fourth line.
  // atomic: relaxed under the sequence protocol; the id of the task that has spawned it, 0 if it was
  // none (N4).
  let parent = Atomic<UInt64>(0)
  // atomic: relaxed under the sequence protocol; the address to which the spawn returned, 0 if that
  // is not known.
  let spawnedFrom = Atomic<UInt>(0)
  private let padding = InlineArray<6, UInt64>(repeating: 0)

  init(registry: RegistryReference, index: UInt32) {
    self.registry = registry
    self.index = index
  }
}

/// The C shape of a body: the task, its context, 0 for success.
typealias TaskBody = @convention(c) (OpaquePointer?, UnsafeMutableRawPointer?) -> Int32
/// The C shape of what frees a context.
typealias TaskDrop = @convention(c) (UnsafeMutableRawPointer?) -> Void

/// A pointer to a record; copying it does not count a reference.
struct TaskReference: Equatable {
  let pointer: UnsafeMutablePointer<TaskRecord>

  init(_ pointer: UnsafeMutablePointer<TaskRecord>) { self.pointer = pointer }
  init(_ handle: OpaquePointer) { pointer = UnsafeMutablePointer(handle) }

  var opaque: OpaquePointer { OpaquePointer(pointer) }
  var registry: RegistryReference { pointer.pointee.registry }

  // MARK: State

  /// The word now.
  ///
  /// Acquires what the last transition released.
  @inline(__always)
  var word: TaskWord { TaskWord(bits: pointer.pointee.word.load(ordering: .acquiring)) }

  /// Applies a transition by compare-and-swap: the only place where a word changes.
  ///
  /// It is sequentially consistent, because the closing of a registry and the start of a task read
  /// each other's word after writing their own (`Spawn.swift`, `Cancel.swift`).
  ///
  /// - Returns: the word before, or nil if the transition did not exist.
  @inline(__always)
  @discardableResult
  func advance(_ transition: (TaskWord) -> TaskWord?) -> TaskWord? {
    var old = TaskWord(bits: pointer.pointee.word.load(ordering: .sequentiallyConsistent))
    while true {
      guard let new = transition(old) else { return nil }
      if new == old { return old }
      let (done, seen) = pointer.pointee.word.compareExchange(
        expected: old.bits, desired: new.bits, ordering: .sequentiallyConsistent)
      if done {
        if new.stage == .free { recycle(old) }
        return old
      }
      old = TaskWord(bits: seen)
    }
  }

  // MARK: References

  /// Takes a reference if the task is alive; see LOCKING.
  func pin() -> Bool {
    while advance({ $0.pinned() }) == nil {
      if !word.isLive { return false }
      registry.monitor.withLock { _ in moveReferencesOut() }
    }
    return true
  }

  /// Releases a reference; the last release frees the record (W4).
  @inline(__always)
  func unpin() {
    while advance({ $0.unpinned() }) == nil { moveReferencesIn() }
  }

  /// Takes a reference for the application, which also keeps the registry's memory.
  ///
  /// The caller has one already.
  ///
  /// - Parameter isLocked: whether the caller holds the lock of the registry's Monitor.
  func retainHandle(isLocked: Bool = false) {
    while true {
      if let before = advance({ $0.handleAdded() }) {
        if !before.holdsRegistry { registry.retainStorage() }
        return
      }
      if isLocked {
        moveReferencesOut()
      } else {
        registry.monitor.withLock { _ in moveReferencesOut() }
      }
    }
  }

  /// Makes room in a word that is full, if it still is (W5).
  ///
  /// Requires the lock of the registry's Monitor, so that one thread at a time moves references.
  private func moveReferencesOut() {
    guard let before = advance({ $0.referencesMovedOut() }) else { return }
    let more = activity.pointee.moreReferences.load(ordering: .relaxed)
    activity.pointee.moreReferences.store(
      before.hasMoreReferences ? more + 1 : 1, ordering: .relaxed)
  }

  /// Moves references into a word that needs some, if it still does (W5).
  ///
  /// The thread that needs them has a reference, and waits; so the word does not reach zero
  /// meanwhile.
  @inline(never)
  private func moveReferencesIn() {
    registry.monitor.withLock { _ in
      let more = activity.pointee.moreReferences.load(ordering: .relaxed)
      if advance({ $0.referencesMovedIn(last: more == 1) }) != nil {
        activity.pointee.moreReferences.store(more - 1, ordering: .relaxed)
      }
    }
  }

  /// Called when the record has become free.
  @inline(__always)
  private func recycle(_ last: TaskWord) {
    let registry = self.registry
    if last.hasDescriptor {
      pointer.pointee.descriptor.close()
      pointer.pointee.abortDescriptor.close()
    }
    if HandleCheck.isOn { HandleCheck.keep(.task, pointer) } else { releaseRecord() }
    if last.holdsRegistry { registry.releaseStorage() }
  }

  /// Makes the record available for another task.
  @inline(__always)
  func releaseRecord() { registry.pointer.pointee.records.release(self) }

  // MARK: Facts

  /// The task's message, NUL-terminated.
  ///
  /// Owned by the worker thread while running; read after `ended`, if the word says that there is
  /// one.
  var message: UnsafeMutablePointer<UInt8> { RecordPool.messagePlace(of: self) }

  /// The name of the task.
  ///
  /// Requires a reference.
  var name: TaskName {
    var name = TaskName()
    for i in 0..<8 { name.words[i] = pointer.pointee.name[i] }
    return name
  }

  /// The task's activity; see `TaskActivity`.
  var activity: TaskActivity.Pointer { RecordPool.activityPlace(of: self) }

  var kind: UInt32 { pointer.pointee.kind.load(ordering: .relaxed) }
  var id: UInt64 { pointer.pointee.id.load(ordering: .relaxed) }

  /// The address of the flag: the low half of the word (W1).
  ///
  /// Requires a reference while used.
  var cancelFlag: UnsafePointer<UInt32> {
    let word = UnsafeRawPointer(pointer)  // the word is the first field
    #if _endian(little)
      return word.assumingMemoryBound(to: UInt32.self)
    #else
      return (word + 4).assumingMemoryBound(to: UInt32.self)
    #endif
  }

  /// Raises the task's level, and ends the wait it is in; its callbacks have yet to run.
  ///
  /// Requires a reference (C3, C4, C15).
  ///
  /// - Parameters:
  ///   - time: the time now, on `CLOCK_MONOTONIC`; a walk of many tasks reads it once.
  ///   - transition: `asked`, or `overdue`.
  /// - Returns: the word before, or nil if the task had begun to end.
  @discardableResult
  func raiseFlag(
    at time: Int64 = monotonicNow(), _ transition: (TaskWord) -> TaskWord?
  ) -> TaskWord? {
    guard transition(word) != nil else { return nil }
    // Stored before the flag, so that a thread that sees the flag sees the time.
    _ = pointer.pointee.cancelledAt.compareExchange(
      expected: 0, desired: time, ordering: .releasing)
    let before = advance(transition)
    if let before, let after = transition(before), before.level < after.level {
      endWait(after, again: false)
    } else if !word.isCancelRequested {
      // The task began to end meanwhile, unflagged, and its flag is no longer raised (W3). The
      // reference keeps the next task out of the record until this is undone.
      pointer.pointee.cancelledAt.store(0, ordering: .relaxed)
    }
    return before
  }

  /// Ends the wait that the task is in, because its level has risen; a second call does no harm.
  ///
  /// A task whose waits do not end at this level goes on waiting (`isWaitOver`).
  ///
  /// - Parameters:
  ///   - word: the word with the new level.
  ///   - again: whether it may have been called for this level before.
  private func endWait(_ word: TaskWord, again: Bool) {
    let bits = pointer.pointee.worker.load(ordering: .sequentiallyConsistent)
    if let worker = Worker.Pointer(bitPattern: bits) { worker.pointee.parker.unpark() }
    pointer.pointee.descriptor.raise()
    if word.level == .abort { pointer.pointee.abortDescriptor.raise() }
    if !word.hasOptionalState { return }
    pointer.pointee.optionalState.levelHasRisen(again: again)
    // Sequentially consistent, like the level before: see LOCKING in `WaitDescriptor.swift`.
    let traits = pointer.pointee.optionalState.traits.load(ordering: .sequentiallyConsistent)
    if TaskTraits(rawValue: traits).contains(.hasWaitPlace) { WaitDescriptor.raise(for: self) }
    if TaskTraits(rawValue: traits).contains(.startsAgain) { endRest() }
  }

  /// Ends the wait that the task is in if it was asked to stop.
  ///
  /// The thread that raised the level may be held up before it has done so. Requires a reference.
  func endWaitIfAsked() {
    let word = self.word
    if word.isLive && word.isCancelRequested { endWait(word, again: true) }
  }
}
