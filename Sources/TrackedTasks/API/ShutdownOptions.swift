#if !hasFeature(Embedded)

  /// How a shutdown goes.
  public struct ShutdownOptions: Hashable, Sendable {
    /// The deadline moves on while tasks make progress (`TrackedTask.progress`), but never beyond so long
    /// from the call; nil: it does not move (E4).
    public var maxGrace: Duration?
    /// A task makes progress if it told of any so long ago at most, and the deadline moves to so long after
    /// that (E4).
    public var progressWindow: Duration = .seconds(1)
    /// `LogEvent.Event.deadlineNear` comes when so many hundredths of the grace, 1 to 99, have passed with
    /// tasks alive; nil: not at all (E6).
    public var warnPercent: Int? = 80
    /// How the time is divided, by phase (E5).
    ///
    /// A phase, 0 to 7, gets its share of the sum of its own and those of the phases after it that have tasks.
    /// Each is at most 1 000 000. With an empty dictionary all are equal; a phase that is missing beside
    /// others reserves no time for itself.
    public var phaseShares: [Int: Int] = [:]

    /// The defaults.
    public init() {}

    /// Fills in a request; false if the options break their documented requirements.
    func apply(to request: inout ShutdownRequest) -> Bool {
      guard (maxGrace ?? .zero) >= .zero, progressWindow > .zero,
        (1...99).contains(warnPercent ?? 1)
      else { return false }
      request.maxGrace = maxGrace?.wholeNanoseconds ?? 0
      request.progressWindow = progressWindow.wholeNanoseconds
      request.warnPercent = UInt32(warnPercent ?? 0)
      for (phase, share) in phaseShares {
        guard (0..<Int(PhasePlan.count)).contains(phase),
          (0...Int(PhasePlan.largestShare)).contains(share)
        else { return false }
        request.plan.shares[phase] = UInt32(share)
      }
      return true
    }
  }

#endif
