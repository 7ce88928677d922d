#if !hasFeature(Embedded)

  /// How much of its work a task has done, as it last reported.
  public struct TaskProgress: Hashable, Sendable, Codable {
    /// How much is done.
    public let done: UInt64
    /// How much there is; nil if that is not known.
    public let total: UInt64?
    /// What is counted; nil if that was not reported.
    public let unit: String?
    /// From when it was reported to the moment of listing.
    public let age: Duration
    /// When it was reported.
    public var reportedAt: SuspendingClock.Instant { moment.value }
    var moment: Unencoded<SuspendingClock.Instant>

    /// Copies what the core found; nil if nothing was reported.
    init?(_ progress: Progress, at now: Int64) {
      if progress.at == 0 { return nil }
      done = progress.done
      total = progress.total == 0 ? nil : progress.total
      unit = progress.unit.map { String(cString: $0) }
      age = .nanoseconds(max(0, now - progress.at))
      moment = Unencoded(.monotonic(progress.at))
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

  extension TaskContext {
    /// Sets the checkpoint: a text that says what the task does next; snapshots show the last one.
    ///
    /// - Parameter text: "writing the index". Each different text is copied once and never freed,
    ///   so use one of a few, not one for each item. nil: nothing in particular.
    ///
    /// *Concurrency:* never blocks.
    public func checkpoint(_ text: String?) {
      if isOwn { withText(text) { _ = setCheckpoint($0) } }
    }

    /// Sets the label: whom or what the task is working for now, such as a URL, a peer or a key.
    ///
    /// Snapshots, reports and events show it beside the task's name. Unlike a checkpoint it may be
    /// different each time: nothing is allocated, and nothing is kept.
    ///
    /// - Parameter text: 127 bytes of UTF-8 are kept, up to a NUL; nil: none.
    ///
    /// *Concurrency:* never blocks. Others read it at any moment, and
    /// whole.
    public func label(_ text: String?) {
      if isOwn { withText(text) { _ = setLabel($0) } }
    }

    /// Reports progress; a further call with the same numbers does not count as progress.
    ///
    /// - Parameters:
    ///   - done: how much is done.
    ///   - total: how much there is; nil, or 0, if that is not known.
    ///   - unit: what is counted, "blocks"; copied like the text of a checkpoint.
    ///
    /// *Concurrency:* never blocks.
    public func progress(_ done: UInt64, of total: UInt64? = nil, unit: String? = nil) {
      if isOwn {
        withText(unit) { _ = setProgress(done: done, total: total ?? 0, unit: $0) }
      }
    }

    /// Passes a text as C has it, for one call.
    private func withText(
      _ text: String?, _ body: (UnsafePointer<UInt8>?) -> Void
    ) {
      guard let text else { return body(nil) }
      text.withCString(encodedAs: UTF8.self) { body($0) }
    }
  }

#endif
