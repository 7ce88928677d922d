#if !hasFeature(Embedded)

  /// How far a task has come, as it last told (E3).
  public struct TaskProgress: Hashable, Sendable, Codable {
    /// How much is done.
    public let done: UInt64
    /// How much there is; nil if that is not known.
    public let total: UInt64?
    /// What is counted; nil if that was not told.
    public let unit: String?
    /// When it was told, on `CLOCK_MONOTONIC`, since the clock's start.
    public let reportedAt: Duration

    /// Copies what the core found; nil if nothing was told.
    init?(_ progress: Progress) {
      if progress.at == 0 { return nil }
      done = progress.done
      total = progress.total == 0 ? nil : progress.total
      unit = progress.unit.map { String(cString: $0) }
      reportedAt = .nanoseconds(progress.at)
    }
  }

  extension TaskProgress: CustomStringConvertible {
    /// "30 of 100 blocks".
    public var description: String {
      let whole = total.map { " of \($0)" } ?? ""
      let counted = unit.map { " \($0)" } ?? ""
      return "\(done)\(whole)\(counted)"
    }
  }

  extension TrackedTask {
    /// Says what the task is about to do; snapshots show the last such text (E3).
    ///
    /// - Parameter text: is copied, up to a NUL, each different one once and for ever: one of a few, "writing
    ///   the index", not one for each item. nil is nothing in particular.
    /// - Throws: `invalidArgument` when the caller is not this task; `forkedChild`.
    /// *Concurrency:* the task's own thread only; never blocks.
    public func checkpoint(_ text: String?) throws(TaskRegistryError) {
      try checkCaller()
      try check(withText(text) { setCheckpoint($0) })
    }

    /// Says how far the task has come; a later call with the same numbers is no progress (E3, E4).
    ///
    /// - Parameters:
    ///   - done: how much is done.
    ///   - total: how much there is; nil, or 0, if that is not known.
    ///   - unit: what is counted: "blocks". Is copied, as the text of a checkpoint.
    /// - Throws: `invalidArgument` when the caller is not this task; `forkedChild`.
    /// *Concurrency:* the task's own thread only; never blocks.
    public func progress(
      _ done: UInt64, of total: UInt64? = nil, unit: String? = nil
    ) throws(TaskRegistryError) {
      try checkCaller()
      try check(withText(unit) { setProgress(done: done, total: total ?? 0, unit: $0) })
    }

    /// Throws unless the caller is this task.
    func checkCaller() throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      guard Worker.currentTask == core else { throw .invalidArgument }
    }

    /// Lends a text as C has it, for one call.
    private func withText(
      _ text: String?, _ body: (UnsafePointer<UInt8>?) -> Status
    ) -> Status {
      guard let text else { return body(nil) }
      return text.withCString(encodedAs: UTF8.self) { body($0) }
    }
  }

#endif
