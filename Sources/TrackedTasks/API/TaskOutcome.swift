#if !hasFeature(Embedded)

  /// How a task ended.
  public struct TaskOutcome: Hashable, Sendable, Codable {
    /// The way in which a task ended.
    @nonexhaustive
    public enum Ending: Hashable, Sendable, Codable {
      /// Its body returned, or threw `TaskRegistryError.cancelled` after it was asked to stop.
      case returned
      /// Its body threw; the message is the description of the error, cut to 127 bytes.
      case failed(message: String)
      /// Its thread left the body: `pthread_exit` or thread cancellation.
      case exited
    }

    /// The way in which it ended.
    public let ending: Ending
    /// Whether it had been asked to stop.
    public let wasCancelled: Bool

    /// Reads the outcome of a task that has ended.
    init(of task: TaskReference) {
      let word = task.word
      wasCancelled = word.isCancelRequested
      switch word.ending {
      case .failed:
        ending = .failed(message: task.withMessage { text, _ in String(cString: text) })
      case .exited: ending = .exited
      case .none, .returned: ending = .returned
      }
    }
  }

#endif
