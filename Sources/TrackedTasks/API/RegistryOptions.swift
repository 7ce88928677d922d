#if !hasFeature(Embedded)

  import CPlatform

  /// How a registry behaves.
  public struct RegistryOptions: Sendable {
    /// The token to link to; nil: the registry makes one of its own (G2).
    public var token: ShutdownToken?
    /// Spawns beyond so many live tasks fail; nil: no limit of the library's (S6).
    public var maxTasks: Int?
    /// Bytes of stack; rounded up to pages, at least 64 KiB, at most 1 TiB (S7).
    public var stackSize = 1 << 20
    /// How long a join waits for tasks whose flag it raised at its deadline (J4).
    public var abortGrace: Duration = .zero
    /// How long a thread looks for its next task before it sleeps; at most 1 ms; zero: never.
    public var spin: Duration = .microseconds(5)
    /// How long a thread without a task is kept; nil: for ever.
    public var idleTime: Duration? = .seconds(2)
    /// How many threads without a task are kept longer than `idleTime`; nil: no thread outlives
    /// its task.
    public var idleThreads: Int? = 16
    /// Whether counters by kind, durations and the last tasks that ended are kept; see
    /// `TaskRegistry.metrics(of:)` (E8).
    ///
    /// Costs a lock twice for each task, and 27 KiB.
    public var keepsMetrics = false
    /// The signals, by number, that are blocked in tasks as they begin; nil: those that the thread blocks that
    /// creates the registry, or the main thread where that is one of a runtime's, as in asynchronous code
    /// (S7).
    ///
    /// A program that a task starts is deaf to what is blocked there.
    public var blockedSignals: Set<Int32>?
    /// Receives log events, on the thread where they arise, under no lock (O2).
    public var log: (@Sendable (LogEvent) -> Void)?

    /// The defaults.
    public init() {}

    /// The options as the core wants them; nil if they break the documented requirements.
    func core() -> RegistryOptionsCore? {
      var core = RegistryOptionsCore()
      guard (maxTasks ?? 1) > 0, abortGrace >= .zero, (idleThreads ?? 0) >= 0 else { return nil }
      guard spin >= .zero, spin <= .milliseconds(1), stackSize > 0 else { return nil }
      guard let size = RegistryOptionsCore.stackSize(for: UInt64(stackSize)) else { return nil }
      core.maxTasks = UInt64(maxTasks ?? 0)
      core.stackSize = size
      core.abortGrace = abortGrace.wholeNanoseconds
      core.spinNanoseconds = spin.wholeNanoseconds
      core.idleNanoseconds = timeoutNanoseconds(idleTime)
      core.idleThreads = idleThreads ?? 0
      core.keepsNoThreads = idleThreads == nil
      core.keepsMetrics = keepsMetrics
      if let blockedSignals {
        guard let mask = SignalMask(numbers: blockedSignals) else { return nil }
        core.taskMask = mask
      }
      if let log { core.log = LogReceiver.sink(for: log) }
      return core
    }
  }

  /// How one task is spawned.
  public struct SpawnOptions: Sendable {
    /// Clean-up work: accepted after the registry has closed, from a running task of the same
    /// registry; its flag rises at a join's deadline and by `cancel`, not by the token (S5).
    public var isCleanup = false
    /// Run the body in a thread that has run no other and will run no other.
    public var wantsFreshThread = false
    /// Bytes of stack; nil: the registry's.
    public var stackSize: Int?
    /// Whether the end of the task cancels the registry's token, with the task's name as the message
    /// (C12).
    public var essential = Essential.no
    /// A signal that interrupts the task's system calls once it is asked to stop, again and again until
    /// it has left its body or acknowledges; nil: none (C10).
    ///
    /// It has a handler without SA_RESTART; see `TaskRegistry.installCancelSignal`.
    public var cancelSignal: Int32?
    /// When a shutdown asks the task to stop: 0, with the registry's token, to 7 (E5).
    public var phase = 0
    /// The task promises to call `TrackedTask.heartbeat` at least so often, from the start of its body on;
    /// nil: it promises nothing (E7).
    public var heartbeat: Duration?

    /// The defaults.
    public init() {}

    /// What the core is to know of the task besides; nil if it makes no sense.
    func traits() -> TaskTraits? {
      guard (0...7).contains(phase), (heartbeat ?? .seconds(1)) > .zero else { return nil }
      let promise: TaskTraits = heartbeat == nil ? [] : [.activity, .heartbeat]
      return essential.traits.union(.phase(UInt32(phase))).union(promise)
    }

    /// Which ends of a task the registry does not do without.
    public enum Essential: Hashable, Sendable {
      /// None: the registry goes on.
      case no
      /// Any: the reason is `.requestedByRun` if the body returned, else `.fatal`.
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
    /// The signals of these numbers; nil if one is no number of a signal.
    fileprivate init?(numbers: Set<Int32>) {
      var set = cp_no_signals()
      for number in numbers where sigaddset(&set, number) != 0 { return nil }
      self.init(&set)
    }
  }

  /// Carries a log closure through the core.
  final class LogReceiver: Sendable {
    private let receive: @Sendable (LogEvent) -> Void

    private init(_ receive: @escaping @Sendable (LogEvent) -> Void) { self.receive = receive }

    /// A sink that holds one reference to a receiver until the registry's memory is freed.
    static func sink(for receive: @escaping @Sendable (LogEvent) -> Void) -> LogSink {
      // SAFETY: `dispose` takes this reference over, once.
      let context = Unmanaged.passRetained(LogReceiver(receive)).toOpaque()
      return LogSink(
        deliver: { _, context, record in
          guard let context else { return }
          // SAFETY: the core passes the context above and a LogRecord.
          let receiver = Unmanaged<LogReceiver>.fromOpaque(context).takeUnretainedValue()
          let record = record.assumingMemoryBound(to: LogRecord.self).pointee
          if let event = LogEvent(record) { receiver.receive(event) }
        },
        target: nil, context: context,
        // SAFETY: matches passRetained above.
        dispose: { $0.map { Unmanaged<LogReceiver>.fromOpaque($0).release() } })
    }
  }

#endif
