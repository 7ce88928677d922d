/// One phase of a shutdown (E5).
struct PhaseFacts {
  var phase: UInt32 = 0
  /// Of phase 0, those that had ended before the call, but not when it was asked.
  var endedBefore: UInt64 = 0
  var asked: UInt64 = 0
  var remaining: UInt64 = 0
  /// Nanoseconds from the call.
  var start: Int64 = 0
  /// Nanoseconds; -1 is unlimited.
  var share: Int64 = 0
  /// Nanoseconds; -1 while it lasts.
  var duration: Int64 = -1
  /// The time that its callbacks took, in nanoseconds.
  var callbacks: Int64 = 0

  /// Ends it, with `remaining` tasks alive, `now` nanoseconds from the call.
  mutating func end(remaining: UInt64, at now: Int64) {
    self.remaining = remaining
    duration = now &- start
  }
}

/// The phases of a report.
extension ReportReference {
  /// Stores how many tasks of phase 0, which the token asks, have ended since it was cancelled.
  func setEndedBefore(_ count: UInt64) { pointer.pointee.endedBefore = count }

  /// Starts a phase; one without tasks is not reported, unless its callbacks take long.
  func begin(_ phase: UInt32, asked: UInt64, at start: Int64, share: Int64) {
    let endedBefore = phase == 0 ? pointer.pointee.endedBefore : 0
    pointer.pointee.currentPhase = PhaseFacts(
      phase: phase, endedBefore: endedBefore, asked: asked, start: start, share: share)
    if asked + endedBefore > 0 { listCurrentPhase() }
  }

  private func listCurrentPhase() {
    pointer.pointee.phases[pointer.pointee.phaseCount] = pointer.pointee.currentPhase
    pointer.pointee.phaseCount += 1
  }

  /// Adds the time that a callback of the phase that was started last took, in nanoseconds; a phase
  /// without tasks is listed for a millisecond of it.
  func addCallbacks(_ time: Int64) {
    let last = pointer.pointee.phaseCount - 1
    if last >= 0 && pointer.pointee.phases[last].phase == pointer.pointee.currentPhase.phase {
      pointer.pointee.phases[last].callbacks += time
      return
    }
    pointer.pointee.currentPhase.callbacks += time
    if pointer.pointee.currentPhase.callbacks >= 1_000_000 { listCurrentPhase() }
  }

  /// Ends the phase that was started last, unless it is another one, or has ended already.
  ///
  /// - Parameters:
  ///   - phase: its number.
  ///   - remaining: how many of its tasks are alive.
  ///   - now: nanoseconds from the call.
  func end(_ phase: UInt32, remaining: UInt64, at now: Int64) {
    // It may be listed later, for the time of its callbacks.
    if pointer.pointee.currentPhase.phase == phase && pointer.pointee.currentPhase.duration < 0 {
      pointer.pointee.currentPhase.end(remaining: remaining, at: now)
    }
    let last = pointer.pointee.phaseCount - 1
    if last < 0 || pointer.pointee.phases[last].phase != phase { return }
    if pointer.pointee.phases[last].duration >= 0 { return }
    pointer.pointee.phases[last].end(remaining: remaining, at: now)
  }

  /// Ends all phases that have not ended.
  func endAll(at now: Int64, remaining: (_ phase: UInt32) -> UInt64) {
    for index in 0..<pointer.pointee.phaseCount where pointer.pointee.phases[index].duration < 0 {
      let remaining = remaining(pointer.pointee.phases[index].phase)
      pointer.pointee.phases[index].end(remaining: remaining, at: now)
    }
    if pointer.pointee.currentPhase.duration < 0 {
      pointer.pointee.currentPhase.end(
        remaining: remaining(pointer.pointee.currentPhase.phase), at: now)
    }
  }
}
