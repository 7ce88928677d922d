import CPlatform
import Synchronization

#if !hasFeature(Embedded)

  /// A reference to one task, with which it is asked to stop, waited for, and its outcome read.
  ///
  /// *Concurrency:* every member may be used from any thread unless it says otherwise.
  public final class TrackedTask: Sendable, Identifiable {
    /// What a spawned task is to run: the closure goes through the core in the object that both the
    /// spawner and the body get, so that a spawn allocates one object. Nil once it has run, and in
    /// other handles.
    // SAFETY: written before the task is published, read and released in the task's own thread.
    private nonisolated(unsafe) var body: (@Sendable (TrackedTask) throws -> Void)?
    // atomic: relaxed. The address of the core's record, of which this object holds one reference;
    // 0 until the spawn has succeeded. The spawner and the body's thread both store it, whichever
    // comes first.
    private let address: Atomic<UInt>

    /// Takes over a reference.
    init(takingOver core: TaskReference) { address = Atomic(UInt(bitPattern: core.opaque)) }

    deinit {
      if address.load(ordering: .relaxed) != 0, !ProcessState.isForkedChild { core.unpin() }
    }

    /// The task itself.
    var core: TaskReference {
      // SAFETY: not 0, because the object is not visible before its spawn has succeeded.
      TaskReference(
        OpaquePointer(bitPattern: address.load(ordering: .relaxed)).unsafelyUnwrapped)
    }

    /// The task that the calling thread runs; nil outside a task.
    public static var current: TrackedTask? {
      guard !ProcessState.isForkedChild, let task = Worker.currentTask else { return nil }
      task.retainHandle()
      return TrackedTask(takingOver: task)
    }

    /// Unique in the process, never reused.
    public var id: UInt64 { core.id }

    /// The name, at most 63 bytes of UTF-8.
    public var name: String { core.name.withText { String(cString: $0) } }

    /// What the task is for.
    public var kind: TaskKind { TaskKind(rawValue: core.kind) }

    /// The phase of a shutdown in which the task is asked to stop.
    public var phase: Int { Int(core.phase) }

    /// Whether the task was asked to stop: one atomic load.
    public var isCancelled: Bool { core.checkCancel() }

    /// Asks the task to stop: raises its flag and ends the library's wait that it is in, if any.
    ///
    /// Nothing is killed.
    public func cancel() {
      if ProcessState.isForkedChild { return }
      core.cancel()
    }

    /// Waits until the task has ended.
    ///
    /// - Parameter timeout: how long; nil never times out.
    /// - Returns: how it ended.
    /// - Throws: `timedOut`; `cancelled` when the calling task is asked to stop first;
    ///   `wouldDeadlock` when called by the task itself, or when it waits for the calling task and
    ///   neither wait has a timeout.
    ///
    /// *Concurrency:* blocks the calling thread; in `async` code, `await` chooses the form that does
    /// not.
    @discardableResult
    @available(*, noasync, message: "it blocks the thread: call it with 'await'")
    public func wait(timeout: Duration? = nil) throws(TaskRegistryError) -> TaskOutcome {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(core.wait(until: .after(timeoutNanoseconds(timeout))))
      return TaskOutcome(of: core)
    }

    /// Sleeps for `duration`; the sleep ends early when the task is asked to stop.
    ///
    /// - Throws: `cancelled` when the task was asked to stop before or meanwhile; `invalidArgument`
    ///   when the caller is not this task.
    ///
    /// *Concurrency:* the task's own thread only; blocks.
    @available(*, noasync, message: "it blocks the thread")
    public func sleep(for duration: Duration) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      guard Worker.currentTask == core else { throw .invalidArgument }
      try check(sleepCallingThread(for: max(0, duration.wholeNanoseconds)))
    }

    /// Waits on a condition variable until it is signalled; ends early when the task is asked to
    /// stop.
    ///
    /// Like `pthread_cond_wait` it may wake spuriously, so call it in a loop around your condition.
    /// However the wait ends, the caller holds the mutex. To stop a task in such a wait, a thread
    /// of the library broadcasts the condition variable.
    ///
    /// - Parameters:
    ///   - condition: initialised, and alive until every wait on it has returned.
    ///   - mutex: initialised, and alive as long; locked by the caller, once, and not robust.
    ///   - timeout: how long, on `CLOCK_MONOTONIC`; nil never times out.
    /// - Throws: `timedOut`; `cancelled`; `invalidArgument` when the caller is not this task, when
    ///   an error-checking mutex is not the caller's, or when the mutex is robust; `outOfMemory` or
    ///   `threadUnavailable`, without having waited; `systemFailure`.
    ///
    /// *Concurrency:* the task's own thread only; blocks.
    @available(*, noasync, message: "it blocks the thread")
    public func wait(
      on condition: UnsafeMutablePointer<pthread_cond_t>,
      mutex: UnsafeMutablePointer<pthread_mutex_t>, timeout: Duration? = nil
    ) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      guard Worker.currentTask == core else { throw .invalidArgument }
      try check(waitOnCondition(condition, mutex, until: .after(timeoutNanoseconds(timeout))))
    }

    /// Stops the task's cancel signal: the task has seen that it is asked to stop.
    ///
    /// Without a request to stop, or without such a signal, it does nothing.
    ///
    /// - Throws: `invalidArgument` when the caller is not this task; `forkedChild`.
    ///
    /// *Concurrency:* the task's own thread only; does not block.
    public func acknowledgeCancel() throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      guard Worker.currentTask == core else { throw .invalidArgument }
      core.acknowledgeCancel()
    }

    // MARK: The way through the core

    /// A task to be spawned.
    fileprivate init(running body: @escaping @Sendable (TrackedTask) throws -> Void) {
      self.body = body
      address = Atomic(0)
    }
  }

  extension TrackedTask {
    /// Spawns a task that runs `body`.
    ///
    /// - Parameters:
    ///   - request: the spawn, but for its body, context and drop.
    ///   - registry: where.
    ///   - whenFull: what to do if there is no room.
    ///   - again: when it runs again, if its traits say that it does.
    ///   - body: as in `TaskRegistry.spawn`.
    /// - Returns: the task; the body gets the same object.
    /// - Throws: as `TaskRegistry.spawn`; then `body` is released and never runs.
    static func spawn(
      _ request: consuming SpawnRequest, in registry: RegistryReference,
      whenFull: SpawnOptions.WhenFull, again: RunPolicy? = nil,
      running body: @escaping @Sendable (TrackedTask) throws -> Void
    ) throws(TaskRegistryError) -> TrackedTask {
      let task = TrackedTask(running: body)
      // SAFETY: `drop` takes this reference over if the spawn succeeds, else we do.
      let context = Unmanaged.passRetained(task)
      request.context = context.toOpaque()
      request.body = run
      request.drop = drop
      request.wantsHandle = true
      let (status, core) = withUnsafePointer(to: again ?? .restart(RestartPolicy())) { again in
        request.again = again
        return switch whenFull {
        case .fail: registry.spawn(request)
        case .wait(let time): registry.spawn(request, waitingForRoom: timeoutNanoseconds(time))
        }
      }
      guard let core else {
        context.release()
        throw TaskRegistryError(status)
      }
      task.address.store(UInt(bitPattern: core.opaque), ordering: .relaxed)
      return task
    }

    /// Runs the closure; a thrown error is a failure with a message.
    private static let run: TaskBody = { handle, context in
      guard let handle, let context else { return 1 }
      // SAFETY: the context is the task that `spawn` retained, released by `drop` afterwards.
      let task = Unmanaged<TrackedTask>.fromOpaque(context).takeUnretainedValue()
      task.address.store(UInt(bitPattern: handle), ordering: .relaxed)
      do {
        try task.body.unsafelyUnwrapped(task)
        return 0
      } catch {
        return task.recordFailure(error) ? 1 : 0
      }
    }

    /// Says whether an error that left the task's body is a failure, and makes it the message then.
    ///
    /// Called on the task's own thread.
    func recordFailure(_ error: any Error) -> Bool {
      if core.word.isCancelRequested {
        if case TaskRegistryError.cancelled = error { return false }
        if error is CancellationError { return false }
      }
      _ = withUTF8Text(String(describing: error)) { core.setMessage($0) }
      return true
    }

    /// Releases the closure, also after `pthread_exit`, and the object if it has no other
    /// references.
    private static let drop: TaskDrop = { context in
      guard let context else { return }
      // SAFETY: matches passRetained in `spawn`; the core calls this exactly once.
      let task = Unmanaged<TrackedTask>.fromOpaque(context)
      task.takeUnretainedValue().body = nil
      task.release()
    }
  }

#endif
