/// A task's whole state in one 64-bit word, and every transition it can make: pure functions from
/// word to word, or to nil where the transition does not exist.
///
/// Nothing here locks, calls or allocates; `TaskRecord.advance` applies a transition by
/// compare-and-swap. The life of a task:
///
///     free → starting ⇄ running → ending → ended → free
///                 └──────────── withdrawn ───┘
///
/// The references to the record are counted in the same word, so that taking one and checking the
/// task's stage are one step.
///
/// W1: the low 32 bits are the level to which the task was asked to stop, 0, 1 or 2, and hold
///     nothing else: an application may read them through a pointer (`tr_task_cancel_flag`).
/// W2: the stage only advances, until the record is free again; but a task that starts again goes back
///     to starting between two runs of its body, unless it was asked to stop (`rests`).
/// W3: once a task is ending, its level and how it ended no longer change.
/// W4: a record is free exactly when its task has ended and there are no references: the transition
///     that releases the last one makes it free.
/// W5: if there are more references than the word has room for, the others are counted beside it
///     (`TaskReference.moveReferencesOut`), and at least two in the word, one once the task has
///     ended: the word never looks unreferenced.
/// W6: the level only rises, until the next task is admitted.
struct TaskWord: Equatable {
  var bits: UInt64

  /// The stage of a task's life.
  enum Stage: UInt64 {
    /// The stage while the record belongs to no task.
    case free = 0
    /// The stage while the task is admitted and its thread has not entered the body, and while it
    /// waits for its next run.
    case starting = 1
    /// The stage while the body, its drop or its last log event runs.
    case running = 2
    /// The stage while the end is being counted: no longer listed, not yet observable.
    case ending = 3
    /// The stage while the outcome can be read.
    case ended = 4
  }

  /// How a task ended (O1); the numbers are those of `TR_ENDED_…`.
  enum Ending: UInt64 {
    /// The task has not ended, or the system refused it a thread.
    case none = 0
    /// The body returned 0.
    case returned = 1
    /// The body returned something else.
    case failed = 2
    /// The thread left the body: `pthread_exit` or thread cancellation.
    case exited = 3
  }

  private static let levelMask: UInt64 = 3
  private static let stageShift: UInt64 = 32
  private static let stageMask: UInt64 = 7 << 32
  private static let overdueBit: UInt64 = 1 << 35
  private static let awaitedBit: UInt64 = 1 << 36
  private static let cleanupBit: UInt64 = 1 << 37
  private static let endingShift: UInt64 = 38
  private static let endingMask: UInt64 = 3 << 38
  private static let messageBit: UInt64 = 1 << 40
  private static let registryBit: UInt64 = 1 << 41
  private static let descriptorBit: UInt64 = 1 << 42
  private static let optionalStateBit: UInt64 = 1 << 43
  private static let oneReference: UInt64 = 1 << 44
  private static let mostReferences: UInt64 = (1 << 19) - 1
  private static let moreBit: UInt64 = 1 << 63

  /// How many references are moved out of the word or into it at a time.
  static let movedReferences: UInt64 = 1 << 18

  init(bits: UInt64) { self.bits = bits }

  // MARK: Reading

  var stage: Stage {
    switch (bits & Self.stageMask) >> Self.stageShift {
    case 1: .starting
    case 2: .running
    case 3: .ending
    case 4: .ended
    default: .free
    }
  }
  /// How the task ended; `none` before.
  var ending: Ending {
    switch (bits & Self.endingMask) >> Self.endingShift {
    case 1: .returned
    case 2: .failed
    case 3: .exited
    default: .none
    }
  }
  /// How urgently the task was asked to stop.
  var level: StopLevel {
    switch bits & Self.levelMask {
    case 0: .none
    case 1: .drain
    default: .abort
    }
  }
  /// Whether the task was asked to stop, at whatever level.
  var isCancelRequested: Bool { bits & Self.levelMask != 0 }
  /// Whether it was alive at a join's deadline.
  var isOverdue: Bool { bits & Self.overdueBit != 0 }
  /// Whether a thread waits for its end, or did.
  var isAwaited: Bool { bits & Self.awaitedBit != 0 }
  /// Whether it is a clean-up task, whose flag the registry's token does not raise.
  var isCleanup: Bool { bits & Self.cleanupBit != 0 }
  /// Whether it left a message.
  var hasMessage: Bool { bits & Self.messageBit != 0 }
  /// Whether it is listed and counted: admitted, and not yet ending (N1).
  var isLive: Bool { stage == .starting || stage == .running }

  /// How many references the word counts: the running worker's, one per handle, one per pin.
  var references: UInt64 { bits >> 44 & Self.mostReferences }
  /// Whether more are counted beside it (W5).
  var hasMoreReferences: Bool { bits & Self.moreBit != 0 }
  /// Whether there is no room for another reference.
  var isFull: Bool { references == Self.mostReferences }
  /// Whether it has a descriptor, to be closed with its record.
  var hasDescriptor: Bool { bits & Self.descriptorBit != 0 }
  /// Whether it has optional state; see `OptionalState`.
  var hasOptionalState: Bool { bits & Self.optionalStateBit != 0 }
  /// Whether the record holds a reference to its registry's memory, because there are handles.
  var holdsRegistry: Bool { bits & Self.registryBit != 0 }

  // MARK: Transitions

