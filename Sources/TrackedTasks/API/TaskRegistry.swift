#if !hasFeature(Embedded)

  import CPlatform

  /// A list of live tasks that is closed and joined as one; each task is a thread with a name and a
  /// kind.
  ///
  /// Releasing the last reference neither waits nor cancels: live tasks run on, and what they need
  /// stays valid until they have ended. Call `shutdown` to end them.
  ///
  /// *Concurrency:* every member may be used from any thread, tasks included, unless it says
  /// otherwise.
  public final class TaskRegistry: Sendable {
    // SAFETY: the core's registries may be used from many threads; this object holds one reference.
    nonisolated(unsafe) let core: RegistryReference

    /// Creates an open, empty registry.
    ///
    /// No thread is created before the first spawn.
    ///
    /// - Throws: `invalidArgument` when the options break their documented requirements;
    ///   `outOfMemory`, `forkedChild`.
    public init(_ options: RegistryOptions = RegistryOptions()) throws(TaskRegistryError) {
      guard let checked = options.core() else { throw .invalidArgument }
      let (status, registry) = RegistryReference.create(checked, token: options.token?.core)
      guard let registry else {
        checked.log.dispose?(checked.log.context)
        throw TaskRegistryError(status)
      }
      core = registry
    }

    /// Creates a registry linked to `token`, with the defaults for everything else.
    ///
    /// - Throws: `outOfMemory`, `forkedChild`.
    public convenience init(token: ShutdownToken) throws(TaskRegistryError) {
      var options = RegistryOptions()
      options.token = token
      try self.init(options)
    }

    /// Takes over a reference.
    private init(takingOver core: RegistryReference) { self.core = core }

    deinit { if !ProcessState.isForkedChild { core.release(callsApplication: true) } }

    /// Creates a group: a registry inside this one, whose tasks also belong to this registry.
    ///
    /// A group has a token, a join and a shutdown of its own. Its tasks run in threads of the root
    /// registry; only that registry's options for threads count.
    ///
    /// - Parameters:
    ///   - name: 1 to 63 bytes of UTF-8 without NUL and slash; longer names are cut at a character
    ///     boundary.
    ///   - options: as for a registry, but without a token. An abort grace of zero, a missing log,
    ///     and a stack size of nil default to those of this registry.
    /// - Returns: the group.
    /// - Throws: `invalidArgument`, `outOfMemory`, `forkedChild`.
    public func group(
      named name: String, _ options: RegistryOptions? = nil
    ) throws(TaskRegistryError) -> TaskRegistry {
      if ProcessState.isForkedChild { throw .forkedChild }
      guard !name.utf8.contains(0), let name = withUTF8Text(name, { GroupPath.name($0) }),
        options?.token == nil
      else { throw .invalidArgument }
      var given = RegistryOptionsCore()
      if let options {
        guard options.name == nil, let checked = options.core() else { throw .invalidArgument }
        given = checked
      }
      let (status, group) = core.createGroup(
        named: name, given.inheriting(from: core.options, stackSize: options == nil))
      guard let group else {
        given.log.dispose?(given.log.context)
        throw TaskRegistryError(status)
      }
      return TaskRegistry(takingOver: group)
    }

    /// The token the registry is linked to.
    ///
    /// Cancelling it closes the registry and raises the flag of every task of phase 0 that is not a
    /// clean-up task.
    public var token: ShutdownToken {
      core.token.retain()
      return ShutdownToken(takingOver: core.token)
    }

    // MARK: Spawning

    /// Runs `body` in a thread of its own, as a task with a name and a kind.
    ///
    /// If the body throws, the task has failed, with the error's description as its message; but
    /// `TaskRegistryError.cancelled` or `CancellationError`, thrown by a task that was asked to stop,
    /// is not a failure. If the body leaves its thread (`pthread_exit`), the task has exited; what its frames had
    /// retained is never released.
    ///
    /// - Parameters:
    ///   - name: 1 to 63 bytes of UTF-8 without NUL; longer names are cut at a character boundary.
    ///   - kind: what the task is for.
    ///   - options: how it is spawned.
    ///   - body: receives what the task can do itself, with which it checks whether it was asked to
    ///     stop.
    /// - Returns: the task, which need not be kept, and with it the value that the body returns.
    /// - Throws: `closed`, `limitReached`, `threadUnavailable`, `outOfMemory`, `invalidArgument`;
    ///   the body then never runs.
    @discardableResult
    public func spawn<Value: Sendable>(
      _ name: String, kind: TaskKind, options: SpawnOptions = SpawnOptions(),
      _ body: sending @escaping (TaskContext) throws -> Value
    ) throws(TaskRegistryError) -> TaskHandle<Value> {
      if ProcessState.isForkedChild { throw .forkedChild }
      guard kind.isKnown, !name.utf8.contains(0) else { throw .invalidArgument }
      guard let name = withUTF8Text(name, { TaskName($0) }) else { throw .invalidArgument }
      var stackSize: Int?
      if let bytes = options.stackSize {
        guard bytes > 0, let size = RegistryOptionsCore.stackSize(for: UInt64(bytes)) else {
          throw .invalidArgument
        }
        stackSize = size
      }
      if let number = options.cancelSignal, !CancelSignal.isUsable(number) {
        throw .invalidArgument
      }
      guard var traits = options.traits() else { throw .invalidArgument }
      var (wish, cpus) = (SchedulingWish(), [UInt64]())
      if let scheduling = options.scheduling {
        guard let asked = scheduling.wish, let words = scheduling.cpuWords else {
          throw .invalidArgument
        }
        (wish, cpus) = (asked, words)
        traits.insert(.scheduled)
      }
      let again = options.runPolicy
      if traits.contains(.startsAgain) && again == nil { throw .invalidArgument }
      var threadName: (UInt64, UInt64) = (0, 0)
      if let wanted = options.threadName {
        guard !wanted.utf8.contains(0), let name = withUTF8Text(wanted, { TaskName($0) }) else {
          throw .invalidArgument
        }
        threadName = (name.words[0], name.words[1])
      }
      let task = TaskHandle(running: body, with: options.taskLocals)
      try task.spawn(
        SpawnRequest(
          name: name, kind: kind.rawValue, stackSize: stackSize, isCleanup: options.isCleanup,
          wantsFreshThread: options.wantsFreshThread || options.scheduling != nil, traits: traits,
          cancelSignal: options.cancelSignal ?? 0,
          heartbeat: options.heartbeat?.wholeNanoseconds ?? 0, threadName: threadName,
          scheduling: wish,
          waitsFirst: (options.schedule?.firstDelay ?? .zero) > .zero,
          spawnedFrom: cp_return_address()),
        in: core, whenFull: options.whenFull, again: again, cpus: cpus)
      return task
    }

    /// Installs a handler that does nothing, so that a system call the signal interrupts returns
    /// EINTR.
    ///
    /// `SpawnOptions.cancelSignal` needs such a handler. It stays until the process ends. Use a
    /// signal that is used for nothing else, such as SIGRTMIN + 1.
    ///
    /// - Throws: `invalidArgument` for a number that is not a signal, cannot have a handler or is a
    ///   synchronous fault, and for a signal that is ignored or has another handler, which is left
    ///   as it is; `forkedChild`.
    public static func installCancelSignal(_ number: Int32) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(CancelSignal.installHandler(for: number))
    }

    // MARK: Listing

    /// How many tasks are alive, abandoned ones included.
    public var count: Int { Int(core.count) }

    /// Whether no task is alive.
    public var isEmpty: Bool { count == 0 }

    /// Lists the live tasks.
    ///
    /// A task that is alive throughout the call is listed exactly once; a task that ended before it
    /// is not listed.
    public func snapshot() -> [TaskSummary] {
      if ProcessState.isForkedChild { return [] }
      let clocks = ClockPair.now
      var summaries: [TaskSummary] = []
      summaries.reserveCapacity(count)
      _ = core.list { _, facts in summaries.append(TaskSummary(facts, clocks)) }
      return summaries
    }
  }

#endif
