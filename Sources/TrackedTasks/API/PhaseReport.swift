#if !hasFeature(Embedded)

  /// One phase of a shutdown that had tasks.
  public struct PhaseReport: Hashable, Sendable, Codable {
    /// Its number, 0 to 7.
    public let phase: Int
    /// Its tasks that were alive when it started.
    public let asked: UInt64
    /// Of phase 0: its tasks that ended after the registry's token had been cancelled, and before
    /// the call; they are not among `asked`.
    public let endedBefore: UInt64
    /// Its tasks that were alive when its time was over.
    public let remaining: UInt64
    /// From the call to the start of the phase.
    public let start: Duration
    /// The time it was given; nil if there was no limit.
    public let share: Duration?
    /// The time it took: until all of its tasks had ended, or its share was over.
    public let duration: Duration

    /// The time that the closure of the shutdown took for it: the call that says that it has begun
    /// is part of `duration`, and the one that says that it has ended comes after that.
    public let callbacks: Duration

    /// Makes a value of what the core recorded.
    init(_ facts: PhaseFacts) {
      phase = Int(facts.phase)
      asked = facts.asked
      endedBefore = facts.endedBefore
      remaining = facts.remaining
      start = .nanoseconds(facts.start)
      share = facts.share < 0 ? nil : .nanoseconds(facts.share)
      duration = .nanoseconds(facts.duration)
      callbacks = .nanoseconds(facts.callbacks)
    }
  }

#endif
