// LOCKING
// None. Each function sends an event, so it is called without a lock.

/// Log events about missed heartbeats (E7).
extension HeartbeatWatch.Subject {
  /// Reports that there was no heartbeat for `silence` nanoseconds.
  ///
  /// A task does not end before this has returned.
  func logStall(silence: Int64, interval: Int64) {
    withFixedText {
      $0.append("no heartbeat for ")
      $0.append(duration: silence)
      $0.append(", heartbeat interval ")
      $0.append(duration: interval)
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

  private func log(
    _ level: UInt32, _ event: UInt32, message: UnsafePointer<UInt8>, isHeldUp: Bool
  ) {
    let log = registry.options.log
    switch self {
    case .task(let task):
      task.name.withText {
        log.send(
          LogRecord(
            level: level, event: event, kind: task.kind, taskID: task.id, task: $0, message: message
          ), holdingUp: isHeldUp ? .task(task) : nil)
      }
    case .thread(let thread):
      thread.pointee.name.withText {
        registry.sendUnheld(LogRecord(level: level, event: event, task: $0, message: message))
      }
    }
  }
}
