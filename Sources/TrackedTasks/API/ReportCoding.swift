#if !hasFeature(Embedded)

  extension JoinReport {
    /// Decodes a report; `explanation` is nil then.
    public init(from decoder: any Decoder) throws {
      let object = try decoder.object()
      func count(_ key: SchemaKey) throws -> UInt64 { try object.decode(UInt64.self, forKey: key) }
      ended = try count("ended")
      failed = try count("failed")
      exited = try count("exited")
      endedBefore = try count("ended_before")
      failedBefore = try count("failed_before")
      exitedBefore = try count("exited_before")
      pending = try count("pending")
      aborted = try count("aborted")
      abandoned = try count("abandoned")
      rejected = try count("rejected")
      elapsed = try object.decode(nanoseconds: "elapsed_ns")
      extended = try object.decode(nanoseconds: "extended_ns")
      callbacks = try object.decode(nanoseconds: "callbacks_ns")
      threadsLeft = try object.decode(Int.self, forKey: "threads_left")
      unjoined = try count("unjoined")
      stragglers = try object.decode([TaskSummary].self, forKey: "stragglers")
    }

    /// Encodes the report by the names that docs/schema/report.json has for the same numbers; its
    /// stragglers are as docs/schema/snapshot.json describes tasks.
    ///
    /// `explanation` is encoded by itself, as docs/schema/report.json describes it.
    public func encode(to encoder: any Encoder) throws {
      var object = encoder.object()
      try object.encode(count: ended, "ended")
      try object.encode(count: failed, "failed")
      try object.encode(count: exited, "exited")
      try object.encode(count: endedBefore, "ended_before")
      try object.encode(count: failedBefore, "failed_before")
      try object.encode(count: exitedBefore, "exited_before")
      try object.encode(count: pending, "pending")
      try object.encode(count: aborted, "aborted")
      try object.encode(count: abandoned, "abandoned")
      try object.encode(count: rejected, "rejected")
      try object.encode(nanoseconds: elapsed, "elapsed_ns")
      try object.encode(nanoseconds: extended, "extended_ns")
      try object.encode(nanoseconds: callbacks, "callbacks_ns")
      try object.encode(threadsLeft, forKey: "threads_left")
      try object.encode(count: unjoined, "unjoined")
      try object.encode(stragglers, forKey: "stragglers")
    }
  }

  extension PhaseReport {
    /// Decodes a phase, as docs/schema/report.json describes it.
    public init(from decoder: any Decoder) throws {
      let object = try decoder.object()
      phase = try object.decode(Int.self, forKey: "phase")
      asked = try object.decode(UInt64.self, forKey: "asked")
      endedBefore = try object.decode(UInt64.self, forKey: "ended_before")
      remaining = try object.decode(UInt64.self, forKey: "remaining")
      start = try object.decode(nanoseconds: "start_ns")
      share = try object.decodeOrNil(nanoseconds: "share_ns")
      duration = try object.decode(nanoseconds: "duration_ns")
      callbacks = try object.decode(nanoseconds: "callbacks_ns")
    }

    /// Encodes the phase as docs/schema/report.json describes it.
    public func encode(to encoder: any Encoder) throws {
      var object = encoder.object()
      try object.encode(phase, forKey: "phase")
      try object.encode(count: endedBefore, "ended_before")
      try object.encode(count: asked, "asked")
      try object.encode(count: remaining, "remaining")
      try object.encode(nanoseconds: start, "start_ns")
      try object.encode(nanoseconds: share, "share_ns")
      try object.encode(nanoseconds: duration, "duration_ns")
      try object.encode(nanoseconds: callbacks, "callbacks_ns")
    }
  }

  extension TaskReport.Occasion {
    /// The name in docs/schema.
    fileprivate var name: StaticString {
      switch self {
      case .join: "join"
      case .shutdown: "shutdown"
      case .explain: "explain"
      }
    }

    /// Decodes what made a report: "shutdown".
    public init(from decoder: any Decoder) throws {
      self = try decoder.decode { ($0 as Self).name }
    }

    /// Encodes what made a report: "shutdown".
    public func encode(to encoder: any Encoder) throws { try encoder.encode(name: name) }
  }

  extension TaskReport: Encodable {
    /// Encodes the report as docs/schema/report.json describes it, with the members that
    /// `write(to:as:)` writes.
    public func encode(to encoder: any Encoder) throws {
      var object = encoder.object()
      let facts = core.pointer
      let tally = facts.pointee.tally
      try object.encode(occasion, forKey: "occasion")
      try object.encode(facts.pointee.clocks.wall.description, forKey: "at_unix_ns")
      try object.encode(Names.reason(reason.rawValue).description, forKey: "reason")
      try object.encode(reason.rawValue, forKey: "reason_number")
      try object.encode(message, forKey: "message")
      try object.encode(nanoseconds: grace, "grace_ns")
      var cause: String?
      if facts.pointee.cutBy != 0 { core.withCause { cause = String(cString: $0) } }
      try object.encode(orNull: cause, "cut_short_by")
      try object.encode(nanoseconds: .nanoseconds(tally.callbacks.total), "callbacks_ns")
      try object.encode(
        orNull: tally.callbacks.longest == 0 ? nil : LongestCallback(times: tally.callbacks),
        "longest_callback")
      // The other numbers are those of a join report.
      let counts = JoinReport(tally, stragglers: [])
      try object.encode(nanoseconds: counts.extended, "extended_ns")
      try object.encode(nanoseconds: counts.elapsed, "elapsed_ns")
      try object.encode(count: counts.ended, "ended")
      try object.encode(count: counts.failed, "failed")
      try object.encode(count: counts.exited, "exited")
      try object.encode(count: counts.endedBefore, "ended_before")
      try object.encode(count: counts.failedBefore, "failed_before")
      try object.encode(count: counts.exitedBefore, "exited_before")
      try object.encode(count: counts.pending, "pending")
      try object.encode(count: counts.aborted, "aborted")
      try object.encode(count: counts.abandoned, "abandoned")
      try object.encode(count: counts.rejected, "rejected")
      try object.encode(count: counts.unjoined, "unjoined")
      try object.encode(counts.threadsLeft, forKey: "threads_left")
      try object.encode(phases, forKey: "phases")
      try object.encode(slowest, forKey: "slowest")
      try object.encode(circles, forKey: "circles")
      let held = (0..<core.nodeCount).filter { core.heldUp(ofNode: $0).waiter >= 0 }
      try object.encode(
        held.map { ReportNode(report: core, node: $0, isHolder: true) }, forKey: "holders")
      try object.encode(stragglers, forKey: "stragglers")
      let graph = facts.pointee.graph
      try object.encode(orNull: graph.hasThreads ? threads : nil, "threads")
      try object.encode(orNull: graph.hasThreads ? graph.unlistedThreads : nil, "threads_unlisted")
      try object.encode(
        orNull: graph.hasThreads && graph.threadsFailure != 0 ? graph.threadsFailure : nil,
        "threads_error")
    }

    private var circles: [[ReportNode]] {
      (0..<core.pointer.pointee.graph.circleCount).map { number in
        let first = Int(core.pointer.pointee.graph.circles[number])
        var nodes: [ReportNode] = []
        var node = first
        repeat {
          nodes.append(ReportNode(report: core, node: node, isHolder: false))
          node = Int(core.holder(ofNode: node).node)
        } while node != first
        return nodes
      }
    }
  }

  /// The callback that took longest, of a report.
  private struct LongestCallback: Encodable {
    let times: CallbackTimes

    func encode(to encoder: any Encoder) throws {
      var object = encoder.object()
      try object.encode(times.kind.text.description, forKey: "kind")
      try object.encode(nanoseconds: .nanoseconds(times.longest), "duration_ns")
      try SchemaPlace.encode(UInt64(times.function), to: &object)
    }
  }

  /// A thread in a circle, or one that holds something up.
  private struct ReportNode: Encodable {
    let report: ReportReference
    let node: Int
    let isHolder: Bool

    func encode(to encoder: any Encoder) throws {
      var object = encoder.object()
      try object.encode(report.threadID(ofNode: node), forKey: "thread_id")
      let task = report.taskID(ofNode: node)
      try object.encode(orNull: task == 0 ? nil : task, "task_id")
      var name = ""
      report.withName(ofNode: node) { name = String(cString: $0) }
      try object.encode(name, forKey: "name")
      if isHolder {
        let held = report.heldUp(ofNode: node)
        try object.encode(held.tasks, forKey: "holds_up")
        try object.encode(held.direct, forKey: "holds_up_directly")
        try object.encode(!held.isDoubtful, forKey: "is_certain")
      }
      let waited = report.waitedAtLeast(ofNode: node)
      try object.encode(
        SchemaWait(
          wait: WaitReport(report.edge(ofNode: node), report.holder(ofNode: node)),
          waitedAtLeast: waited < 0 ? nil : .nanoseconds(waited)), forKey: "waits_for")
    }
  }

#endif
