#if !hasFeature(Embedded)

  import CPlatform

  /// How a registry behaves.
  public struct RegistryOptions: Sendable {
    /// The token to link to; nil: the registry creates one of its own.
    public var token: ShutdownToken?
    /// What `taskreg` calls the registry, and the label of its metrics; of a group: nil.
    ///
    /// UTF-8 without NUL, and not empty; at most 63 bytes of it are kept.
    public var name: String?
    /// The most tasks alive at once, beyond which spawns fail; nil: no limit of the library's.
    public var maxTasks: Int?
    /// Bytes of a task's stack; rounded up to pages, at least 64 KiB (128 KiB on aarch64), at
    /// most 1 TiB.
    public var stackSize: Int
    /// How long a join, or a shutdown, waits for the tasks that it told to abort at its deadline.
    ///
    /// nil: 100 ms for a shutdown, not at all for a join. Zero: not at all.
    public var abortGrace: Duration?
    /// How long a worker polls for its next task before it sleeps; at most 1 ms; zero: not at all.
    public var spin: Duration
    /// How long an idle thread is kept; nil: indefinitely.
    public var idleTime: Duration?
    /// How many idle threads are kept longer than `idleTime`; nil: no thread outlives its task.
    public var idleThreads: Int?
    /// Whether counters by kind, durations and the last tasks that ended are kept.
    ///
    /// See `TaskRegistry.metrics(of:)`. Keeping them costs two lock operations for each task, and
    /// 28 KiB.
    public var keepsMetrics: Bool
    /// Whether reports say what the descriptors are that tasks wait for: paths, and addresses of
    /// sockets; groups whose parent does not say so do not either.
    public var reportsDescriptors: Bool
    /// Whether reports list the threads of the process that run none of its tasks; groups whose
    /// parent does so do so, too.
    ///
    /// See `TaskReport.threads`.
    public var reportsThreads: Bool
    /// The signals, by number, that are blocked when a task starts.
    ///
    /// nil: those that the thread which creates the registry blocks. If that is a thread of a
    /// language runtime, as in asynchronous code, the main thread's mask is used instead. A program
    /// that a task starts inherits the task's mask, and does not receive the signals that it
    /// blocks.
    public var blockedSignals: Set<Int32>?
    /// What is done about a task that stays stalled; nil: nothing but the event.
    ///
    /// A group without one has its parent's.
    public var ladder: HeartbeatLadder?
    /// Receives log events, on the thread where they arise; no lock of the library is held
    /// meanwhile.
    public var log: (@Sendable (RegistryEvent) -> Void)?

    /// Creates options: each argument is the property of its name, with its default.
    public init(
      token: ShutdownToken? = nil, name: String? = nil, maxTasks: Int? = nil,
      stackSize: Int = 1 << 20, abortGrace: Duration? = nil, spin: Duration = .microseconds(5),
      idleTime: Duration? = .seconds(2), idleThreads: Int? = 16, keepsMetrics: Bool = false,
      reportsDescriptors: Bool = true, reportsThreads: Bool = false,
      blockedSignals: Set<Int32>? = nil, ladder: HeartbeatLadder? = nil,
      log: (@Sendable (RegistryEvent) -> Void)? = nil
    ) {
      self.token = token
      self.name = name
      self.maxTasks = maxTasks
      self.stackSize = stackSize
      self.abortGrace = abortGrace
      self.spin = spin
      self.idleTime = idleTime
      self.idleThreads = idleThreads
      self.keepsMetrics = keepsMetrics
      self.reportsDescriptors = reportsDescriptors
      self.reportsThreads = reportsThreads
      self.blockedSignals = blockedSignals
      self.ladder = ladder
      self.log = log
    }

    /// The options as the core takes them; nil if they break their documented requirements.
    func core() -> RegistryOptionsCore? {
      var core = RegistryOptionsCore()
      guard (maxTasks ?? 1) > 0, (abortGrace ?? .zero) >= .zero, (idleThreads ?? 0) >= 0 else {
        return nil
      }
      guard spin >= .zero, spin <= .milliseconds(1), stackSize > 0 else { return nil }
      guard let size = RegistryOptionsCore.stackSize(for: UInt64(stackSize)) else { return nil }
      if let name {
        guard !name.utf8.contains(0), let copied = withUTF8Text(name, { TaskName($0) }) else {
          return nil
        }
        core.name = copied
      }
      core.maxTasks = UInt64(maxTasks ?? 0)
      core.stackSize = size
      if let abortGrace { core.abortGrace = abortGrace > .zero ? abortGrace.wholeNanoseconds : -1 }
      core.spinNanoseconds = spin.wholeNanoseconds
      core.idleNanoseconds = timeoutNanoseconds(idleTime)
      core.idleThreads = idleThreads ?? 0
      core.keepsNoThreads = idleThreads == nil
      core.keepsMetrics = keepsMetrics
      core.hidesDescriptors = !reportsDescriptors
      core.reportsThreads = reportsThreads
      if let blockedSignals {
        guard let mask = SignalMask(numbers: blockedSignals) else { return nil }
        core.taskMask = mask
      }
      if let ladder, !ladder.put(in: &core) { return nil }
      if let log { core.log = LogReceiver.sink(for: log) }
      return core
    }
  }

  /// How one task is spawned.
  public struct SpawnOptions: Sendable {
    /// Whether the task is a clean-up task.
    ///
    /// A clean-up task may be spawned after the registry has closed, by a running task of the same
    /// registry. The registry's token does not raise its flag; a join's deadline and `cancel` do.
    public var isCleanup: Bool
    /// Whether no join, no shutdown and no wait for all tasks waits for it: a task that may hang for a
    /// minute in a call that nothing ends.
    ///
    /// It is listed, counted, asked to stop and explained like others. What its body uses has to be
    /// there until it returns. Not for a clean-up task, and not in a scope: `invalidArgument`.
    public var isUnjoined: Bool
    /// Whether the body runs in a thread that has run no other body and will run no other.
    public var wantsFreshThread: Bool
    /// Bytes of stack; nil: the registry's.
    public var stackSize: Int?
    /// Whether the end of the task cancels the registry's token, with the task's name as the
    /// message.
    public var essential: Essential
    /// A signal that interrupts the task's system calls once it is asked to stop; nil: none.
    ///
    /// It is sent repeatedly until the task has left its body or calls `acknowledgeCancel`. It must
    /// have a handler without SA_RESTART; see `TaskRegistry.installCancelSignal`.
    public var cancelSignal: Int32?
    /// When a shutdown asks the task to stop: 0 (first, with the registry's token) to 7.
    public var phase: Int
    /// The heartbeat interval; nil: no heartbeats.
    ///
    /// From the start of its body the task calls `TrackedTask.heartbeat` at least once in each
    /// interval.
    public var heartbeat: Duration?
    /// What the kernel calls the task's thread, at most 15 bytes of it; nil: the task's name.
    ///
    /// For names whose first 15 bytes are the same. UTF-8 without NUL, and not empty.
    public var threadName: String?
    /// How the task's thread is scheduled; nil: as the registry's threads are.
    public var scheduling: TaskScheduling?
    /// Whether the task starts again after its body has ended; nil: it does not.
    public var restart: TaskRestart?
    /// When the task runs, if it is periodic; nil: it is not; then `restart` is nil.
    ///
    /// It is one task through all its runs: alive until it is asked to stop, without a thread between
    /// two of them. Asked to stop, it ends after the run that is under way, or at once.
    public var schedule: TaskSchedule?
    /// What the spawn does where `maxTasks` tasks are alive.
    public var whenFull: WhenFull
    /// Task-locals whose values the task takes along; nil: none.
    public var taskLocals: CarriedTaskLocals?

    /// Creates options: each argument is the property of its name, with its default.
    public init(
      isCleanup: Bool = false, isUnjoined: Bool = false, wantsFreshThread: Bool = false,
      stackSize: Int? = nil, essential: Essential = Essential.no, cancelSignal: Int32? = nil,
      phase: Int = 0, heartbeat: Duration? = nil, threadName: String? = nil,
      scheduling: TaskScheduling? = nil, restart: TaskRestart? = nil,
      schedule: TaskSchedule? = nil, whenFull: WhenFull = WhenFull.fail,
      taskLocals: CarriedTaskLocals? = nil
    ) {
      self.isCleanup = isCleanup
      self.isUnjoined = isUnjoined
      self.wantsFreshThread = wantsFreshThread
      self.stackSize = stackSize
      self.essential = essential
      self.cancelSignal = cancelSignal
      self.phase = phase
      self.heartbeat = heartbeat
      self.threadName = threadName
      self.scheduling = scheduling
      self.restart = restart
      self.schedule = schedule
      self.whenFull = whenFull
      self.taskLocals = taskLocals
    }

    /// What a spawn does that finds no room.
    @nonexhaustive
    public enum WhenFull: Hashable, Sendable {
      /// It throws `limitReached`.
      case fail
      /// It waits, and throws `limitReached` if there is no room within the time; nil: as long as it
      /// takes. It throws `cancelled` when the calling task is asked to stop meanwhile.
      case wait(timeout: Duration?)
    }

    /// The traits of the task; nil if the options break their documented requirements.
    func traits() -> TaskTraits? {
      guard (0...7).contains(phase), (heartbeat ?? .seconds(1)) > .zero,
        !(isCleanup && isUnjoined)
      else { return nil }
      let heartbeats: TaskTraits = heartbeat == nil ? [] : [.activity, .heartbeat]
      let named: TaskTraits = threadName == nil ? [] : .namedThread
      var again: TaskTraits = restart == nil && schedule == nil ? [] : .startsAgain
      if let schedule {
        again.insert(.periodic)
        if schedule.endsOnFailure { again.insert(.endsOnFailure) }
      }
      return essential.traits.union(.phase(UInt32(phase))).union(heartbeats).union(named)
        .union(again).union(isUnjoined ? .unjoined : [])
    }

    /// Why and when the task runs again; nil if it does not, or if what says so breaks its documented
    /// requirements.
    var runPolicy: RunPolicy? {
      if restart != nil && schedule != nil { return nil }
      return restart?.policy.map { .restart($0) } ?? schedule?.rule.map { .schedule($0) }
    }

    /// The ends of a task that cancel the registry's token.
    @nonexhaustive
    public enum Essential: Hashable, Sendable {
      /// None.
      case no
      /// Any end: the reason is `.requestedByRun` if the body returned, else `.fatal`.
      case anyEnd
      /// A thrown error, or a thread that left its body; the reason is `.fatal`.
      case failure

      var traits: TaskTraits {
        switch self {
        case .no: []
        case .anyEnd: .essential
        case .failure: .essentialOnFailure
        }
      }
    }
  }

  extension SignalMask {
    /// The signals of these numbers; nil if one is not the number of a signal.
    fileprivate init?(numbers: Set<Int32>) {
      var set = cp_no_signals()
      for number in numbers where sigaddset(&set, number) != 0 { return nil }
      self.init(&set)
    }
  }

  /// Carries a log closure through the core.
  final class LogReceiver: Sendable {
    private let receive: @Sendable (RegistryEvent) -> Void

    private init(_ receive: @escaping @Sendable (RegistryEvent) -> Void) { self.receive = receive }

    /// A sink that holds one reference to a receiver until the registry's memory is freed.
    static func sink(for receive: @escaping @Sendable (RegistryEvent) -> Void) -> LogSink {
      // SAFETY: `dispose` takes this reference over, once.
      let context = Unmanaged.passRetained(LogReceiver(receive)).toOpaque()
      return LogSink(
        deliver: { _, context, record in
          guard let context else { return }
          // SAFETY: the core passes the context above and a LogRecord.
          let receiver = Unmanaged<LogReceiver>.fromOpaque(context).takeUnretainedValue()
          let record = record.assumingMemoryBound(to: LogRecord.self).pointee
          if let event = RegistryEvent(record) { receiver.receive(event) }
        },
        target: nil, context: context,
        // SAFETY: matches passRetained above.
        dispose: { $0.map { Unmanaged<LogReceiver>.fromOpaque($0).release() } })
    }
  }

#endif
