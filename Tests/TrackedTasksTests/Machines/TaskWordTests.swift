import Testing

@testable import TrackedTasks

/// A word that can be reached, with the model of how it was.
private struct Reached {
  let word: TaskWord
  let model: TaskModel
}

/// The state machine of one task, walked exhaustively and without a thread.
@Suite struct TaskWordTests {
  /// Every word a task can be admitted with.
  private static let admissions: [Reached] = (0..<24).map { number in
    let (cleanup, handle, optionalState) = (number & 1 != 0, number & 2 != 0, number & 4 != 0)
    let level = UInt32(number / 8)
    return Reached(
      word: .admitted(
        cleanup: cleanup, level: StopLevel(rawValue: level) ?? .none, handle: handle,
        optionalState: optionalState),
      model: TaskModel(
        level: level, optionalState: optionalState, cleanup: cleanup, references: handle ? 2 : 1,
        holdsRegistry: handle))
  }

  /// Every word that can be reached from an admission, each once.
  private static let reachable: [Reached] = {
    var found: [UInt64: TaskModel] = [:]
    var pending = admissions
    var all: [Reached] = []
    while let next = pending.popLast() {
      if found.updateValue(next.model, forKey: next.word.bits) != nil { continue }
      all.append(next)
      for step in TaskStep.all where step.mayBeAsked(next.model) {
        if let word = step.word(next.word), let model = step.model(next.model) {
          pending.append(Reached(word: word, model: model))
        }
      }
    }
    return all
  }()

  /// **Proves:** every transition of every state leads where the model says (O1, C3, W3).
  ///
  /// **Why it matters:** the whole life of a task is these functions.
  /// **Catches:** `asked` or `awaited` accepted in a stage where the task has ended.
  @Test func everyTransitionOfEveryReachableWordFollowsTheModel() {
    for reached in Self.reachable {
      #expect(reached.model.matches(reached.word), "\(reached)")
      for step in TaskStep.all where step.mayBeAsked(reached.model) {
        switch (step.word(reached.word), step.model(reached.model)) {
        case (nil, nil): break
        case (let word?, let model?):
          #expect(model.matches(word), "\(step.name) of \(reached)")
        default: Issue.record("\(step.name) of \(reached): one of word and model says nil")
        }
      }
    }
  }

  /// **Proves:** a task can be in 2947 states, as counted by hand from its fields (O1, W2).
  ///
  /// **Why it matters:** the exhaustive tests are exhaustive only if the walk gets everywhere.
  /// **Catches:** a transition that never exists, such as `withdrawn` always nil.
  @Test func theWalkReachesEveryState() {
    // Level and deadline: none, drain, abort, abort and overdue. Then clean-up, awaited, optional
    // state, a message, and the references: 1 to 3, with the registry held or not. A task that
    // starts again has a message while it is starting, too.
    let starting = 4 * 2 * 2 * 2 * 2 * 6
    let running = starting
    let ending = running * 3
    // Of an ended task 1 or 2 references are left; it ended, or was withdrawn as it started.
    let ended = ending / 6 * 4 + starting / 6 * 4
    // A free record remembers the level alone.
    let free = 3
    #expect(Self.reachable.count == starting + running + ending + ended + free)
  }

