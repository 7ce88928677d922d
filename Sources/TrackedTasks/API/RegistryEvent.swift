#if !hasFeature(Embedded)

  /// An event of a registry.
  ///
  /// The library itself prints nothing.
  public struct RegistryEvent: Hashable, Sendable {
    /// How serious an event is.
    @nonexhaustive
    public enum Level: UInt32, Hashable, Sendable {
      /// For information.
      case info = 1
      /// Something needs attention: a spawn was rejected, or a deadline is near.
      case warning = 2
      /// Something failed.
      case error = 3
    }

    /// What an event is about.
    @nonexhaustive
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
      /// What a stalled task is doing: one event for each line (``HeartbeatLadder``).
      case stallExplained = 14
      /// A stalled task is told to abort (``HeartbeatLadder``).
      case stallAborted = 15
      /// A report has found threads that wait for each other; the message names them.
      case deadlock = 16
      /// A body has ended, and runs again (``TaskRestart``, ``TaskSchedule``).
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
    /// The path of the group that it is about, `net/peers`; empty in a registry that is not a group.
    public let group: String
    /// What the task is for; nil if the event is not about a single task.
    public let kind: TaskKind?
    /// One line that says what happened.
    public let message: String
    /// The tasks that a join or a shutdown still waits for: of `deadlineNear` and `deadlineExtended`,
    /// and of `deadlineExceeded`, before their abort grace; empty for other events.
    ///
    /// What became of them is in the report of the call.
    public let pending: [TaskSummary]
    /// What the body threw, of `taskFailed` and `taskRestarting`; nil for other events.
    ///
    /// It is not part of the event's value: equal events may have different ones.
    public var error: (any Error)? { aside.error }
    private let aside: Aside

    /// The part of an event that is not part of its value.
    private struct Aside: Hashable, Sendable {
      var error: (any Error)?

      static func == (one: Aside, other: Aside) -> Bool { true }
      func hash(into hasher: inout Hasher) {}
    }

    /// Copies what the core delivered; nil for numbers that this version does not know.
    init?(_ record: LogRecord) {
      guard let level = Level(rawValue: record.level), let event = Event(rawValue: record.event)
      else { return nil }
      self.level = level
      self.event = event
      task = String(cString: record.task)
      taskID = record.taskID == 0 ? nil : record.taskID
      group = record.registry.pointer.pointee.path.withText { String(cString: $0) }
      kind = record.kind == 0 ? nil : TaskKind(rawValue: record.kind)
      message = String(cString: record.message)
      pending = Self.pending(at: event, in: record.registry)
      let thrown = event == .taskFailed || event == .taskRestarting
      aside = Aside(error: thrown ? ThrownError.take(of: record.taskID) : nil)
    }

    /// The tasks that the event is about, if it is about a deadline.
    private static func pending(at event: Event, in registry: RegistryReference) -> [TaskSummary] {
      switch event {
      case .deadlineNear, .deadlineExtended, .deadlineExceeded: break
      default: return []
      }
      let clocks = ClockPair.now
      let own = registry.exemptCaller?.id
      var tasks: [TaskSummary] = []
      _ = registry.list { _, facts in
        let isWanted =
          event == .deadlineExceeded
          ? facts.word.isOverdue : facts.id != own && facts.isJoinable
        if isWanted { tasks.append(TaskSummary(facts, clocks)) }
      }
      return tasks
    }
  }

#endif
