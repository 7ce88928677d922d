// LOCKING: see `TaskRuns.swift`.

/// What others ask for of a task that starts again (B6).
extension TaskReference {
  /// Makes the next run begin at once, or after the one that is under way (B6).
  ///
  /// Requires a reference.
  ///
  /// - Returns: `.ok`; `.closed` if no run follows; `.invalid`.
  func trigger() -> Status {
    if !startsAgain {
      return .invalid("tr_task_trigger", "task is neither periodic nor one that starts again")
    }
    return changeRuns { $0.trigger(&$1) }
  }

  /// Pauses a schedule, or ends the pause; as `trigger`.
  func setPaused(_ isPaused: Bool) -> Status {
    changeSchedule(isPaused ? "tr_task_pause" : "tr_task_resume") { schedule, now, chance in
      if isPaused { schedule.pause() } else { schedule.resume(at: now, chance: chance) }
    }
  }

  /// Changes the period of a schedule; as `trigger`.
  func setPeriod(_ period: Int64) -> Status {
    if period <= 0 { return .invalid("tr_task_set_period", "period_ns is not positive") }
    return changeSchedule("tr_task_set_period") { schedule, now, chance in
      schedule.setPeriod(period, at: now, chance: chance)
    }
  }

  private func changeSchedule(
    _ function: StaticString,
    _ change: (inout Schedule, _ now: Int64, _ chance: UInt32) -> Void
  ) -> Status {
    if !startsAgain || !traits.contains(.periodic) {
      return .invalid(function, "task is not periodic")
    }
    return changeRuns { $0.reschedule(&$1, change) }
  }

  private func changeRuns(_ change: (TaskRuns.Pointer, inout TimerState) -> Void) -> Status {
    TimerThread.change { state in
      guard let runs = runsPointer, !word.isCancelRequested else { return .closed }
      change(runs, &state)
      return .ok
    }
  }
}
