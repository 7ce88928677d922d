#if !hasFeature(Embedded)

  /// One live task at one moment, as a snapshot lists it.
  public struct TaskSummary: Identifiable, Hashable, Sendable, Codable {
    /// How far a task has got; it only advances, but for a task that starts again.
    @nonexhaustive
    public enum State: UInt32, Hashable, Sendable, Codable {
      /// Admitted; its thread has not entered the body yet.
      case starting = 1
      /// In its body.
      case running = 2
      /// In its body, asked to stop.
      case cancelling = 3
      /// Still in its body after a join's deadline.
      case abandoned = 4
      /// Ended; only a straggler in a join report shows this.
      case ended = 5
      /// Waits to start again (``TaskRestart``), without a thread.
      case waiting = 6
    }

    /// Unique in the process, never reused.
    public let id: UInt64
    /// The name, at most 63 bytes of UTF-8.
    public let name: String
    /// The group it belongs to, as the path `net/peers` from the root registry; empty in a registry
    /// that is not a group.
    public let group: String
    /// What the task is for.
    public let kind: TaskKind
    /// How far it has got.
    public let state: State
    /// The kernel's thread id; 0 while starting.
    public let threadID: Int32
    /// When it was spawned; of a decoded summary derived from `spawnedAtUnix`.
    public var spawnedAt: SuspendingClock.Instant { moments.value.spawned }
    /// The same moment since 1 January 1970, derived from the wall clock when listed.
    public let spawnedAtUnix: Duration
    /// From spawn to the moment of listing.
    public let age: Duration
    /// When it was asked to stop; nil if it was not.
    ///
    /// Of a decoded summary it is derived from the wall clock.
    public var cancelRequestedAt: SuspendingClock.Instant? { moments.value.asked }
    /// From when it was asked to stop to the moment of listing; nil if it was not.
    public let cancelRequestedFor: Duration?
    /// How urgently it was asked to stop.
    public let stopLevel: StopLevel
    /// How long ago it began to drain; nil if it has not.
    public let drainingFor: Duration?
    /// Whether it was spawned for clean-up work.
    public let isCleanup: Bool
    /// Whether no join waits for it.
    public let isUnjoined: Bool

    /// The text it last gave to `label`; nil if there is none.
    public let label: String?
    /// The text it last gave to `checkpoint`; nil if there is none.
    public let checkpoint: String?
    /// The progress it last reported; nil if it has reported none.
    public let progress: TaskProgress?
    /// When a shutdown asks it to stop: 0 (first) to 7.
    public let phase: Int
    /// Whether a heartbeat is overdue.
    public let isStalled: Bool
    /// Its runs; nil if it does not start again.
    public let runs: RunsOfTask?
    /// The id of the task that has spawned it, which may have ended; nil if none did.
    public let parentID: UInt64?
    /// The address to which the call that spawned or adopted it returned; nil if it is not known.
    public let spawnAddress: UInt64?

    /// Moments on a clock that another process does not have.
    let moments: Unencoded<Moments>

    /// See `moments`.
    struct Moments: Sendable {
      let spawned: SuspendingClock.Instant
      let asked: SuspendingClock.Instant?
    }

    /// Whether it was asked to stop.
    public var isCancelRequested: Bool { cancelRequestedFor != nil }

    /// Makes a summary of what the core found.
    init(_ facts: TaskFacts, _ clocks: ClockPair) {
      id = facts.id
      name = facts.name.withText { String(cString: $0) }
      group = facts.registry.pointer.pointee.path.withText { String(cString: $0) }
      kind = TaskKind(rawValue: facts.kind)
      state = State(rawValue: facts.state.rawValue) ?? .ended
      threadID = facts.threadID
      let asked = facts.word.isCancelRequested
      moments = Unencoded(
        Moments(
          spawned: .monotonic(facts.spawnedAt),
          asked: asked ? .monotonic(facts.cancelledAt) : nil))
      let age = max(0, clocks.monotonic - facts.spawnedAt)
      self.age = .nanoseconds(age)
      spawnedAtUnix = .nanoseconds(clocks.wall - age)
      cancelRequestedFor =
        asked ? .nanoseconds(max(0, clocks.monotonic - facts.cancelledAt)) : nil
      stopLevel = facts.word.level
      let draining = facts.activity?.drainingFor(at: clocks.monotonic) ?? -1
      drainingFor = draining < 0 ? nil : .nanoseconds(draining)
      isCleanup = facts.word.isCleanup
      isUnjoined = !facts.isJoinable
      let label = facts.label
      self.label = label.isEmpty ? nil : label.withText { String(cString: $0) }
      checkpoint = facts.activity?.checkpoint.map { String(cString: $0) }
      progress = facts.activity.flatMap { TaskProgress($0.progress, at: clocks.monotonic) }
      phase = Int(facts.activity?.phase ?? 0)
      isStalled = facts.activity?.isStalled ?? false
      runs = RunsOfTask(facts.activity, facts.state, at: clocks.monotonic)
      parentID = facts.parent == 0 ? nil : facts.parent
      spawnAddress = facts.spawnedFrom == 0 ? nil : facts.spawnedFrom
    }
  }

#endif
