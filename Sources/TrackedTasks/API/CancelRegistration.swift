#if !hasFeature(Embedded)
  import Synchronization

  /// A closure that runs when a token or a task is cancelled.
  ///
  /// It stays registered until `remove` is called or this object is deallocated.
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
      // SAFETY: the reference is released by the drop, which runs exactly once, or below.
      let box = Unmanaged.passRetained(ClosureBox(body)).toOpaque()
      let status = CancelCallback.register(
        { box in
          guard let box else { return }
          // SAFETY: the box that was passed in above; the drop has not run yet.
          Unmanaged<ClosureBox>.fromOpaque(box).takeUnretainedValue().body()
        }, box,
        drop: { box in
          guard let box else { return }
          // SAFETY: the one release for the one retain above.
          Unmanaged<ClosureBox>.fromOpaque(box).release()
        }, with: owner, at: level,
        publish: { callback.store(UInt(bitPattern: $0), ordering: .releasing) })
      if status == .ok || status == .cancelled { return }
      // SAFETY: on other errors the context is still the caller's.
      Unmanaged<ClosureBox>.fromOpaque(box).release()
      throw TaskRegistryError(status)
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

    deinit { remove() }
  }

  private final class ClosureBox: Sendable {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  extension ShutdownToken {
    /// Runs `body` once when the token is cancelled, or at once if it is cancelled already.
    ///
    /// `body` runs on the thread that cancels, and no lock of the library is held meanwhile. At once is in
    /// this call, or in the thread that cancels if that is still running the token's callbacks.
    ///
    /// - Returns: the registration, which is removed when the object is deallocated.
    /// - Throws: `outOfMemory`, `forkedChild`.
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
    /// - Returns: the registration, which is removed when the object is deallocated.
    /// - Throws: `outOfMemory`, `forkedChild`.
    public func onCancel(
      _ body: @escaping @Sendable () -> Void
    ) throws(TaskRegistryError) -> CancelRegistration {
      if ProcessState.isForkedChild { throw .forkedChild }
      return try CancelRegistration(.task(core), body)
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

    /// Waits until `descriptor` has one of `events` (those of poll(2)), an error or a hang-up.
    ///
    /// The wait ends early when the task is asked to stop.
    ///
    /// - Throws: `timedOut`; `cancelled`; `invalidArgument` when the descriptor is not open or the
    ///   caller is not this task; `outOfMemory`, `systemFailure`.
    ///
    /// *Concurrency:* the task's own thread only; blocks.
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
