#if !hasFeature(Embedded)

  /// A one-shot cancellation with a reason and a message; tokens form a tree.
  ///
  /// *Concurrency:* every member may be used from any thread; only the `wait` that is not `async` blocks.
  public final class ShutdownToken: Sendable {
    // SAFETY: the core's tokens may be used from many threads; this object holds one reference.
    nonisolated(unsafe) let core: TokenReference

    /// Creates a token that is not cancelled and has no parent.
    ///
    /// - Throws: `outOfMemory`, `forkedChild`.
    public init() throws(TaskRegistryError) {
      let (status, token) = TokenReference.create()
      guard let token else { throw TaskRegistryError(status) }
      core = token
    }

    /// Takes over a reference.
    init(takingOver core: TokenReference) { self.core = core }

    deinit { if !ProcessState.isForkedChild { core.release(callsApplication: true) } }

    /// Creates a token that is cancelled when this one is; cancelling it does not affect this one.
    ///
    /// - Throws: `outOfMemory`, `forkedChild`.
    public func child() throws(TaskRegistryError) -> ShutdownToken {
      let (status, token) = TokenReference.create(childOf: core)
      guard let token else { throw TaskRegistryError(status) }
      return ShutdownToken(takingOver: token)
    }

    /// Creates a child that is also cancelled, with the reason `.deadline`, when `timeout` has
    /// passed.
    ///
    /// If it was cancelled before, it keeps its first reason. The closures of `onCancel` run on a
    /// thread of the library that serves all timeouts of the process, so they should be brief. That
    /// thread exists while something is due, and a second longer.
    ///
    /// - Parameter timeout: how long from now; with zero or less the child is cancelled when this
    ///   returns.
    /// - Returns: the child.
    /// - Throws: `outOfMemory`; `threadUnavailable` when the system refuses that thread;
    ///   `forkedChild`.
    public func child(timeout: Duration) throws(TaskRegistryError) -> ShutdownToken {
      let (status, token) = TokenReference.create(
        childOf: core, deadline: .after(timeoutNanoseconds(timeout)))
      guard let token else { throw TaskRegistryError(status) }
      return ShutdownToken(takingOver: token)
    }

    /// Cancels the token and its descendants; only the first call records its reason and message.
    ///
    /// - Parameters:
    ///   - reason: why.
    ///   - message: one line of text; 255 bytes of UTF-8 are kept.
    /// - Returns: whether this call was the first.
    @discardableResult
    public func cancel(reason: ShutdownReason, message: String = "") -> Bool {
      if ProcessState.isForkedChild { return false }
      return withUTF8Text(message) { core.cancel(reason: reason.rawValue, message: $0) }
    }

    /// Whether the token is cancelled.
    public var isCancelled: Bool { core.isCancelled }

    /// The reason it was cancelled with; `.none` while it is not.
    public var reason: ShutdownReason { ShutdownReason(rawValue: core.reason) }

    /// The message it was cancelled with; empty while it is not.
    public var message: String { core.withMessage { text, _ in String(cString: text) } }

    /// Waits until the token is cancelled.
    ///
    /// - Parameter timeout: how long; nil never times out.
    /// - Throws: `timedOut`; `cancelled` when the calling task is asked to stop first.
    ///
    /// *Concurrency:* blocks the calling thread; in `async` code, `await` chooses the form that does
    /// not.
    @available(*, noasync, message: "it blocks the thread: call it with 'await'")
    public func wait(timeout: Duration? = nil) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(core.wait(until: .after(timeoutNanoseconds(timeout))))
    }
  }

  /// Passes `text` to `body` as NUL-terminated UTF-8.
  func withUTF8Text<Result>(
    _ text: String, _ body: (UnsafePointer<UInt8>) -> Result
  ) -> Result {
    text.withCString { characters in
      // SAFETY: CChar and UInt8 have the same layout, and memory may be read as either.
      body(UnsafeRawPointer(characters).assumingMemoryBound(to: UInt8.self))
    }
  }

#endif
