import CPlatform
import Synchronization

#if !hasFeature(Embedded)

  /// A reference to one task, with which it is asked to stop, waited for, and its outcome read.
  ///
  /// That of a task with a value is a `TaskHandle`. Two references to one task are equal. What only
  /// the task itself can do is in ``TaskContext``.
  ///
  /// *Concurrency:* every member may be used from any thread.
  public class TrackedTask: @unchecked Sendable, Identifiable {
    // SAFETY: unchecked because there is a subclass, whose state is guarded as it says there.

    // atomic: relaxed. The address of the core's record, of which this object holds one reference;
    // 0 until the spawn has succeeded. The spawner and the body's thread both store it, whichever
    // comes first.
    private let address: Atomic<UInt>

    /// Takes over a reference.
    init(takingOver core: TaskReference) { address = Atomic(UInt(bitPattern: core.opaque)) }

    /// Prepares the reference of a task that is to be spawned.
    init() { address = Atomic(0) }

    deinit {
      if address.load(ordering: .relaxed) == 0 || ProcessState.isForkedChild { return }
      let registry = core.registry
      if registry.token.hasNoCallbacks { return core.unpin() }
      // It may be the last of the registry, whose token goes with it: closures may be released here.
      registry.retainStorage()
      core.unpin()
      registry.releaseStorage(callsApplication: true)
    }

    /// The task itself.
    final var core: TaskReference {
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

    /// Runs the body and keeps its value; only a ``TaskHandle`` has a body.
    func runBody() throws {}

    /// Releases the body.
    func releaseBody() {}

    /// Unique in the process, never reused.
    public final var id: UInt64 { core.id }

    /// The name, at most 63 bytes of UTF-8.
    public final var name: String { core.name.withText { String(cString: $0) } }

    /// What the task is for.
    public final var kind: TaskKind { TaskKind(rawValue: core.kind) }

    /// The phase of a shutdown in which the task is asked to stop.
    public final var phase: Int { Int(core.phase) }

    /// Whether the task was asked to stop: one atomic load.
    public final var isCancelled: Bool { core.checkCancel() }

    /// Asks the task to stop: raises its flag and ends the library's wait that it is in, if any.
    ///
    /// Nothing is killed.
    public final func cancel() {
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
    public final func wait(timeout: Duration? = nil) throws(TaskRegistryError) -> TaskOutcome {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(core.wait(until: .after(timeoutNanoseconds(timeout))))
      return TaskOutcome(of: core)
    }
  }

  extension TrackedTask: Hashable {
    /// Whether two references are of one task.
    public static func == (left: TrackedTask, right: TrackedTask) -> Bool { left.id == right.id }

    /// Hashes the id.
    public func hash(into hasher: inout Hasher) { hasher.combine(id) }
  }

  extension TrackedTask {
    /// Spawns the task that this object is to refer to.
    ///
    /// The object goes through the core to the task's thread, so that a spawn allocates one object.
    ///
    /// - Parameters:
    ///   - request: the spawn, but for its body, context and drop.
    ///   - registry: where.
    ///   - whenFull: what to do if there is no room.
    ///   - again: when it runs again, if its traits say that it does.
    ///   - cpus: the words of the affinity that it asks for; none if it asks for none.
    /// - Throws: as `TaskRegistry.spawn`; then the body is released and never runs.
    final func spawn(
      _ request: consuming SpawnRequest, in registry: RegistryReference,
      whenFull: SpawnOptions.WhenFull, again: RunPolicy? = nil, cpus: [UInt64] = []
    ) throws(TaskRegistryError) {
      // SAFETY: `drop` takes this reference over if the spawn succeeds, else we do.
      let context = Unmanaged.passRetained(self)
      request.context = context.toOpaque()
      request.body = Self.run
      request.drop = Self.drop
      request.wantsHandle = true
      let (status, core) = withUnsafePointer(to: again ?? .restart(RestartPolicy())) { again in
        cpus.withUnsafeBufferPointer { cpus in
          request.again = again
          request.scheduling.cpus = cpus.isEmpty ? nil : cpus.baseAddress
          request.scheduling.cpuWords = cpus.count
          return switch whenFull {
          case .fail: registry.spawn(request)
          case .wait(let time): registry.spawn(request, waitingForRoom: timeoutNanoseconds(time))
          }
        }
      }
      guard let core else {
        context.release()
        throw TaskRegistryError(status)
      }
      address.store(UInt(bitPattern: core.opaque), ordering: .relaxed)
    }

    /// Runs the body; a thrown error is a failure with a message.
    private static let run: TaskBody = { handle, context in
      guard let handle, let context else { return 1 }
      // SAFETY: the context is the task that `spawn` retained, released by `drop` afterwards.
      let task = Unmanaged<TrackedTask>.fromOpaque(context).takeUnretainedValue()
      task.address.store(UInt(bitPattern: handle), ordering: .relaxed)
      do {
        try task.runBody()
        return 0
      } catch {
        return task.recordFailure(error) ? 1 : 0
      }
    }

    /// Says whether an error that left the task's body is a failure, and makes it the message then.
    ///
    /// Called on the task's own thread.
    final func recordFailure(_ error: any Error) -> Bool {
      if core.word.isCancelRequested {
        if case TaskRegistryError.cancelled = error { return false }
        if error is CancellationError { return false }
      }
      _ = withUTF8Text(String(describing: error)) { core.setMessage($0) }
      ThrownError.keep(error, of: core)
      return true
    }

    /// Releases the body, also after `pthread_exit`, and the object if it has no other
    /// references.
    private static let drop: TaskDrop = { context in
      guard let context else { return }
      // SAFETY: matches passRetained in `spawn`; the core calls this exactly once.
      let task = Unmanaged<TrackedTask>.fromOpaque(context)
      task.takeUnretainedValue().releaseBody()
      task.release()
    }
  }

#endif
