// LOCKING
// None. Each function sends an event, so it is called without a lock.

/// Log events about missed heartbeats (E7).
extension HeartbeatSubject {
  /// Reports that there was no heartbeat for `silence` nanoseconds.
  ///
  /// A task does not end before this has returned.
  func logStall(silence: Int64, interval: Int64) {
    withFixedText {
      $0.append("no heartbeat for ")
      $0.append(duration: silence)
      $0.append(", heartbeat interval ")
      $0.append(duration: interval)
      append(label: &$0)
      append(wait: &$0)
    } _: {
      log(LogEventNumber.warning, LogEventNumber.taskStalled, message: $0, isHeldUp: true)
    }
  }

  /// Reports a heartbeat after a stall.
  ///
  /// - Parameters:
  ///   - silence: nanoseconds.
  ///   - isHeldUp: whether a task does not end before this has returned, although this is not its
  ///     own thread.
  func logRecovery(silence: Int64, isHeldUp: Bool) {
    withFixedText {
      $0.append("a heartbeat again after ")
      $0.append(duration: silence)
    } _: {
      log(LogEventNumber.info, LogEventNumber.taskRecovered, message: $0, isHeldUp: isHeldUp)
    }
  }

  /// Reports one line of what a stalled task or thread is doing.
  ///
  /// A task does not end before this has returned.
  func logExplanation(_ line: UnsafePointer<UInt8>) {
    log(LogEventNumber.warning, LogEventNumber.stallExplained, message: line, isHeldUp: true)
  }

  /// Reports that a stalled task is told to abort.
  ///
  /// The task does not end before this has returned.
  func logAbort(silence: Int64) {
    withFixedText {
      $0.append("no heartbeat for ")
      $0.append(duration: silence)
      $0.append(", told to abort")
    } _: {
      log(LogEventNumber.error, LogEventNumber.stallAborted, message: $0, isHeldUp: true)
    }
  }

  /// Appends the label of a task that has one.
  private func append(label text: inout FixedText) {
    guard case .task(let task) = self else { return }
    let label = task.facts(in: registry)?.label ?? TaskLabel()
    if label.isEmpty { return }
    text.append(", for ")
    label.withText { text.append(utf8: $0, limit: 127) }
  }

  /// Appends the wait of the library that a task is in (E15).
  private func append(wait text: inout FixedText) {
    guard case .task(let task) = self, let wait = task.checkedWait(ofTask: task.id) else { return }
    text.append(", ")
    text.append(wait, at: monotonicNow())
  }

  private func log(
    _ level: UInt32, _ event: UInt32, message: UnsafePointer<UInt8>, isHeldUp: Bool
  ) {
    let log = registry.options.log
    switch self {
    case .task(let task):
      task.name.withText {
        log.send(
          LogRecord(
            level: level, event: event, kind: task.kind, taskID: task.id, task: $0,
            message: message,
            registry: task.registry), holdingUp: isHeldUp ? .task(task) : nil)
      }
    case .thread(let thread):
      thread.pointee.name.withText {
        registry.sendUnheld(
          LogRecord(level: level, event: event, task: $0, message: message, registry: registry))
      }
    }
  }
}
