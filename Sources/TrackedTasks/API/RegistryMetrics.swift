#if !hasFeature(Embedded)

  /// Counters and durations of a registry's tasks, of one kind or of all (E8).
  ///
  /// What is said to be kept with metrics is nil in a registry without `RegistryOptions.keepsMetrics`.
  public struct RegistryMetrics: Hashable, Sendable, Codable {
    /// How long tasks took, or half of them, nine tenths, all but one in a hundred: at most so long.
    ///
    /// At most a quarter above the true ones, but from 1 µs to 19 hours alone, and never above `max`.
    public struct Durations: Hashable, Sendable, Codable {
      /// Half of the tasks took at most so long.
      public let p50: Duration
      /// Nine tenths of them did.
      public let p90: Duration
      /// All but one in a hundred did.
      public let p99: Duration
      /// The longest of all, exactly.
      public let max: Duration

      /// What the core computed; nil while there is none.
      init?(_ facts: QuantileFacts) {
        if facts.max < 0 { return nil }
        p50 = .nanoseconds(facts.p50)
        p90 = .nanoseconds(facts.p90)
        p99 = .nanoseconds(facts.p99)
        max = .nanoseconds(facts.max)
      }
    }

    /// Tasks admitted, those of groups included.
    public let spawned: UInt64
    /// Of these, ended, however they ended.
    public let ended: UInt64
    /// Of these, bodies that threw.
    public let failed: UInt64
    /// Of these, bodies whose thread left them.
    public let exited: UInt64
    /// Spawns refused.
    public let rejected: UInt64
    /// Tasks alive now.
    public let live: UInt64
    /// The most that were alive at once; kept with metrics.
    public let peak: UInt64?
    /// From spawn to end; kept with metrics, and nil while no task has ended.
    public let run: Durations?
    /// From being asked to stop to the end, of those that were asked; likewise.
    public let stop: Durations?

    /// Makes one of what the core counted.
    init(_ facts: MetricsFacts, isKept: Bool) {
      spawned = facts.counters.spawned
      ended = facts.counters.ended
      failed = facts.counters.failed
      exited = facts.counters.exited
      rejected = facts.counters.rejected
      live = facts.counters.live
      peak = isKept ? facts.counters.peak : nil
      run = Durations(facts.run)
      stop = Durations(facts.stop)
    }
  }

  extension TaskRegistry {
    /// The metrics of the registry (E8).
    ///
    /// - Parameter kind: one of the library's, or `.application()` for all of the application's own
    ///   together; nil is all kinds.
    /// - Returns: what was counted at one moment of the call.
    /// - Throws: `invalidArgument` for any other kind, and for one kind in a registry that keeps no
    ///   metrics; `forkedChild`.
    public func metrics(of kind: TaskKind? = nil) throws(TaskRegistryError) -> RegistryMetrics {
      if ProcessState.isForkedChild { throw .forkedChild }
      guard kind?.rawValue != 0, let facts = core.metricsFacts(kind: kind?.rawValue ?? 0) else {
        throw .invalidArgument
      }
      return RegistryMetrics(facts, isKept: core.metrics != nil)
    }

    /// The last tasks that ended, at most 64 of them, the last one first (E8).
    ///
    /// - Throws: `invalidArgument` in a registry that keeps no metrics; `forkedChild`.
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

    /// Writes the metrics to a descriptor in the OpenMetrics text format, version 1.0.0, its "# EOF"
    /// included (E9).
    ///
    /// - Parameter fd: open for writing.
    /// - Throws: `systemFailure` with errno set when write(2) fails: a part may be written; a pipe nobody
    ///   reads from is EPIPE, without a SIGPIPE. `outOfMemory`, `forkedChild`.
    /// *Concurrency:* blocks as write(2) does, also where the descriptor is non-blocking.
    public func writeMetrics(to fd: Int32) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(Exposition.write(1, to: fd, isEnded: true) { _ in (core, nil) })
    }

    /// What an HTTP server says of such a text, as its Content-Type.
    public static var openMetricsContentType: String {
      "application/openmetrics-text; version=1.0.0; charset=utf-8"
    }

    /// Writes the metrics of several registries, groups among them, as one text in the OpenMetrics format, each
    /// family once (E9).
    ///
    /// - Parameters:
    ///   - registries: at most 1024, each with the value of the label `registry` of its samples, 1 to 255 bytes
    ///     and no two the same; nil is the path of a group ("net/peers"), and no such label for a registry that
    ///     is none.
    ///   - fd: open for writing.
    ///   - isEnded: whether the "# EOF" is written; if not, more follows and then the caller's own.
    /// - Throws: as `writeMetrics(to:)`; `invalidArgument`.
    /// *Concurrency:* as `writeMetrics(to:)`. What is told of one registry is of one moment.
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
        Exposition.write(registries.count, to: fd, isEnded: isEnded) { number in
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
