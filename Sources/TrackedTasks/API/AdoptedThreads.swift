#if !hasFeature(Embedded)

  import CPlatform

  /// How a thread is adopted.
  public struct AdoptOptions: Sendable {
    /// When a shutdown asks the thread to stop: 0 (first, with the registry's token) to 7.
    public var phase: Int
    /// The heartbeat interval; nil: no heartbeats.
    public var heartbeat: Duration?
    /// Whether the end of the task cancels the registry's token, with the task's name as the
    /// message.
    public var essential: SpawnOptions.Essential
    /// Whether the registry's token leaves its flag alone, as that of a clean-up task.
    public var isCleanup: Bool
    /// Whether a join or a shutdown that the thread itself calls waits for all other tasks and not
    /// for this one; without it such a call throws `wouldDeadlock`.
    public var joinsOthers: Bool
    /// Whether no join, no shutdown and no wait for all tasks waits for the thread; not together with
    /// `isCleanup` or `joinsOthers`.
    public var isUnjoined: Bool

    /// Creates options: each argument is the property of its name, with its default.
    public init(
      phase: Int = 0, heartbeat: Duration? = nil,
      essential: SpawnOptions.Essential = SpawnOptions.Essential.no, isCleanup: Bool = false,
      joinsOthers: Bool = false, isUnjoined: Bool = false
    ) {
      self.phase = phase
      self.heartbeat = heartbeat
      self.essential = essential
      self.isCleanup = isCleanup
      self.joinsOthers = joinsOthers
      self.isUnjoined = isUnjoined
    }

    /// The traits of the task; nil if the options break their documented requirements.
    fileprivate var traits: TaskTraits? {
      guard (0...7).contains(phase), (heartbeat ?? .seconds(1)) > .zero,
        !(isUnjoined && (isCleanup || joinsOthers))
      else { return nil }
      var traits = essential.traits.union(.phase(UInt32(phase)))
      if heartbeat != nil { traits.formUnion([.activity, .heartbeat]) }
      if joinsOthers { traits.insert(.joinsOthers) }
      if isUnjoined { traits.insert(.unjoined) }
      return traits
    }
  }

  extension TaskRegistry {
    /// Makes the calling thread a task until `leaveAdoptedThread`, or its end: the main thread, or
    /// one of another library's.
    ///
    /// The thread is otherwise left as it is, and nobody waits for its end. If it ends without
    /// leaving, the task has exited.
    ///
    /// - Parameters:
    ///   - name: as in `spawn`.
    ///   - kind: what the task is for.
    ///   - options: how it is adopted.
    /// - Returns: the task, which need not be kept.
    /// - Throws: `invalidArgument`, also in a task and in a closure that the library calls; `closed`,
    ///   `limitReached`, `outOfMemory`, `threadUnavailable`, `forkedChild`.
    ///
    /// *Concurrency:* any thread that is not a task; does not block. Not for code that may change
    /// its thread, such as that of an `async` function.
    @available(*, noasync)
    @discardableResult
    public func adoptThread(
      _ name: String, kind: TaskKind, options: AdoptOptions = AdoptOptions()
    ) throws(TaskRegistryError) -> TrackedTask {
      if ProcessState.isForkedChild { throw .forkedChild }
      guard kind.isKnown, !name.utf8.contains(0), let traits = options.traits,
        let name = withUTF8Text(name, { TaskName($0) })
      else { throw .invalidArgument }
      let (status, task) = core.adopt(
        SpawnRequest(
          name: name, kind: kind.rawValue, isCleanup: options.isCleanup, traits: traits,
          heartbeat: options.heartbeat?.wholeNanoseconds ?? 0,
          spawnedFrom: cp_return_address(), wantsHandle: true))
      guard let task else { throw TaskRegistryError(status) }
      return TrackedTask(takingOver: task)
    }

    /// Ends the task of the calling thread, which was adopted.
    ///
    /// - Parameter code: 0 for success; any other number is a failure.
    /// - Throws: `invalidArgument` if the thread was not adopted, has left, or is in a closure that
    ///   the library calls; `forkedChild`.
    ///
    /// *Concurrency:* the adopted thread; runs what was registered with `TrackedTask.onEnd`.
    @available(*, noasync)
    public static func leaveAdoptedThread(code: Int32 = 0) throws(TaskRegistryError) {
      try check(Worker.leave(code: code, "leaveAdoptedThread"))
    }

    /// Runs `body` on the calling thread, which is a task meanwhile.
    ///
    /// If the body throws, the task has failed, with the error's description as its message; but
    /// `TaskRegistryError.cancelled` or `CancellationError`, thrown when the task was asked to stop,
    /// is not a failure. The error is rethrown in either case.
    ///
    /// - Parameters:
    ///   - name: as in `spawn`.
    ///   - kind: what the task is for.
    ///   - options: how it is adopted.
    ///   - body: receives the task.
    /// - Returns: what `body` returned.
    /// - Throws: what `body` throws; as `adoptThread`, and then `body` does not run.
    ///
    /// *Concurrency:* as `adoptThread`.
    @available(*, noasync)
    public func withAdoptedThread<Result>(
      _ name: String, kind: TaskKind, options: AdoptOptions = AdoptOptions(),
      _ body: (TaskContext) throws -> Result
    ) throws -> Result {
      let task = try adoptThread(name, kind: kind, options: options)
      do {
        let result = try body(TaskContext(task))
        // A body that has left by itself is not in the task any more.
        if Worker.currentTask == task.core { try Self.leaveAdoptedThread() }
        return result
      } catch {
        if Worker.currentTask == task.core {
          try Self.leaveAdoptedThread(code: task.recordFailure(error) ? 1 : 0)
        }
        throw error
      }
    }
  }

#endif
