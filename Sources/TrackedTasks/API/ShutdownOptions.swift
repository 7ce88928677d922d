#if !hasFeature(Embedded)

  /// How a shutdown proceeds.
  public struct ShutdownOptions: Hashable, Sendable {
    /// The latest moment, from the call, to which the deadline is extended while tasks make
    /// progress.
    ///
    /// Tasks report it with `TrackedTask.progress`. nil: the deadline is not extended.
    public var maxGrace: Duration?
    /// How recent a task's report of progress must be to extend the deadline.
    ///
    /// The deadline is then this long after the report.
    public var progressWindow: Duration
    /// The percentage of the grace, 1 to 99, after which `RegistryEvent.Event.deadlineNear` is reported.
    ///
    /// It is reported only if tasks are alive. nil: not at all.
    public var warnPercent: Int?
    /// How the time is divided, by phase, 0 to 7.
    ///
    /// A phase gets its share out of the sum of its own and those of the later phases that have
    /// tasks. Each share is at most 1 000 000. With an empty dictionary all shares are equal. A
    /// phase that is missing from a dictionary that is not empty reserves no time for itself.
    public var phaseShares: [Int: Int]
    /// By phase, 0 to 7: the latest moment, from its beginning, to which its time is extended while
    /// tasks of it and of earlier phases make progress.
    ///
    /// The deadline is extended with it, so that the later phases keep their time; but never beyond
    /// `maxGrace`, unless that is nil. A phase that is missing is extended as `maxGrace` says.
    public var phaseMaxGrace: [Int: Duration]

    /// Creates options: each argument is the property of its name, with its default.
    public init(
      maxGrace: Duration? = nil, progressWindow: Duration = .seconds(1), warnPercent: Int? = 80,
      phaseShares: [Int: Int] = [:], phaseMaxGrace: [Int: Duration] = [:]
    ) {
      self.maxGrace = maxGrace
      self.progressWindow = progressWindow
      self.warnPercent = warnPercent
      self.phaseShares = phaseShares
      self.phaseMaxGrace = phaseMaxGrace
    }

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
      for (phase, most) in phaseMaxGrace {
        guard (0..<Int(PhasePlan.count)).contains(phase), most >= .zero else { return false }
        request.plan.mostTimes[phase] = most.wholeNanoseconds
      }
      return true
    }
  }

#endif
