#if !hasFeature(Embedded)

  /// One phase of a shutdown that had tasks (E5).
  public struct PhaseReport: Hashable, Sendable, Codable {
    /// Its number, 0 to 7.
    public let phase: Int
    /// Tasks of it that were alive when it began.
    public let asked: UInt64
    /// Tasks of it that were alive when it was over.
    public let left: UInt64
    /// From the call to its begin.
    public let begin: Duration
    /// The time it was given; nil is without end.
    public let share: Duration?
    /// The time it took: until none of its tasks was left, or its share was over.
    public let took: Duration

    /// Makes one of what the core noted.
    init(_ facts: PhaseFacts) {
      phase = Int(facts.phase)
      asked = facts.asked
      left = facts.left
      begin = .nanoseconds(facts.begin)
      share = facts.share < 0 ? nil : .nanoseconds(facts.share)
      took = .nanoseconds(facts.took)
    }
  }

#endif
