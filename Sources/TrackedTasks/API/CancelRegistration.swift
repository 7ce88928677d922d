#if !hasFeature(Embedded)
  import Synchronization

  /// A closure that runs when a token or a task is cancelled, until it is deregistered or this object
  /// goes (C7).
  ///
  /// *Concurrency:* every member may be used from any thread.
  public final class CancelRegistration: Sendable {
    /// The callback as bits; 0 once it is deregistered, and when the closure ran at once.
    ///
    /// atomic: acquire and release with the thread that takes it.
    private let callback = Atomic<UInt>(0)

    init(
      _ owner: CancelCallback.Owner, _ body: @escaping @Sendable () -> Void
    ) throws(TaskRegistryError) {
      // SAFETY: the box is taken back by the drop, which runs exactly once, or below.
      let box = Unmanaged.passRetained(ClosureBox(body)).toOpaque()
      let status = CancelCallback.register(
        { box in
          guard let box else { return }
          // SAFETY: what was passed in above, and not yet dropped.
          Unmanaged<ClosureBox>.fromOpaque(box).takeUnretainedValue().body()
        }, box,
        drop: { box in
          guard let box else { return }
          // SAFETY: the one release for the one retain above.
          Unmanaged<ClosureBox>.fromOpaque(box).release()
        }, with: owner,
        publish: { callback.store(UInt(bitPattern: $0), ordering: .releasing) })
      if status == .ok || status == .cancelled { return }
      // SAFETY: on other errors the context is still the caller's.
      Unmanaged<ClosureBox>.fromOpaque(box).release()
      throw TaskRegistryError(status)
    }

    /// Makes sure that the closure does not run any more.
    ///
    /// If another thread is running it, waits until it has returned; called by the closure itself, it
    /// returns at once.
    ///
    /// - Returns: what has become of the closure; nil where this was called before, the closure ran as it was
    ///   registered, or in a forked child.
    @discardableResult
    public func deregister() -> Removal? {
      let bits = callback.exchange(0, ordering: .acquiringAndReleasing)
      if ProcessState.isForkedChild { return nil }
      guard let callback = CancelCallback.Pointer(bitPattern: bits) else { return nil }
      return Removal(rawValue: CancelCallback.deregister(callback).rawValue)
    }

    /// What has become of the closure of a registration that is removed.
    public enum Removal: UInt32, Hashable, Sendable {
      /// It did not run, and never will.
      case neverRuns = 0
      /// It has run, or it is what removes its own registration.
      case hasRun = 1
      /// Another thread was running it, and it has returned.
      case waited = 2
    }

    deinit { deregister() }
  }

  private final class ClosureBox: Sendable {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  extension ShutdownToken {
    /// Runs `body` when the token is cancelled: at most once, on the thread that cancels, under no
    /// lock; at once if it is cancelled already (C7).
    ///
    /// - Returns: the registration, which deregisters when it goes.
    /// - Throws: `outOfMemory`, `forkedChild`.
    public func onCancel(
      _ body: @escaping @Sendable () -> Void
    ) throws(TaskRegistryError) -> CancelRegistration {
      if ProcessState.isForkedChild { throw .forkedChild }
      return try CancelRegistration(.token(core), body)
    }

    /// A descriptor that poll(2) finds readable once the token is cancelled, for ever (C6).
    ///
    /// It is the token's: do not read from it or close it.
    ///
    /// - Throws: `outOfMemory`; `systemFailure` when no descriptor is left; `forkedChild`.
    public func fileDescriptor() throws(TaskRegistryError) -> Int32 {
      if ProcessState.isForkedChild { throw .forkedChild }
      let (status, descriptor) = core.openDescriptor()
      try check(status)
      return descriptor
    }
  }

  extension TrackedTask {
    /// Runs `body` when the task is asked to stop; see `ShutdownToken.onCancel`.
    ///
    /// - Returns: the registration, which deregisters when it goes.
    /// - Throws: `outOfMemory`, `forkedChild`.
    public func onCancel(
      _ body: @escaping @Sendable () -> Void
    ) throws(TaskRegistryError) -> CancelRegistration {
      if ProcessState.isForkedChild { throw .forkedChild }
      return try CancelRegistration(.task(core), body)
    }

    /// A descriptor that poll(2) finds readable once the task is asked to stop, for ever; see
    /// `ShutdownToken.fileDescriptor`.
    ///
    /// - Throws: `outOfMemory`; `systemFailure` when no descriptor is left; `forkedChild`.
    public func fileDescriptor() throws(TaskRegistryError) -> Int32 {
      if ProcessState.isForkedChild { throw .forkedChild }
      let (status, descriptor) = core.openDescriptor()
      try check(status)
      return descriptor
    }

    /// Waits until `descriptor` has one of `events` (as poll(2) knows them), an error or a hang-up;
    /// the wait ends first when the task is asked to stop (C8).
    ///
    /// - Throws: `timedOut`; `cancelled`; `invalidArgument` when the descriptor is not open or the
    ///   caller is not this task; `outOfMemory`, `systemFailure`.
    /// *Concurrency:* the task's own thread only, which it blocks.
    public func wait(
      forDescriptor descriptor: Int32, events: Int16, timeout: Duration? = nil
    ) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      guard Worker.currentTask == core else { throw .invalidArgument }
      let deadline = Deadline.after(timeoutNanoseconds(timeout))
      try check(waitForDescriptor(descriptor, events: events, until: deadline))
    }
  }

#endif
