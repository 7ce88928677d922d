#if !hasFeature(Embedded)

  /// An event of a registry.
  ///
  /// The library itself prints nothing.
  public struct LogEvent: Hashable, Sendable {
    /// How serious an event is.
    public enum Level: UInt32, Hashable, Sendable {
      /// For information.
      case info = 1
      /// Something needs attention: a spawn was rejected, or a deadline is near.
      case warning = 2
      /// Something failed.
      case error = 3
    }

    /// What an event is about.
    public enum Event: UInt32, Hashable, Sendable {
      /// A body threw.
      case taskFailed = 1
      /// A body's thread left it.
      case taskExited = 2
      /// A join's deadline passed with tasks alive.
      case deadlineExceeded = 3
      /// A spawn was rejected.
      case spawnRejected = 4
      /// Most of a shutdown's grace has passed with tasks alive.
      case deadlineNear = 5
      /// A shutdown's deadline was extended because tasks make progress.
      case deadlineExtended = 6
      /// A task ended after a join's deadline and its abort grace.
      case taskLate = 7
      /// A task has missed a heartbeat.
      case taskStalled = 8
      /// A stalled task has reported a heartbeat again.
      case taskRecovered = 9
      /// A notification could not be sent to systemd.
      case systemdUnreachable = 12
      /// Another handler was installed for a signal that `startSignalWatch` watches.
      case signalLost = 13
      /// What a stalled task is doing: one event for each line (`HeartbeatLadder`).
      case stallExplained = 14
      /// A stalled task is told to abort (`HeartbeatLadder`).
      case stallAborted = 15
      /// A report has found threads that wait for each other; the message names them.
      case deadlock = 16
      /// A body has ended, and runs again (`TaskRestart`, `TaskSchedule`).
      ///
      /// Of a periodic task only if the run has failed.
      case taskRestarting = 17
      /// A run of a periodic task took longer than its period.
      case taskOverrun = 18
      /// The system has refused what `SpawnOptions.scheduling` asks for; the body runs without it.
      case schedulingRefused = 19
    }

    /// How serious it is.
    public let level: Level
    /// What it is about.
    public let event: Event
    /// The task's name; empty if the event is not about a single task.
    public let task: String
    /// The task's id; nil if it has none.
    public let taskID: UInt64?
    /// One line that says what happened.
    public let message: String

    /// Copies what the core delivered; nil for numbers that this version does not know.
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
