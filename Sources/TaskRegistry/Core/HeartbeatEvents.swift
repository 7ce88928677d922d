// LOCKING
// None. Each sends an event, and so is called without a lock.

/// What is told of a task that promised heartbeats (E7).
extension TaskReference {
  /// Tells that it has not beaten for `silence` nanoseconds.
  ///
  /// The task does not end before that is done.
  func logStall(silence: Int64, interval: Int64) {
    withFixedText {
      $0.append("no heartbeat for ")
      $0.append(duration: silence)
      $0.append(", promised every ")
      $0.append(duration: interval)
    } _: {
      log(
        LogEventNumber.warning, LogEventNumber.taskStalled, message: $0, holdingUp: .task(self))
    }
  }

  /// Tells that it has beaten again, after `silence` nanoseconds.
  ///
  /// - Parameters:
  ///   - silence: nanoseconds.
  ///   - heldUp: the task, unless this is its own thread.
  func logRecovery(silence: Int64, holdingUp heldUp: CallFrame.HeldUp? = nil) {
    withFixedText {
      $0.append("a heartbeat again after ")
      $0.append(duration: silence)
    } _: {
      log(
        LogEventNumber.info, LogEventNumber.taskRecovered, message: $0, holdingUp: heldUp)
    }
  }

  private func log(
    _ level: UInt32, _ event: UInt32, message: UnsafePointer<UInt8>,
    holdingUp heldUp: CallFrame.HeldUp?
  ) {
    let log = registry.options.log
    name.withText {
      log.send(
        LogRecord(
          level: level, event: event, kind: kind, taskID: id, task: $0, message: message),
        holdingUp: heldUp)
    }
  }
}
