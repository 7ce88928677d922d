#if !hasFeature(Embedded)

  /// The errors of the library's calls.
  @nonexhaustive
  public enum TaskRegistryError: Error, Hashable, Sendable {
    /// An argument breaks the documented requirements.
    case invalidArgument
    /// No memory was available.
    case outOfMemory
    /// The system refused a thread; a later call may succeed.
    case threadUnavailable
    /// As many tasks are alive as `maxTasks` allows.
    case limitReached
    /// The registry was shut down, or its token cancelled.
    case closed
    /// The deadline passed while tasks, or threads, were left.
    case deadlineExceeded(JoinReport)
    /// The timeout passed before the event.
    case timedOut
    /// The calling task was asked to stop.
    case cancelled
    /// The calling task would wait for itself, or without a limit for one that waits for it.
    case wouldDeadlock
    /// This process is a fork of one that had objects of the library.
    case forkedChild
    /// A system call failed in a way that has no other case.
    case systemFailure
    /// Something else in the process takes the signal of this number, so that a watch would not
    /// receive it.
    case signalInUse(Int32)
    /// There is no value: the task's thread left its body.
    case exited

    /// The error for a status of the core other than `.ok` and `.deadline`.
    init(_ status: Status) {
      switch status {
      case .noMemory: self = .outOfMemory
      case .again: self = .threadUnavailable
      case .limit: self = .limitReached
      case .closed: self = .closed
      case .timedOut: self = .timedOut
      case .cancelled: self = .cancelled
      case .deadlock: self = .wouldDeadlock
      case .forked: self = .forkedChild
      case .system: self = .systemFailure
      case .ok, .invalid, .deadline, .truncated, .stalled: self = .invalidArgument
      }
    }
  }

  extension TaskRegistryError: CustomStringConvertible {
    /// One English sentence.
    public var description: String {
      switch self {
      case .invalidArgument: Status.invalid.text.description
      case .outOfMemory: Status.noMemory.text.description
      case .threadUnavailable: Status.again.text.description
      case .limitReached: Status.limit.text.description
      case .closed: Status.closed.text.description
      case .deadlineExceeded(let report): "\(Status.deadline.text): \(report)"
      case .timedOut: Status.timedOut.text.description
      case .cancelled: Status.cancelled.text.description
      case .wouldDeadlock: Status.deadlock.text.description
      case .forkedChild: Status.forked.text.description
      case .systemFailure: Status.system.text.description
      case .signalInUse(let number): "something else in the process takes signal \(number)"
      case .exited: "the task's thread left its body, so that there is no value"
      }
    }
  }

  /// Throws unless `status` is `.ok`.
  func check(_ status: Status) throws(TaskRegistryError) {
    if status != .ok { throw TaskRegistryError(status) }
  }

#endif