  /// The word of a task that was just admitted, with the worker's reference.
  ///
  /// - Parameters:
  ///   - cleanup: whether it is a clean-up task.
  ///   - level: how urgently it is asked to stop from the start.
  ///   - handle: whether the spawner gets a handle: one more reference, and the registry's memory
  ///     is held.
  ///   - inGroup: whether the registry's memory is held because the worker does not hold it.
  ///   - optionalState: see `hasOptionalState`.
  /// - Returns: the word to publish.
  @inline(__always)
  static func admitted(
    cleanup: Bool, level: StopLevel, handle: Bool, inGroup: Bool = false,
    optionalState: Bool = false
  ) -> TaskWord {
    TaskWord(
      bits: (cleanup ? cleanupBit : 0) | UInt64(level.rawValue)
        | (optionalState ? optionalStateBit : 0)
        | (handle ? registryBit | 2 * oneReference : oneReference) | (inGroup ? registryBit : 0)
    ).with(.starting)
  }

  /// The word that is shown for a thread that is not a task.
  static var ofThread: TaskWord { TaskWord(bits: 0).with(.running) }

  /// A walk of the records takes a reference; nil if the task is not alive, or if there is no room.
  func pinned() -> TaskWord? {
    isLive && !isFull ? TaskWord(bits: bits &+ Self.oneReference) : nil
  }

  /// The holder of a reference takes another, as a handle; nil if there is no room.
  func handleAdded() -> TaskWord? {
    isFull ? nil : TaskWord(bits: bits &+ Self.oneReference | Self.registryBit)
  }

  /// A reference is released; nil if some that are counted beside the word must be moved into it
  /// first (W5).
  func unpinned() -> TaskWord? {
    bits & Self.moreBit != 0 && references <= 2 ? nil : withOneLess()
  }

  /// References are moved out of the word; nil if it has room.
  func referencesMovedOut() -> TaskWord? {
    isFull
      ? TaskWord(bits: bits &- Self.movedReferences * Self.oneReference | Self.moreBit) : nil
  }

  /// References are moved into the word; nil if it needs none.
  ///
  /// With `last`, none is left beside the word.
  func referencesMovedIn(last: Bool) -> TaskWord? {
    guard hasMoreReferences, references <= 2 else { return nil }
    let bits = bits &+ Self.movedReferences * Self.oneReference
    return TaskWord(bits: last ? bits & ~Self.moreBit : bits)
  }

  private func withOneLess() -> TaskWord {
    TaskWord(bits: bits &- Self.oneReference).freeIfUnused()
  }

  /// The last step of W4.
  ///
  /// The level stays until the next task is admitted, so that the spawner knows whether the time
  /// of the request must be reset.
  private func freeIfUnused() -> TaskWord {
    stage == .ended && bits >> 44 == 0 ? TaskWord(bits: bits & Self.levelMask) : self
  }

  /// The task's thread enters the body.
  func entered() -> TaskWord? { stage == .starting ? with(.running) : nil }

  /// The task waits for its next run, and has no thread meanwhile; nil if it was asked to stop.
  func rests() -> TaskWord? {
    stage == .running && !isCancelRequested ? with(.starting) : nil
  }

  /// The task is asked to stop; nil if it was asked to do that, or more, or is ending.
  ///
  /// - Parameter level: drain or abort.
  /// - Returns: the word to put in place.
  @inline(__always)
  func asked(_ level: StopLevel = .drain) -> TaskWord? {
    isLive && self.level < level ? with(level) : nil
  }

  /// A join's deadline passed: the task is told to abort, and abandoned until it ends; nil if it is
  /// ending.
  ///
  /// A second deadline leaves the word as it is.
  func overdue() -> TaskWord? {
    isLive ? TaskWord(bits: bits | Self.overdueBit).with(.abort) : nil
  }

  /// A thread is about to wait for the task's end; nil if it has ended.
  func awaited() -> TaskWord? {
    isLive || stage == .ending ? TaskWord(bits: bits | Self.awaitedBit) : nil
  }

  /// The task sets or removes its message.
  func messageLeft(_ present: Bool) -> TaskWord? {
    guard stage == .running else { return nil }
    return TaskWord(bits: present ? bits | Self.messageBit : bits & ~Self.messageBit)
  }

  /// The task gets optional state; nil if its body is over.
  func optionalStateAdded() -> TaskWord? {
    stage == .running ? TaskWord(bits: bits | Self.optionalStateBit) : nil
  }

  /// The task gets a descriptor.
  func descriptorMade() -> TaskWord? {
    stage == .free ? nil : TaskWord(bits: bits | Self.descriptorBit)
  }

  /// The task's body is over: from here it is neither listed nor changed.
  func ends(_ how: Ending) -> TaskWord? {
    stage == .running ? TaskWord(bits: bits | how.rawValue << Self.endingShift).with(.ending) : nil
  }

  /// The task's end is counted: the outcome can be read, and the worker's reference is released.
  func ended() -> TaskWord? { stage == .ending ? with(.ended).withOneLess() : nil }

  /// The system refused the task a thread: it ends without having run.
  ///
  /// The worker's reference is released.
  func withdrawn() -> TaskWord? { stage == .starting ? with(.ended).withOneLess() : nil }

  private func with(_ level: StopLevel) -> TaskWord {
    TaskWord(bits: bits & ~Self.levelMask | UInt64(level.rawValue))
  }

  private func with(_ stage: Stage) -> TaskWord {
    TaskWord(bits: bits & ~Self.stageMask | stage.rawValue << Self.stageShift)
  }
}
