#if !hasFeature(Embedded)

  /// A task that has ended, as the registry remembers it.
  public struct EndedTask: Identifiable, Hashable, Sendable, Codable {
    /// How a task ended.
    @nonexhaustive
    public enum Ending: UInt32, Hashable, Sendable, Codable {
      /// Its body returned, or threw `TaskRegistryError.cancelled` after it was asked to stop.
      case returned = 1
      /// Its body threw.
      case failed = 2
      /// Its thread left the body: `pthread_exit` or thread cancellation.
      case exited = 3
    }

    /// Unique in the process, never reused.
    public let id: UInt64
    /// The name, at most 63 bytes of UTF-8.
    public let name: String
    /// The group it belonged to, as in ``TaskSummary``.
    public let group: String
    /// What the task was for.
    public let kind: TaskKind
    /// How it ended.
    public let ending: Ending
    /// What its body returned, as in C; 0 unless it failed.
    let code: Int32
    /// When it was spawned; nil in a decoded value.
    public var spawnedAt: SuspendingClock.Instant? { moment.value }
    let moment: Unencoded<SuspendingClock.Instant?>
    /// From spawn to its end.
    public let ran: Duration
    /// From when it was asked to stop to its end; nil if it was not asked.
    public let stop: Duration?

    /// Makes a value of what the core recorded.
    init(_ facts: EndedFacts) {
      id = facts.id
      name = facts.name.withText { String(cString: $0) }
      group = facts.path.withText { String(cString: $0) }
      kind = TaskKind(rawValue: facts.kind)
      ending = Ending(rawValue: facts.how) ?? .returned
      code = facts.code
      moment = Unencoded(.monotonic(facts.spawnedAt))
      ran = .nanoseconds(facts.ran)
      stop = facts.stop < 0 ? nil : .nanoseconds(facts.stop)
    }
  }

#endif
