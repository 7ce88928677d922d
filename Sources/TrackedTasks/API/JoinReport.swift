#if !hasFeature(Embedded)

  /// The result of a join or a shutdown.
  ///
  /// `explanation` is not part of its value: it is not encoded with it, and equal reports may have
  /// different ones.
  public struct JoinReport: Hashable, Sendable, Codable {
    /// Tasks that ended while the call waited, however they ended.
    public let ended: UInt64
    /// Of these, bodies that threw.
    public let failed: UInt64
    /// Of these, bodies whose thread left them.
    public let exited: UInt64
    /// Tasks that ended after the registry's token had been cancelled, and before the call; they
    /// are not among `ended`.
    public let endedBefore: UInt64
    /// Of these, bodies that threw.
    public let failedBefore: UInt64
    /// Of these, bodies whose thread left them.
    public let exitedBefore: UInt64
    /// Tasks alive at the deadline: `aborted` + `abandoned`.
    public let pending: UInt64
    /// Of these, tasks that ended within the abort grace.
    public let aborted: UInt64
    /// Of these, tasks still alive when the call returned; they are still tracked.
    public let abandoned: UInt64
    /// Spawns rejected while the call waited.
    public let rejected: UInt64
    /// How long the call took.
    public let elapsed: Duration
    /// How far the deadline was extended for tasks that made progress.
    public let extended: Duration
    /// Time spent in log closures and cancellation closures during the call.
    ///
    /// The call may exceed its deadline by this much.
    public let callbacks: Duration
    /// Threads without a task that had not ended yet; 0 when a shutdown succeeded.
    public let threadsLeft: Int
    /// Tasks for which no join waits (`SpawnOptions.isUnjoined`), alive when the call returned.
    ///
    /// They are in none of the other numbers. The full report lists them behind the stragglers.
    public let unjoined: UInt64
    /// The tasks alive at the deadline, `pending` of them.
    public let stragglers: [TaskSummary]
    /// The full report; nil unless the call was asked to explain, and nil in a decoded report.
    public var explanation: TaskReport? { aside.value }
    var aside = Unencoded<TaskReport?>(nil)

    /// Makes a report of what the core counted.
    init(_ tally: JoinTally, stragglers: [TaskSummary], explanation: TaskReport? = nil) {
      ended = tally.ended
      failed = tally.failed
      exited = tally.exited
      endedBefore = tally.before.ended
      failedBefore = tally.before.failed
      exitedBefore = tally.before.exited
      pending = tally.pending
      aborted = tally.aborted
      abandoned = tally.abandoned
      rejected = tally.rejected
      elapsed = .nanoseconds(tally.elapsed)
      extended = .nanoseconds(tally.extended)
      callbacks = .nanoseconds(tally.callbacks.total)
      threadsLeft = Int(tally.threadsLeft)
      unjoined = tally.unjoined
      self.stragglers = stragglers
      aside = Unencoded(explanation)
    }
  }

  extension JoinReport: CustomStringConvertible {
    /// One line: the counts that are not 0, the elapsed time, and the stragglers by name.
    public var description: String {
      var parts = ["\(ended) ended"]
      for (count, word) in [
        (failed, "failed"), (exited, "exited"), (endedBefore, "ended before the call"),
        (aborted, "aborted"), (abandoned, "abandoned"), (rejected, "rejected"),
        (UInt64(threadsLeft), "threads left"), (unjoined, "unjoined and alive"),
      ] where count > 0 { parts.append("\(count) \(word)") }
      let names = stragglers.map {
        ($0.group.isEmpty ? "" : $0.group + "/")
          + "\($0.name) (\($0.kind), \($0.state), age \($0.age))"
      }
      let list = names.isEmpty ? "" : "; stragglers: " + names.joined(separator: ", ")
      return parts.joined(separator: ", ") + " in \(elapsed)" + list
    }
  }

#endif
