#if !hasFeature(Embedded)

  /// What is known of the runs of a task that starts again.
  public struct RunsOfTask: Hashable, Sendable, Codable {
    /// How many have begun.
    public let begun: UInt64
    /// How the last one that is over ended; nil if none is.
    public let last: Ending?
    /// How much longer the task waits for the next; nil if it does not wait, or is paused.
    public let startsIn: Duration?
    /// Whether it waits until `TrackedTask.resume` or `trigger`.
    public let isPaused: Bool

    /// How a run ended.
    @nonexhaustive
    public enum Ending: Hashable, Sendable, Codable {
      /// Its body returned.
      case returned
      /// Its body threw, or in C returned this.
      case failed(code: Int32)
      /// Its thread left the body.
      case exited
    }

    /// Makes a value of what the core found; nil for a task that does not start again.
    init?(_ activity: ActivityFacts?, _ state: TaskFacts.State, at now: Int64) {
      guard let activity, !activity.isWithoutRuns else { return nil }
      begun = activity.runs
      last =
        switch TaskWord.Ending(rawValue: UInt64(activity.lastEnding)) {
        case .returned: .returned
        case .failed: .failed(code: activity.lastCode)
        case .exited: .exited
        default: nil
        }
      let startsIn = activity.startsIn(state, at: now)
      isPaused = startsIn == .max
      self.startsIn = startsIn < 0 || isPaused ? nil : .nanoseconds(startsIn)
    }
  }

#endif