  /// **Proves:** whatever happens, the phase advances or stays, until the record is free, but for a
  /// task that rests, which was not asked to stop (W2, B2).
  ///
  /// **Why it matters:** a task that starts again after its end would run twice.
  /// **Catches:** `overdue` putting a word together from scratch as a running one.
  @Test func thePhaseOnlyAdvances() {
    for reached in Self.reachable {
      for step in TaskStep.all where step.mayBeAsked(reached.model) {
        guard let next = step.word(reached.word) else { continue }
        let isRelease = next.stage == .free
        let isRest = step.name == "rests" && !reached.word.isCancelRequested
        #expect(
          next.stage.rawValue >= reached.word.stage.rawValue || isRelease || isRest,
          "\(step.name)")
      }
    }
  }

  /// **Proves:** a record is free exactly when its task has ended and there are no references (N1,
  /// W4).
  ///
  /// **Why it matters:** freed too early it gets a second task, and too late it is lost.
  /// **Catches:** `unpinned` that frees a record whose task still runs.
  @Test func aRecordIsFreeWhenNobodyHoldsAnEndedTask() {
    for reached in Self.reachable {
      let isFree = reached.word.stage == .free
      #expect(isFree == (reached.word.references == 0))
      for step in TaskStep.all where step.mayBeAsked(reached.model) {
        guard !isFree, let next = step.word(reached.word), next.stage == .free else { continue }
        #expect(reached.word.references == 1)
        #expect(["unpinned", "ended", "withdrawn"].contains(step.name))
      }
    }
  }

  /// **Proves:** a word that is full of references takes no more, moves some out once, and never
  /// looks unreferenced while some are counted beside it (N1, W4, W5).
  ///
  /// **Why it matters:** a count that wraps around is a task in a record still in use; one that
  /// sticks leaks memory, and a descriptor.
  /// **Catches:** `unpinned` that takes the last but one from such a word.
  @Test func aFullWordGivesReferencesAwayAndGetsThemBack() throws {
    var word = TaskWord.admitted(cleanup: false, level: .none, handle: true)
    #expect(word.referencesMovedOut() == nil)
    #expect(word.referencesMovedIn(last: true) == nil)
    while let next = word.handleAdded() { word = next }
    #expect(word.isFull)
    #expect(word.pinned() == nil)
    let most = word.references
    #expect(most > 2 * TaskWord.movedReferences - 2)

    let lighter = try #require(word.referencesMovedOut())
    #expect(lighter.hasMoreReferences && lighter.stage == .starting)
    #expect(lighter.references == most - TaskWord.movedReferences)
    #expect(lighter.referencesMovedIn(last: true) == nil)
    word = lighter
    while let next = word.unpinned() { word = next }
    #expect(word.references == 2)
    // The worker's own is released whatever is left.
    let ended = try #require(word.entered()?.ends(.returned)?.ended())
    #expect(ended.stage == .ended && ended.references == 1)
    #expect(ended.unpinned() == nil)
    for last in [false, true] {
      word = try #require(ended.referencesMovedIn(last: last))
      #expect(word.hasMoreReferences == !last)
      #expect(word.references == TaskWord.movedReferences + 1)
    }
    while word.references > 1 { word = try #require(word.unpinned()) }
    #expect(try #require(word.unpinned()).stage == .free)
  }

  /// **Proves:** no transition lowers the level or forgets a deadline or a waiter (C3, C15, W3,
  /// W6).
  ///
  /// **Why it matters:** a task that was asked to stop must never see the opposite.
  /// **Catches:** a `with(_:)` whose mask clears more than the phase.
  @Test func whatIsSetStaysSet() {
    for reached in Self.reachable {
      let word = reached.word
      for step in TaskStep.all where step.mayBeAsked(reached.model) {
        guard let next = step.word(word) else { continue }
        #expect(next.level >= word.level, "\(step.name)")
        // A record that becomes free remembers nothing else.
        if next.stage == .free { continue }
        #expect(next.isOverdue || !word.isOverdue, "\(step.name)")
        #expect(next.isAwaited || !word.isAwaited, "\(step.name)")
        #expect(next.isCleanup == word.isCleanup, "\(step.name)")
        #expect(next.hasOptionalState || !word.hasOptionalState, "\(step.name)")
        #expect(word.ending == .none || next.ending == word.ending, "\(step.name)")
      }
    }
  }

  /// **Proves:** the low half of a word is the level and nothing else: 0, 1 or 2 (C3, C15, W1).
  ///
  /// **Why it matters:** applications read that half through a pointer, as a whole.
  /// **Catches:** a bit of the state moved below bit 32.
  @Test func theLowHalfIsTheLevel() {
    for reached in Self.reachable {
      let low = UInt32(truncatingIfNeeded: reached.word.bits)
      #expect(low == reached.model.level)
    }
  }

  /// **Proves:** once a task is ending, neither its flag nor its outcome changes (O1, W3).
  ///
  /// **Why it matters:** two who ask for the outcome must get the same answer.
  /// **Catches:** `asked` accepted while the end is being counted.
  @Test func anEndingTaskKeepsItsFlagAndItsOutcome() {
    for reached in Self.reachable where !reached.word.isLive && reached.word.stage != .free {
      for step in TaskStep.all where step.mayBeAsked(reached.model) {
        guard let next = step.word(reached.word), next.stage != .free else { continue }
        #expect(next.level == reached.word.level, "\(step.name)")
        #expect(next.isOverdue == reached.word.isOverdue, "\(step.name)")
        #expect(next.ending == reached.word.ending, "\(step.name)")
        #expect(next.hasMessage == reached.word.hasMessage, "\(step.name)")
      }
    }
  }

  /// **Proves:** a free record takes no transition at all (N1).
  ///
  /// **Why it matters:** a thread that still uses a recycled record must not change the next task.
  /// **Catches:** `awaited` written as "not ended" instead of "live or ending".
  @Test func aFreeRecordTakesNoTransition() {
    let free = Self.reachable.map(\.word).filter { $0.stage == .free } + [TaskWord(bits: 0)]
    let withoutReference = TaskModel(cleanup: false, references: 0, holdsRegistry: false)
    for word in free {
      for step in TaskStep.all where step.mayBeAsked(withoutReference.with { $0.life = .free }) {
        #expect(step.word(word) == nil, "\(step.name) of \(word)")
      }
    }
  }
}
