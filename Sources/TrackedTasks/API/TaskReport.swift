#if !hasFeature(Embedded)

  /// In what form something is written.
  public enum ReportFormat: Hashable, Sendable {
    /// For people: UTF-8, control characters escaped as \xHH.
    case text
    /// For machines: one JSON object and a newline; docs/schema says what it is made of.
    case json
  }

  /// What a join, a shutdown or a look came to, in full: which tasks did not stop and what each of them was
  /// doing, which were the slowest to stop, how long each phase took (E1, E5, E6, E10).
  ///
  /// It copies what it tells, and refers to neither registry nor tasks. Its lists are made at each use.
  ///
  /// *Concurrency:* every member may be used from any thread.
  public final class TaskReport: Sendable {
    /// What made the report.
    public enum Occasion: UInt32, Hashable, Sendable, Codable {
      /// `TaskRegistry.joinAll`.
      case join = 0
      /// `TaskRegistry.shutdown`.
      case shutdown = 1
      /// `TaskRegistry.explain`: nobody was waited for.
      case explain = 2
    }

    // SAFETY: nothing in it changes once the call that makes it has returned; this object owns it.
    nonisolated(unsafe) let core: ReportReference

    /// An empty report, for a call that fills it.
    init() throws(TaskRegistryError) {
      guard let core = ReportReference.make() else { throw .outOfMemory }
      self.core = core
    }

    /// Takes over a report.
    fileprivate init(takingOver core: ReportReference) { self.core = core }

    deinit { if !ProcessState.isForkedChild { core.destroy() } }

    /// What made the report.
    public var occasion: Occasion {
      Occasion(rawValue: core.pointer.pointee.occasion.rawValue) ?? .explain
    }

    /// Why the registry's token was cancelled; `.none` if it was not.
    public var reason: ShutdownReason { ShutdownReason(rawValue: core.pointer.pointee.reason) }

    /// The message it was cancelled with.
    public var message: String { core.withMessage { String(cString: $0) } }

    /// The grace or timeout of the call; nil was for ever.
    public var grace: Duration? {
      let grace = core.pointer.pointee.grace
      return grace < 0 ? nil : .nanoseconds(grace)
    }

    /// When the stragglers were looked at, since 1 January 1970.
    public var examinedAtUnix: Duration { .nanoseconds(core.pointer.pointee.clocks.wall) }

    /// How many stragglers there are; those beyond 65 536 are not listed.
    public var stragglerCount: UInt64 { core.pointer.pointee.tally.pending }

    /// The tasks that were alive at the deadline, or are alive (E1).
    public var stragglers: [StragglerReport] {
      (0..<core.pointer.pointee.stragglerCount).map { StragglerReport(core.stragglers[$0]) }
    }

    /// The tasks that took longest to stop, at most 16 of them, the slowest first; stragglers are not among
    /// them (E6).
    public var slowest: [EndedTask] {
      (0..<core.slowest.pointee.count).map { EndedTask(core.slowest.pointee[$0]) }
    }

    /// The phases of a shutdown that had tasks, in order (E5).
    public var phases: [PhaseReport] {
      (0..<core.pointer.pointee.phaseCount).map { PhaseReport(core.pointer.pointee.phases[$0]) }
    }

    /// Writes the report to a descriptor (E10).
    ///
    /// - Parameters:
    ///   - fd: open for writing.
    ///   - format: for whom.
    /// - Throws: `systemFailure` with errno set when write(2) fails: a part may be written; a pipe nobody
    ///   reads from is EPIPE, without a SIGPIPE. `invalidArgument` for a negative descriptor; `forkedChild`.
    /// *Concurrency:* blocks as write(2) does, also where the descriptor is non-blocking. Allocates nothing.
    public func write(to fd: Int32, as format: ReportFormat) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      if fd < 0 { throw .invalidArgument }
      switch format {
      case .text: try check(core.writeText(to: fd))
      case .json: try check(core.writeJSON(to: fd))
      }
    }
  }

  extension TaskRegistry {
    /// Looks at every live task now, as a join's deadline does: for whoever asks what the program is doing
    /// (E1).
    ///
    /// Nobody is asked to stop.
    ///
    /// - Parameter withBacktraces: whether each straggler has its backtrace, where those are enabled; the signal
    ///   for it ends some system calls with EINTR. Without, no thread is interrupted (E12).
    /// - Returns: the report, whose stragglers are the tasks alive.
    /// - Throws: `outOfMemory`, `forkedChild`.
    /// *Concurrency:* takes some 30 µs a task; blocks for no task, but where backtraces are enabled a tenth of
    /// a second for one that does not answer, and a second for all that do not.
    public func explain(withBacktraces: Bool = true) throws(TaskRegistryError) -> TaskReport {
      let (status, report) = core.explain(withBacktraces: withBacktraces)
      guard let report else { throw TaskRegistryError(status) }
      return TaskReport(takingOver: report)
    }

    /// Writes the live tasks to a descriptor, as a table or as JSON; what `snapshot` says of the list holds
    /// here (E9).
    ///
    /// - Parameters and errors: as in `TaskReport.write`.
    public func writeSnapshot(
      to fd: Int32, as format: ReportFormat
    ) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      if fd < 0 { throw .invalidArgument }
      switch format {
      case .text: try check(core.writeListAsText(to: fd))
      case .json: try check(core.writeListAsJSON(to: fd))
      }
    }
  }

#endif
