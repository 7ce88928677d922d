#if !hasFeature(Embedded)

  /// Something a registry has to say; it prints nothing itself (O2).
  public struct LogEvent: Hashable, Sendable {
    /// How serious it is.
    public enum Level: UInt32, Hashable, Sendable {
      /// Of interest.
      case info = 1
      /// Something was refused.
      case warning = 2
      /// Something failed.
      case error = 3
    }

    /// What it is about.
    public enum Event: UInt32, Hashable, Sendable {
      /// A body threw.
      case taskFailed = 1
      /// A body's thread left it.
      case taskExited = 2
      /// A join's deadline passed with tasks alive.
      case deadlineExceeded = 3
      /// A spawn was refused.
      case spawnRejected = 4
      /// Most of a shutdown's grace has passed with tasks alive (E6).
      case deadlineNear = 5
      /// A shutdown's deadline moves on, as tasks make progress (E4).
      case deadlineExtended = 6
      /// A task ended after a join's deadline and its abort grace (E6).
      case taskLate = 7
      /// A task has missed a heartbeat that it promised (E7).
      case taskStalled = 8
      /// A stalled task has beaten again (E7).
      case taskRecovered = 9
      /// Something could not be sent to systemd (E11).
      case systemdUnreachable = 12
      /// A signal that `startSignalWatch` watches has another handler now (C13).
      case signalLost = 13
    }

    /// How serious it is.
    public let level: Level
    /// What it is about.
    public let event: Event
    /// The task's name; empty when it is about no single task.
    public let task: String
    /// The task's id; nil when it has none.
    public let taskID: UInt64?
    /// One line that says what happened.
    public let message: String

    /// Copies what the core delivered; nil for numbers this version does not know.
    init?(_ record: LogRecord) {
      guard let level = Level(rawValue: record.level), let event = Event(rawValue: record.event)
      else { return nil }
      self.level = level
      self.event = event
      task = String(cString: record.task)
      taskID = record.taskID == 0 ? nil : record.taskID
      message = String(cString: record.message)
    }
  }

#endif
