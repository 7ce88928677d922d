#if !hasFeature(Embedded)

  /// One phase of a shutdown that had tasks (E5).
  public struct PhaseReport: Hashable, Sendable, Codable {
    /// Its number, 0 to 7.
    public let phase: Int
    /// Tasks of it that were alive when it began.
    public let asked: UInt64
    /// Tasks of it that were alive when it was over.
    public let remaining: UInt64
    /// From the call to its begin.
    public let start: Duration
    /// The time it was given; nil is without end.
    public let share: Duration?
    /// The time it duration: until none of its tasks was remaining, or its share was over.
    public let duration: Duration

    /// Makes one of what the core noted.
    init(_ facts: PhaseFacts) {
      phase = Int(facts.phase)
      asked = facts.asked
      remaining = facts.remaining
      start = .nanoseconds(facts.start)
      share = facts.share < 0 ? nil : .nanoseconds(facts.share)
      duration = .nanoseconds(facts.duration)
    }
  }

#endif
