#if !hasFeature(Embedded)

  /// The format in which something is written.
  @nonexhaustive
  public enum ReportFormat: Hashable, Sendable {
    /// For people: UTF-8, control characters escaped as \xHH.
    case text
    /// For machines: one JSON object and a newline; docs/schema has its schema.
    case json
  }

  /// The full result of a join, a shutdown or an explain.
  ///
  /// It says which tasks did not stop and what each of them was doing, which were the slowest to
  /// stop, and how long each phase took. It copies its data, and refers neither to the registry nor
  /// to tasks. Its lists are made at each use.
  ///
  /// *Concurrency:* every member may be used from any thread.
  public final class TaskReport: Sendable {
    /// What made the report.
    @nonexhaustive
    public enum Occasion: UInt32, Hashable, Sendable, Codable {
      /// `TaskRegistry.joinAll`.
      case join = 0
      /// `TaskRegistry.shutdown`.
      case shutdown = 1
      /// `TaskRegistry.explain`, which waits for no task.
      case explain = 2
    }

    // SAFETY: nothing in it changes once the call that makes it has returned; this object owns it.
    nonisolated(unsafe) let core: ReportReference

    /// Makes an empty report, for a call that fills it.
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

    /// The message it was cancelled with; empty if it was not.
    public var message: String { core.withMessage { String(cString: $0) } }

    /// The grace or timeout of the call; nil if the call could not time out.
    public var grace: Duration? {
      let grace = core.pointer.pointee.grace
      return grace < 0 ? nil : .nanoseconds(grace)
    }

    /// When the stragglers were examined, since 1 January 1970.
    public var examinedAtUnix: Duration { .nanoseconds(core.pointer.pointee.clocks.wall) }

    /// How many stragglers there are; those beyond 65 536 are not listed.
    public var stragglerCount: UInt64 { core.pointer.pointee.tally.pending }

    /// The tasks that were alive at the deadline; in an explain, the live tasks.
    public var stragglers: [StragglerReport] {
      (0..<core.pointer.pointee.stragglerCount).map { StragglerReport(core.stragglers[$0]) }
    }

    /// The tasks that took longest to stop, at most 16, the slowest first; without stragglers.
    public var slowest: [EndedTask] {
      (0..<core.slowest.pointee.count).map { EndedTask(core.slowest.pointee[$0]) }
    }

    /// The phases of a shutdown that had tasks, in order.
    public var phases: [PhaseReport] {
      (0..<core.pointer.pointee.phaseCount).map { PhaseReport(core.pointer.pointee.phases[$0]) }
    }

    /// The threads of the process that run none of its tasks, at most 256: first those that hold
    /// something that a task waits for, then others in the kernel's order.
    ///
    /// Empty unless they were asked for, by `TaskRegistry.explain` or
    /// `RegistryOptions.reportsThreads`. Threads that run tasks of other registries, and the
    /// library's own, are among them.
    public var threads: [ThreadReport] {
      let first = core.pointer.pointee.stragglerCount
      return (first..<first + core.threadCount).map { ThreadReport(core.other($0).pointee) }
    }

    /// How many such threads are not listed, although they were asked for.
    public var unlistedThreadCount: Int { core.pointer.pointee.graph.unlistedThreads }

    /// Writes the report to a descriptor.
    ///
    /// - Parameters:
    ///   - fd: a descriptor that is open for writing.
    ///   - format: text or JSON.
    /// - Throws: `systemFailure` with errno set when write(2) fails; a part may have been written.
    ///   A pipe without a reader is EPIPE, without a SIGPIPE. Also `invalidArgument` for a negative
    ///   descriptor; `forkedChild`.
    ///
    /// *Concurrency:* blocks as write(2) does, even if the descriptor is non-blocking. Allocates
    /// nothing.
    public func write(to fd: Int32, as format: ReportFormat) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      if fd < 0 { throw .invalidArgument }
      switch format {
      case .text: try check(core.writeText(to: .descriptor(fd)))
      case .json: try check(core.writeJSON(to: .descriptor(fd)))
      }
    }

    /// Collects what `write(to:as:)` writes.
    ///
    /// - Parameter format: for whom.
    /// - Returns: the text.
    /// - Throws: `forkedChild`.
    ///
    /// *Concurrency:* never blocks.
    public func string(as format: ReportFormat) throws(TaskRegistryError) -> String {
      if ProcessState.isForkedChild { throw .forkedChild }
      return try collected { sink in
        switch format {
        case .text: core.writeText(to: sink)
        case .json: core.writeJSON(to: sink)
        }
      }
    }
  }

  extension TaskRegistry {
    /// Makes a report of every live task now, as a join's deadline does for its stragglers.
    ///
    /// No task is asked to stop.
    ///
    /// - Parameters:
    ///   - withBacktraces: whether backtraces are taken, if they are enabled. The signal for them
    ///     interrupts some system calls with EINTR; without backtraces no thread is interrupted.
    ///   - withDescriptors: whether it says what the descriptors are that tasks wait for, unless
    ///     `RegistryOptions.reportsDescriptors` is false: paths, and addresses of sockets.
    ///   - withThreads: whether it lists the threads of the process that run none of its tasks.
    /// - Returns: the report, whose stragglers are the live tasks.
    /// - Throws: `outOfMemory`, `forkedChild`.
    ///
    /// *Concurrency:* takes some 30 µs for each task. It does not wait for tasks, except that with
    /// backtraces enabled it waits a tenth of a second for a thread that does not answer, and at
    /// most a second for all that do not. It may call the log closure.
    public func explain(
      withBacktraces: Bool = true, withDescriptors: Bool = true, withThreads: Bool = false
    ) throws(TaskRegistryError) -> TaskReport {
      let (status, report) = core.explain(
        ReportParts(
          backtraces: withBacktraces, descriptors: withDescriptors, threads: withThreads))
      guard let report else { throw TaskRegistryError(status) }
      return TaskReport(takingOver: report)
    }

    /// Writes the live tasks to a descriptor, as a table or as JSON.
    ///
    /// The guarantees of `snapshot` about the list apply here too. Parameters and errors are as in
    /// `TaskReport.write`.
    public func writeSnapshot(
      to fd: Int32, as format: ReportFormat
    ) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      if fd < 0 { throw .invalidArgument }
      switch format {
      case .text: try check(core.writeListAsText(to: .descriptor(fd)))
      case .json: try check(core.writeListAsJSON(to: .descriptor(fd)))
      }
    }

    /// Collects what `writeSnapshot(to:as:)` writes.
    ///
    /// - Parameter format: for whom.
    /// - Returns: the text.
    /// - Throws: `forkedChild`.
    ///
    /// *Concurrency:* never blocks. The tasks are listed again if the list grows while it is
    /// written.
    public func snapshotString(as format: ReportFormat) throws(TaskRegistryError) -> String {
      if ProcessState.isForkedChild { throw .forkedChild }
      return try collected { sink in
        switch format {
        case .text: core.writeListAsText(to: sink)
        case .json: core.writeListAsJSON(to: sink)
        }
      }
    }
  }

#endif
