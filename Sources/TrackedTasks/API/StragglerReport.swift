#if !hasFeature(Embedded)

  /// One straggler, and what it was doing when it was looked at (E1).
  public struct StragglerReport: Identifiable, Hashable, Sendable, Codable {
    /// What a task seems to be doing, from how Linux says its thread is scheduled, from the processor time it
    /// used, and from what it told of its progress.
    public enum Diagnosis: UInt32, Hashable, Sendable, Codable, CaseIterable {
      /// The system does not tell.
      case unknown = 0
      /// Its thread has not entered the body yet.
      case starting = 1
      /// It waits in the kernel: `syscallName` and `waitChannel` say for what.
      case blocked = 2
      /// It has used the processor for most of the time since it was asked.
      case spinning = 3
      /// It runs, or wants to, now and then.
      case working = 4
      /// It told of progress in the last second before it was looked at.
      case progressing = 5
      /// Stopped by a signal or a debugger.
      case stopped = 6
      /// It has ended meanwhile.
      case ended = 7
    }

    /// What came of the wish for a backtrace.
    public enum BacktraceOutcome: UInt32, Hashable, Sendable, Codable, CaseIterable {
      /// Backtraces are not enabled, or none was asked for.
      case notEnabled = 0
      /// `frames` has it.
      case taken = 1
      /// Its thread blocks the signal, or the signal has another handler.
      case blocked = 2
      /// Its thread did not answer within a tenth of a second.
      case unanswered = 3
      /// The task ended before its thread was asked, or has none yet.
      case ended = 4
      /// The second, or the room, for the backtraces of a report was used up.
      case leftOut = 5
    }

    /// Unique in the process, never reused.
    public let id: UInt64
    /// The name, as it was kept: at most 63 bytes of UTF-8.
    public let name: String
    /// The group it belongs to, as in `TaskSummary`.
    public let group: String
    /// What the task is for.
    public let kind: TaskKind
    /// Where it was in its life.
    public let state: TaskSummary.State
    /// When a shutdown asks it to stop: 0, the first, to 7 (E5).
    public let phase: Int
    /// The kernel's thread id; 0 while starting.
    public let threadID: Int32
    /// From spawn to the moment it was looked at.
    public let age: Duration
    /// From when it was asked to stop to that moment; nil if it was not asked.
    public let cancelRequestedFor: Duration?
    /// What it seems to be doing.
    public let diagnosis: Diagnosis

    /// Processor time it has used; nil if that is not known.
    public let cpu: Duration?
    /// Of that, used in the last `cpuSinceSpan`; nil if that is not known.
    public let cpuSince: Duration?
    /// The time since it was asked to stop by `cancel` or a deadline, or since the shutdown looked at it first;
    /// nil without `cpuSince`.
    public let cpuSinceSpan: Duration?
    /// How often it has looked at its flag since it was asked to stop (E2).
    public let cancelChecks: Int
    /// Whether it has asked for the flag's address, and may have looked there uncounted: what C can (E2).
    public let readsFlagDirectly: Bool

    /// The state of its thread as in proc_pid_stat(5): "R", "S", "D", "T"; nil if that is not known.
    public var schedulerState: Character? { schedulerText?.first }
    private let schedulerText: String?
    /// The kernel's function it sleeps in, as in proc_pid_wchan(5); nil if there is none or it is not known.
    public let waitChannel: String?
    /// The number of the system call it is in; nil if it is in none or that is not known.
    public let syscall: Int?
    /// The name of that: "read"; nil for a number without a name here, too.
    public let syscallName: String?

    /// The errno with which what Linux says of its thread could not be read in full: EMFILE or ENFILE without a
    /// descriptor available, EACCES after the program has changed its user (E1); nil if all could be.
    public let probeError: Int32?

    /// What it last said it was about to do; nil if nothing in particular (E3).
    public let checkpoint: String?
    /// How far it has come; nil if it has not told (E3).
    public let progress: TaskProgress?
    /// How long ago it told that; nil if it has not.
    public let progressAge: Duration?
    /// Whether a promised heartbeat is overdue (E7).
    public let isStalled: Bool
    /// Its backtrace, innermost first; empty without one, as without `TaskRegistry.enableBacktraces` (E12).
    public let frames: [BacktraceFrame]
    /// What came of the wish for a backtrace.
    public let backtrace: BacktraceOutcome

    /// Makes one of what the core noted.
    init(_ facts: StragglerFacts) {
      id = facts.id
      name = facts.name.withText { String(cString: $0) }
      group = facts.path.withText { String(cString: $0) }
      kind = TaskKind(rawValue: facts.kind)
      state = TaskSummary.State(rawValue: facts.state) ?? .ended
      phase = Int(facts.activity.phase)
      threadID = facts.threadID
      age = .nanoseconds(facts.age)
      cancelRequestedFor = facts.askedAge < 0 ? nil : .nanoseconds(facts.askedAge)
      diagnosis = Diagnosis(rawValue: facts.diagnosis.rawValue) ?? .unknown
      cpu = facts.cpu < 0 ? nil : .nanoseconds(facts.cpu)
      cpuSince = facts.cpuSince < 0 ? nil : .nanoseconds(facts.cpuSince)
      cpuSinceSpan = facts.cpuSince < 0 ? nil : .nanoseconds(facts.cpuSpan)
      cancelChecks = Int(facts.cancelChecks)
      readsFlagDirectly = facts.activity.readsFlag
      let state = facts.thread.schedulerState
      schedulerText = state == 0 ? nil : String(UnicodeScalar(state))
      waitChannel = facts.thread.withWaitChannel { $0[0] == 0 ? nil : String(cString: $0) }
      syscall = facts.thread.syscall < 0 ? nil : Int(facts.thread.syscall)
      syscallName = facts.syscallName.map { String(cString: $0) }
      probeError = facts.thread.failure == 0 ? nil : facts.thread.failure
      checkpoint = facts.activity.checkpoint.map { String(cString: $0) }
      progress = TaskProgress(facts.activity.progress)
      progressAge = facts.progressAge < 0 ? nil : .nanoseconds(facts.progressAge)
      isStalled = facts.activity.isStalled
      frames = (0..<facts.frameCount).compactMap { number in
        facts.frames.map { BacktraceFrame(address: $0[number], depth: number) }
      }
      backtrace = BacktraceOutcome(rawValue: facts.backtrace.rawValue) ?? .notEnabled
    }
  }

  extension StragglerReport.Diagnosis: CustomStringConvertible {
    /// The name in lower case: "spinning".
    public var description: String {
      (StragglerFacts.Diagnosis(rawValue: rawValue) ?? .unknown).text.description
    }
  }

#endif
