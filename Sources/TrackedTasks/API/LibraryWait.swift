#if !hasFeature(Embedded)

  /// A wait of the library that a task was in when it was examined.
  public struct LibraryWait: Hashable, Sendable, Codable {
    /// What is waited for.
    @nonexhaustive
    public enum Kind: UInt8, Hashable, Sendable, Codable, CaseIterable {
      /// A sleep.
      case time = 1
      /// That the task is asked to stop.
      case cancel = 2
      /// A descriptor; `object` is its number.
      case descriptor = 3
      /// A condition variable: to be signalled.
      case condition = 4
      /// The end of a task; `object` is its id.
      case task = 5
      /// The end of all tasks of a registry.
      case tasks = 6
      /// The cancellation of a token.
      case token = 7
      /// Room for another task.
      case room = 8
      /// Several descriptors; `object` is how many.
      case descriptors = 9
    }

    /// What is waited for.
    public let kind: Kind
    /// A descriptor, or the id of a task; 0 for other kinds.
    public let object: UInt64
    /// For how long it had waited.
    public let waited: Duration
    /// How much longer it takes if nothing ends it; nil if that is not limited.
    public let remaining: Duration?

    init?(_ facts: WaitFacts, at now: Int64) {
      guard let kind = Kind(rawValue: facts.kind.rawValue) else { return nil }
      self.kind = kind
      object = facts.shownObject
      waited = .nanoseconds(facts.waited(at: now))
      let remaining = facts.remaining(at: now)
      self.remaining = remaining < 0 ? nil : .nanoseconds(remaining)
    }
  }

#endif
