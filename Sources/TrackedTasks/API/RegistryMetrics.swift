#if !hasFeature(Embedded)

  /// Counters and durations of a registry's tasks, of one kind or of all kinds.
  ///
  /// A registry without `RegistryOptions.keepsMetrics` does not keep all of them; the others are
  /// nil.
  public struct RegistryMetrics: Hashable, Sendable, Codable {
    /// Upper bounds of the time that tasks took.
    ///
    /// Each is at most a quarter above the true value, and never above `max`. Times below 1.024 µs
    /// are given as 1.024 µs, and those above 19 hours as `max`.
    public struct Durations: Hashable, Sendable, Codable {
      /// Half of the tasks took at most this long.
      public let p50: Duration
      /// Nine tenths of the tasks took at most this long.
      public let p90: Duration
      /// All but one in a hundred took at most this long.
      public let p99: Duration
      /// The longest time, exactly.
      public let max: Duration

      /// Copies what the core computed; nil while there is nothing to measure.
      init?(_ facts: QuantileFacts) {
        if facts.max < 0 { return nil }
        p50 = .nanoseconds(facts.p50)
        p90 = .nanoseconds(facts.p90)
        p99 = .nanoseconds(facts.p99)
        max = .nanoseconds(facts.max)
      }
    }

    /// Tasks admitted, including those of groups.
    public let spawned: UInt64
    /// Of these, tasks that have ended, however they ended.
    public let ended: UInt64
    /// Of these, tasks whose bodies threw.
    public let failed: UInt64
    /// Of these, tasks whose threads left the body.
    public let exited: UInt64
    /// Spawns rejected.
    public let rejected: UInt64
    /// How often a task has started again.
    public let restarts: UInt64
    /// How many runs of periodic tasks took longer than the period.
    public let overruns: UInt64
    /// Tasks alive now.
    public let live: UInt64
    /// The most tasks alive at once; nil if metrics are not kept.
    public let peak: UInt64?
    /// From spawn to end; nil if metrics are not kept, and while no task has ended.
    public let run: Durations?
    /// From the request to stop to the end, of the tasks that were asked; nil as `run`.
    public let stop: Durations?

    /// Makes a value of what the core counted.
    init(_ facts: MetricsFacts, isKept: Bool) {
      spawned = facts.counters.spawned
      ended = facts.counters.ended
      failed = facts.counters.failed
      exited = facts.counters.exited
      rejected = facts.counters.rejected
      restarts = facts.counters.restarts
      overruns = facts.counters.overruns
      live = facts.counters.live
      peak = isKept ? facts.counters.peak : nil
      run = Durations(facts.run)
      stop = Durations(facts.stop)
    }
  }

  extension TaskRegistry {
    /// Reads the metrics of the registry.
    ///
    /// - Parameter kind: one of the library's kinds, or `.application()` for all of the
    ///   application's own together; nil for all kinds.
    /// - Returns: the counts at one moment of the call.
    /// - Throws: `invalidArgument` for any other kind, and for a single kind in a registry that
    ///   does not keep metrics; `forkedChild`.
    public func metrics(of kind: TaskKind? = nil) throws(TaskRegistryError) -> RegistryMetrics {
      if ProcessState.isForkedChild { throw .forkedChild }
      guard kind?.rawValue != 0, let facts = core.metricsFacts(kind: kind?.rawValue ?? 0) else {
        throw .invalidArgument
      }
      return RegistryMetrics(facts, isKept: core.metrics != nil)
    }

    /// Lists the tasks that ended last, at most 64 of them, the latest first.
    ///
    /// - Throws: `invalidArgument` in a registry that does not keep metrics; `forkedChild`.
    public func recentTasks() throws(TaskRegistryError) -> [EndedTask] {
      if ProcessState.isForkedChild { throw .forkedChild }
      guard let metrics = core.metrics else { throw .invalidArgument }
      // Copied under the lock, where nothing may be allocated, and turned into strings afterwards.
      let room = [EndedFacts](unsafeUninitializedCapacity: MetricsState.recentMost) { room, count in
        let base = room.baseAddress.unsafelyUnwrapped
        count = metrics.recent { (base + $0).initialize(to: $1.pointee) }
      }
      return room.map { EndedTask($0) }
    }

    /// Writes the metrics to a descriptor in the OpenMetrics text format, version 1.0.0.
    ///
    /// The text is a complete exposition, including its "# EOF".
    ///
    /// - Parameter fd: a descriptor that is open for writing.
    /// - Throws: `systemFailure` with errno set when write(2) fails; a part may have been written.
    ///   A pipe without a reader is EPIPE, without a SIGPIPE. Also `outOfMemory`, `forkedChild`.
    ///
    /// *Concurrency:* blocks as write(2) does, even if the descriptor is non-blocking.
    public func writeMetrics(to fd: Int32) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(Exposition.write(1, to: .descriptor(fd), isEnded: true) { _ in (core, nil) })
    }

    /// Collects what `writeMetrics(to:)` writes.
    ///
    /// - Returns: the text.
    /// - Throws: `outOfMemory`, `forkedChild`.
    ///
    /// *Concurrency:* takes a lock briefly.
    public func metricsText() throws(TaskRegistryError) -> String {
      if ProcessState.isForkedChild { throw .forkedChild }
      return try collected { sink in
        Exposition.write(1, to: sink, isEnded: true) { _ in (core, nil) }
      }
    }

    /// The Content-Type with which an HTTP server sends such a text.
    public static var openMetricsContentType: String {
      "application/openmetrics-text; version=1.0.0; charset=utf-8"
    }

    /// Writes the metrics of several registries as one text in the OpenMetrics format.
    ///
    /// The registries may be groups. Each metric family appears once, with the samples of all
    /// registries.
    ///
    /// - Parameters:
    ///   - registries: at most 1024, each with the value of the label `registry` of its samples: 1
    ///     to 255 bytes, no two the same. nil stands for the path of a group ("net/peers"), and for
    ///     no such label for a registry that is not a group.
    ///   - fd: a descriptor that is open for writing.
    ///   - isEnded: whether "# EOF" is written; if not, the caller adds more and then writes it.
    /// - Throws: as `writeMetrics(to:)`; `invalidArgument`.
    ///
    /// *Concurrency:* as `writeMetrics(to:)`. The metrics of one registry are of one moment.
    public static func writeMetrics(
      of registries: [(registry: TaskRegistry, name: String?)], to fd: Int32, isEnded: Bool = true
    ) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      if registries.count > Exposition.most { throw .invalidArgument }
      // One text, in which each name ends with a NUL.
      var text: [UInt8] = []
      var places: [Int?] = []
      for (_, name) in registries {
        places.append(name == nil ? nil : text.count)
        guard let name else { continue }
        if name.utf8.contains(0) { throw .invalidArgument }
        text.append(contentsOf: name.utf8)
        text.append(0)
      }
      let status = text.withUnsafeBufferPointer { text in
        Exposition.write(registries.count, to: .descriptor(fd), isEnded: isEnded) { number in
          (
            registries[number].registry.core,
            name: places[number].flatMap { place in text.baseAddress.map { $0 + place } }
          )
        }
      }
      try check(status)
    }
  }

#endif
