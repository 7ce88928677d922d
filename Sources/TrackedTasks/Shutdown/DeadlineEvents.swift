import CPlatform

/// Log events about a deadline: it is near, it has moved, it has passed (O2, E4, E6).
extension RegistryReference {
  /// The time of the last progress of a live task of `phase` or an earlier one; 0 if there was
  /// none.
  func lastProgress(upTo phase: UInt32 = PhasePlan.count - 1) -> Int64 {
    var last: Int64 = 0
    let exempt = exemptCaller
    forEachTask { task, registry in
      if !task.word.hasOptionalState || task == exempt { return true }
      if let activity = task.facts(in: registry)?.activity, activity.phase <= phase,
        !activity.isUnjoined
      {
        last = max(last, activity.progress.at)
      }
      return true
    }
    return last
  }

  /// The deadline has passed.
  func logDeadlineExceeded(pending: UInt64) {
    send(LogEventNumber.deadlineExceeded, LogEventNumber.error, code: Status.deadline) {
      $0.append("the deadline passed with ")
      name(upTo: 5, of: pending, in: &$0) { $0.word.isOverdue }
    }
  }

  /// Most of the grace has passed.
  ///
  /// Nothing is near any more once a second signal has forced the deadline: it has passed (C13).
  func logDeadlineNear(_ clock: GraceClock) {
    let own = exemptCaller?.id
    let pending = joinableCount &- exemptCount
    if pending == 0 || isDeadlineForced { return }
    send(LogEventNumber.deadlineNear, LogEventNumber.warning, code: Status.ok) {
      let left = clock.deadline.nanoseconds &- monotonicNow()
      $0.append(max(0, left) / 1_000_000)
      $0.append(" ms to the deadline with ")
      name(upTo: 5, of: pending, in: &$0) { $0.id != own && $0.isJoinable }
    }
  }

  /// The deadline was extended.
  func logMovedDeadline(_ by: Int64, _ clock: GraceClock) {
    let own = exemptCaller?.id
    send(LogEventNumber.deadlineExtended, LogEventNumber.info, code: Status.ok) {
      $0.append("the deadline was extended by ")
      $0.append(by / 1_000_000)
      $0.append(" ms for progress, with ")
      name(upTo: 5, of: joinableCount &- exemptCount, in: &$0) {
        $0.id != own && $0.isJoinable
      }
    }
  }

  private func send(
    _ event: UInt32, _ level: UInt32, code: Status, _ build: (inout FixedText) -> Void
  ) {
    let log = options.log
    if !log.isListening { return }
    withFixedText(build) {
      let empty: StaticString = ""
      log.send(
        LogRecord(
          level: level, event: event, code: code.rawValue, task: empty.utf8Start, message: $0,
          registry: self))
    }
  }

  /// Appends "2 tasks alive: a, net/b (flushing the journal)", with the reason why a task's signal
  /// cannot be sent, if there is one.
  ///
  /// - Parameters:
  ///   - limit: how many tasks are named.
  ///   - total: how many there are.
  ///   - text: what to append to.
  ///   - isWanted: whether a task is one of them.
  func name(
    upTo limit: UInt64, of total: UInt64, in text: inout FixedText,
    if isWanted: (TaskFacts) -> Bool
  ) {
    text.append(total)
    text.append(total == 1 ? " task alive:" : " tasks alive:")
    var named: UInt64 = 0
    forEachTask { task, registry in
      guard let facts = task.facts(in: registry), isWanted(facts) else { return true }
      if named > 0 { text.append(",") }
      text.append(" ")
      let path = registry.pointer.pointee.path
      if !path.isEmpty {
        path.withText { text.append(utf8: $0) }
        text.append("/")
      }
      facts.name.withText { text.append(utf8: $0) }
      let label = facts.label
      if !label.isEmpty {
        text.append(" for ")
        label.withText { text.append(utf8: $0, limit: 63) }
      }
      if let checkpoint = facts.activity?.checkpoint {
        text.append(" (")
        text.append(utf8: checkpoint, limit: 63)
        text.append(")")
      }
      if let trouble = task.signalTrouble {
        text.append(" (")
        text.append(trouble)
        text.append(")")
      }
      named += 1
      return named < limit
    }
    if named < total { text.append(", …") }
  }
}
