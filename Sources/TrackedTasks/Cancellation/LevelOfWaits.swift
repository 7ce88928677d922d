import Synchronization

/// Which level of a request to stop ends the waits of a task (C16, C17).
extension TaskReference {
  /// Whether the level is one that ends the waits of the task; if so, a check is counted (E2, C16,
  /// C17).
  ///
  /// Called on the task's own thread.
  @inline(__always)
  func endsWait() -> Bool { word.isCancelRequested && endsWaitNow() }

  @inline(never)
  private func endsWaitNow() -> Bool {
    if !isReached(word) { return false }
    countCancelCheck()
    return true
  }

  /// The same without counting, read in the single order of all sequentially consistent operations.
  var isWaitOver: Bool {
    let word = TaskWord(bits: pointer.pointee.word.load(ordering: .sequentiallyConsistent))
    return word.isCancelRequested && isReached(word)
  }

  /// Whether a word has the level at which the waits of the calling thread's task end.
  private func isReached(_ word: TaskWord) -> Bool {
    if !word.hasOptionalState { return true }
    let traits = self.traits
    if traits.contains(.shielded) { return false }
    return word.level == .abort || !traits.contains(.draining)
  }

  /// The task has heard the request to stop and finishes its work: from now on only level abort
  /// ends its waits, and starts its cancel signal again (C16).
  ///
  /// Called on the task's own thread.
  ///
  /// - Returns: `.ok`; `.cancelled` if it was told to abort already; `.invalid` if its body is
  ///   over.
  func beginDrain() -> Status {
    if word.stage != .running { return Self.bodyHasEnded("tr_begin_drain") }
    if !word.hasOptionalState || !traits.contains(.draining) {
      activity.pointee.drainingSince.store(monotonicNow(), ordering: .relaxed)
      add(.draining)
      advance { $0.optionalStateAdded() }
    }
    acknowledge(.drain)
    return word.level == .abort ? .cancelled : .ok
  }

  /// From now on no level ends a wait of the task, until the matching `endShield` (C17).
  ///
  /// Called on the task's own thread.
  ///
  /// - Returns: `.ok`; `.invalid` if its body is over.
  func beginShield() -> Status {
    if word.stage != .running { return Self.bodyHasEnded("tr_shield_begin") }
    let isInside = word.hasOptionalState && traits.contains(.shielded)
    let depth = isInside ? activity.pointee.shields.load(ordering: .relaxed) : 0
    activity.pointee.shields.store(depth &+ 1, ordering: .relaxed)
    if isInside { return .ok }
    add(.shielded)
    advance { $0.optionalStateAdded() }
    return .ok
  }

  /// Ends the innermost shield.
  ///
  /// Called on the task's own thread.
  ///
  /// - Returns: `.ok`; `.invalid` if there is none.
  func endShield() -> Status {
    if !word.hasOptionalState || !traits.contains(.shielded) {
      return .invalid("tr_shield_end", "the task has no shield")
    }
    let depth = activity.pointee.shields.load(ordering: .relaxed) &- 1
    activity.pointee.shields.store(depth, ordering: .relaxed)
    if depth == 0 {
      pointer.pointee.optionalState.traits.store(
        traits.subtracting(.shielded).rawValue, ordering: .releasing)
    }
    return .ok
  }

  private static func bodyHasEnded(_ function: StaticString) -> Status {
    .invalid(function, "the body of the task is over")
  }
}
