// LOCKING
// None. Each sends an event, and so is called without a lock.

/// What is told of a task that promised heartbeats (E7).
extension TaskReference {
  /// Tells that it has not beaten for `silence` nanoseconds.
  func logStall(silence: Int64, interval: Int64) {
    withFixedText {
      $0.append("no heartbeat for ")
      $0.append(duration: silence)
      $0.append(", promised every ")
      $0.append(duration: interval)
    } _: {
      log(LogEventNumber.warning, LogEventNumber.taskStalled, message: $0)
    }
  }

  /// Tells that it has beaten again, after `silence` nanoseconds.
  func logRecovery(silence: Int64) {
    withFixedText {
      $0.append("a heartbeat again after ")
      $0.append(duration: silence)
    } _: {
      log(LogEventNumber.info, LogEventNumber.taskRecovered, message: $0)
    }
  }

  private func log(_ level: UInt32, _ event: UInt32, message: UnsafePointer<UInt8>) {
    let log = registry.options.log
    name.withText {
      log.send(
        LogRecord(
          level: level, event: event, kind: kind, taskID: id, task: $0, message: message))
    }
  }
}
