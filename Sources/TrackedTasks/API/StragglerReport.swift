#if !hasFeature(Embedded)

  /// One straggler, and what it was doing when it was examined.
  public struct StragglerReport: Identifiable, Hashable, Sendable, Codable {
    /// What a straggler seems to be doing.
    ///
    /// It is judged by how Linux says its thread is scheduled, by the CPU time it used, and by the
    /// progress it reported.
    @nonexhaustive
    public enum Diagnosis: UInt32, Hashable, Sendable, Codable, CaseIterable {
      /// The system does not say.
      case unknown = 0
      /// Its thread has not entered the body yet.
      case starting = 1
      /// It waits in the kernel: `syscallName` and `waitChannel` say for what.
      case blocked = 2
      /// It has used a CPU for most of the time since it was asked to stop.
      case spinning = 3
      /// It is running or runnable some of the time.
      case working = 4
      /// It reported progress in the last second before it was examined.
      case progressing = 5
      /// Stopped by a signal or a debugger.
      case stopped = 6
      /// It has ended meanwhile.
      case ended = 7
      /// It sleeps in a wait of the library: `libraryWait` says in which.
      ///
      /// Its flag ends that, unless it is in a shield, or drains and was not told to abort. What it
      /// waits for may never come.
      case idle = 8
      /// It waits to start again and has no thread: `runs` says for how much longer.
      case waiting = 9
    }

    /// Whether a backtrace was taken, and why not.
    @nonexhaustive
    public enum BacktraceOutcome: UInt32, Hashable, Sendable, Codable, CaseIterable {
      /// Backtraces are not enabled, or none was requested.
      case notEnabled = 0
      /// It was taken: `frames` has it.
      case taken = 1
      /// Its thread blocks the signal, or the signal has another handler.
      case blocked = 2
      /// Its thread did not answer within a tenth of a second.
      case unanswered = 3
      /// The task ended before the signal was sent, or has no thread yet.
      case ended = 4
      /// The report's second, or its room, for backtraces was used up.
      case leftOut = 5
    }

    /// Unique in the process, never reused.
    public let id: UInt64
    /// The name, at most 63 bytes of UTF-8.
    public let name: String
    /// The group it belongs to, as in ``TaskSummary``.
    public let group: String
    /// What the task is for.
    public let kind: TaskKind
    /// How far it had got.
    public let state: TaskSummary.State
    /// When a shutdown asks it to stop: 0 (first) to 7.
    public let phase: Int
    /// The id of the task that has spawned it, which may have ended; nil if none did.
    public let parentID: UInt64?
    /// The address to which the call that spawned or adopted it returned; nil if it is not known.
    public let spawnAddress: UInt64?
    /// Whether no join waits for it (`SpawnOptions.isUnjoined`): then it is not a straggler of a join or a
    /// shutdown, and comes behind those.
    public let isUnjoined: Bool
    /// The kernel's thread id; 0 while starting.
    public let threadID: Int32
    /// From spawn to the moment it was examined.
    public let age: Duration
    /// From when it was asked to stop to that moment; nil if it was not asked.
    public let cancelRequestedFor: Duration?
    /// How urgently it was asked to stop.
    public let stopLevel: StopLevel
    /// How long before that moment it began to drain; nil if it has not.
    public let drainingFor: Duration?
    /// What it seems to be doing.
    public let diagnosis: Diagnosis

    /// CPU time it has used; nil if that is not known.
    public let cpu: Duration?
    /// Of that, used in the last `cpuSinceSpan`; nil if that is not known.
    public let cpuSince: Duration?
    /// The time since it was asked to stop by `cancel` or a deadline, or since the shutdown first
    /// sampled it.
    ///
    /// nil without `cpuSince`.
    public let cpuSinceSpan: Duration?
    /// How often it has checked for cancellation since it was asked to stop.
    public let cancelChecks: Int
    /// Whether it has taken the flag's address, as C can, and may have checked it without being
    /// counted.
    public let readsFlagDirectly: Bool

    /// The state of its thread as in proc_pid_stat(5): "R", "S", "D", "T"; nil if that is not
    /// known.
    public var schedulerState: Character? { schedulerText?.first }
    let schedulerText: String?
    /// The kernel function it sleeps in, as in proc_pid_wchan(5); nil if there is none or it is not
    /// known.
    public let waitChannel: String?
    /// The number of the system call it is in; nil if it is in none or that is not known.
    public let syscall: Int?
    /// The name of that system call, "read"; nil also for a number the library has no name for.
    public let syscallName: String?

    /// The wait of the library in which it sleeps; nil if it is in none.
    public let libraryWait: LibraryWait?
    /// How long its thread, not for this task alone, has waited for a processor; nil if that is not
    /// known.
    public let runQueueTime: Duration?
    /// The descriptor that it waits for in that system call; nil if it waits for none or that is
    /// not known.
    public let descriptor: TaskDescriptor?

    /// What its thread waits for, and who holds it.
    public let wait: WaitReport
    /// How long it has waited for that, at the least; nil if that is not known, as Linux does not
    /// tell.
    ///
    /// Since a wait of the library began; else since an earlier report, or the sample of `cpuSince`,
    /// if its thread has not run since.
    public let waitedAtLeast: Duration?
    /// The errno that kept the library from reading everything Linux says about the thread; nil if
    /// none did.
    ///
    /// EMFILE or ENFILE if no descriptor was available, EACCES after the program has changed its
    /// user.
    public let probeError: Int32?

    /// The text it last gave to `label`; nil if there is none.
    public let label: String?
    /// The text it last gave to `checkpoint`; nil if there is none.
    public let checkpoint: String?
    /// The progress it last reported; nil if it has reported none.
    public let progress: TaskProgress?
    /// How long ago it reported progress; nil if it has not.
    public var progressAge: Duration? { progress?.age }
    /// Whether a heartbeat is overdue.
    public let isStalled: Bool
    /// Its runs; nil if it does not start again.
    public let runs: RunsOfTask?
    /// Its backtrace, innermost frame first; empty without one.
    ///
    /// See `TaskRegistry.enableBacktraces`.
    public let frames: [BacktraceFrame]
    /// Whether the backtrace was taken, and why not.
    public let backtrace: BacktraceOutcome

    /// Makes a value of what the core recorded.
    init(_ straggler: StragglerFacts) {
      id = straggler.facts.id
      name = straggler.facts.name.withText { String(cString: $0) }
      group = straggler.path.withText { String(cString: $0) }
      kind = TaskKind(rawValue: straggler.facts.kind)
      state = TaskSummary.State(rawValue: straggler.state.rawValue) ?? .ended
      phase = Int(straggler.activity.phase)
      isUnjoined = straggler.activity.isUnjoined
      parentID = straggler.facts.parent == 0 ? nil : straggler.facts.parent
      spawnAddress = straggler.facts.spawnedFrom == 0 ? nil : straggler.facts.spawnedFrom
      threadID = straggler.facts.threadID
      age = .nanoseconds(straggler.age)
      cancelRequestedFor = straggler.askedAge < 0 ? nil : .nanoseconds(straggler.askedAge)
      stopLevel = straggler.facts.word.level
      let draining = straggler.activity.drainingFor(at: straggler.probedAt)
      drainingFor = draining < 0 ? nil : .nanoseconds(draining)
      diagnosis = Diagnosis(rawValue: straggler.diagnosis.rawValue) ?? .unknown
      cpu = straggler.cpu < 0 ? nil : .nanoseconds(straggler.cpu)
      cpuSince = straggler.cpuSince < 0 ? nil : .nanoseconds(straggler.cpuSince)
      cpuSinceSpan = straggler.cpuSince < 0 ? nil : .nanoseconds(straggler.cpuSpan)
      cancelChecks = Int(straggler.cancelChecks)
      readsFlagDirectly = straggler.activity.readsFlag
      let state = straggler.thread.schedulerState
      schedulerText = state == 0 ? nil : String(UnicodeScalar(state))
      waitChannel = straggler.thread.withWaitChannel { $0[0] == 0 ? nil : String(cString: $0) }
      syscall = straggler.thread.syscall < 0 ? nil : Int(straggler.thread.syscall)
      syscallName = straggler.syscallName.map { String(cString: $0) }
      libraryWait = straggler.wait.flatMap { LibraryWait($0, at: straggler.probedAt) }
      runQueueTime = straggler.thread.runQueue < 0 ? nil : .nanoseconds(straggler.thread.runQueue)
      descriptor = straggler.face.map { TaskDescriptor($0.pointee) }
      wait = WaitReport(straggler.thread.edge, straggler.holder)
      let waited = straggler.waitedAtLeast
      waitedAtLeast = waited < 0 ? nil : .nanoseconds(waited)
      probeError = straggler.thread.failure == 0 ? nil : straggler.thread.failure
      let label = straggler.label
      self.label = label.isEmpty ? nil : label.withText { String(cString: $0) }
      checkpoint = straggler.activity.checkpoint.map { String(cString: $0) }
      progress = TaskProgress(straggler.activity.progress, at: straggler.probedAt)
      isStalled = straggler.activity.isStalled
      runs = RunsOfTask(straggler.activity, straggler.state, at: straggler.probedAt)
      frames = (0..<straggler.frameCount).compactMap { number in
        straggler.frames.map { BacktraceFrame(address: $0[number], depth: number) }
      }
      backtrace = BacktraceOutcome(rawValue: straggler.backtrace.rawValue) ?? .notEnabled
    }
  }

  extension StragglerReport.Diagnosis: CustomStringConvertible {
    /// The name in lower case: "spinning".
    public var description: String {
      (StragglerFacts.Diagnosis(rawValue: rawValue) ?? .unknown).text.description
    }
  }

#endif
