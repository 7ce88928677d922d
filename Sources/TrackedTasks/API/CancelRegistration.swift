import CPlatform

#if !hasFeature(Embedded)
  import Synchronization

  /// A closure that runs when a token or a task is cancelled.
  ///
  /// The registration need not be kept: the closure stays registered until it has run, until
  /// ``remove()`` is called, or until it cannot run any more, because its task has ended or nobody
  /// refers to its token. Then it is released without having run, in no lock of the library's: by
  /// the task's thread after the end, or by the thread that gave up the token, or one of the
  /// library's.
  ///
  /// A closure that captures its own token keeps it, until the token is cancelled or the
  /// registration removed. To remove a closure at the end of a scope, use
  /// ``ShutdownToken/withCancellationHandler(operation:onCancel:)-swift.method`` or
  /// ``TaskContext/withCancellationHandler(operation:onCancel:)``.
  ///
  /// *Concurrency:* every member may be used from any thread.
  public final class CancelRegistration: Sendable {
    /// The callback's pointer as bits; 0 once it is removed, or if the closure ran at once.
    ///
    /// atomic: release by the thread that registers, acquire by the one that removes it.
    private let callback = Atomic<UInt>(0)

    init(
      _ owner: CancelCallback.Owner, at level: StopLevel = .drain,
      _ body: @escaping @Sendable () -> Void
    ) throws(TaskRegistryError) {
      try ClosureBox.register(body) { function, box, drop in
        CancelCallback.register(function, box, drop: drop, with: owner, at: level) {
          callback.store(UInt(bitPattern: $0), ordering: .releasing)
        }
      }
    }

    /// Removes the registration: when this returns, the closure is not running and never will run.
    ///
    /// If another thread is running the closure, the call waits until it has returned. A call from
    /// the closure itself returns at once.
    ///
    /// - Returns: what happened to the closure; nil if this was called before, if the closure ran
    ///   when it was registered, or in a forked child.
    @discardableResult
    public func remove() -> Removal? {
      let bits = callback.exchange(0, ordering: .acquiringAndReleasing)
      if ProcessState.isForkedChild { return nil }
      guard let callback = CancelCallback.Pointer(bitPattern: bits) else { return nil }
      return Removal(rawValue: CancelCallback.remove(callback).rawValue)
    }

    /// What had happened to the closure when its registration was removed.
    public enum Removal: UInt32, Hashable, Sendable {
      /// It did not run, and never will.
      case neverRuns = 0
      /// It has run, or is itself calling `remove`.
      case hasRun = 1
      /// Another thread was running it, and it has returned.
      case waited = 2
    }

    // Waits for nothing: the closure may be running, for a lock that the caller holds.
    deinit {
      let bits = callback.load(ordering: .acquiring)
      if ProcessState.isForkedChild { return }
      if let callback = CancelCallback.Pointer(bitPattern: bits) { CancelCallback.detach(callback) }
    }
  }

  private final class ClosureBox: Sendable {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) { self.body = body }

    /// Registers a closure as a callback and its drop; `.cancelled` is that it ran at once.
    static func register(
      _ body: @escaping @Sendable () -> Void,
      by registering: (@escaping CancelFunction, UnsafeMutableRawPointer, @escaping TaskDrop) ->
        Status
    ) throws(TaskRegistryError) {
      // SAFETY: the reference is released by the drop, which runs exactly once, or below.
      let box = Unmanaged.passRetained(ClosureBox(body)).toOpaque()
      let status = registering(
        { box in
          guard let box else { return }
          // SAFETY: the box that was passed in above; the drop has not run yet.
          Unmanaged<ClosureBox>.fromOpaque(box).takeUnretainedValue().body()
        }, box,
        { box in
          guard let box else { return }
          // SAFETY: the one release for the one retain above.
          Unmanaged<ClosureBox>.fromOpaque(box).release()
        })
      if status == .ok || status == .cancelled { return }
      // SAFETY: on other errors the context is still the caller's.
      Unmanaged<ClosureBox>.fromOpaque(box).release()
      throw TaskRegistryError(status)
    }
  }

  extension ShutdownToken {
    /// Runs `body` once when the token is cancelled, or at once if it is cancelled already.
    ///
    /// `body` runs on the thread that cancels, and no lock of the library is held meanwhile. At
    /// once is in this call, or in the thread that cancels if that is still running the token's
    /// callbacks.
    ///
    /// - Returns: the registration, with which the closure is removed; it need not be kept.
    /// - Throws: `outOfMemory`, `forkedChild`.
    @discardableResult
    public func onCancel(
      _ body: @escaping @Sendable () -> Void
    ) throws(TaskRegistryError) -> CancelRegistration {
      if ProcessState.isForkedChild { throw .forkedChild }
      return try CancelRegistration(.token(core), body)
    }

    /// Returns a descriptor that is readable, for poll(2), once the token is cancelled, and stays
    /// readable.
    ///
    /// It belongs to the token: do not read from it or close it.
    ///
    /// - Throws: `outOfMemory`; `systemFailure` when no descriptor is available; `forkedChild`.
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
    /// - Returns: the registration, with which the closure is removed; it need not be kept.
    /// - Throws: `outOfMemory`, `forkedChild`.
    @discardableResult
    public func onCancel(
      _ body: @escaping @Sendable () -> Void
    ) throws(TaskRegistryError) -> CancelRegistration {
      if ProcessState.isForkedChild { throw .forkedChild }
      return try CancelRegistration(.task(core), body)
    }

    /// Runs `body` once the task has ended and its outcome can be read; at once if it has ended
    /// already.
    ///
    /// `body` runs exactly once, on the thread that ran the task, inside no task; `wait` may return
    /// before. A shutdown of the root registry that has succeeded has waited for it.
    ///
    /// - Throws: `outOfMemory`, `forkedChild`; then `body` does not run.
    public func onEnd(_ body: @escaping @Sendable () -> Void) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try ClosureBox.register(body) { function, box, drop in
        CancelCallback.registerToRun(function, box, drop: drop, atEndOf: core)
      }
    }

    /// Returns a descriptor that is readable once the task is asked to stop.
    ///
    /// See `ShutdownToken.fileDescriptor`.
    ///
    /// - Throws: `outOfMemory`; `systemFailure` when no descriptor is available; `forkedChild`.
    public func fileDescriptor() throws(TaskRegistryError) -> Int32 {
      if ProcessState.isForkedChild { throw .forkedChild }
      let (status, descriptor) = core.openDescriptor()
      try check(status)
      return descriptor
    }
  }

#endif
