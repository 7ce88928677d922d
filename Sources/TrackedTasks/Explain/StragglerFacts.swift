import CPlatform
import Synchronization

/// Everything that is reported of one straggler (E1).
struct StragglerFacts {
  /// What a list says of it, as of `probedAt` unless it had ended by then.
  ///
  /// Its `registry` may be gone once `task` is nil.
  var facts: TaskFacts
  /// The path of its group.
  var path: GroupPath

  /// A reference, until it has been probed.
  var task: TaskReference?
  /// On `CLOCK_MONOTONIC`.
  var probedAt: Int64 = 0
  var thread = ThreadProbe()
  /// How often it has checked for cancellation since its flag rose.
  var cancelChecks: UInt32 = 0
  /// CPU time in nanoseconds; -1 if unknown.
  var cpu: Int64 = -1
  /// The part of it in the last `cpuSpan` nanoseconds; -1 if unknown.
  var cpuSince: Int64 = -1
  var cpuSpan: Int64 = 0
  var diagnosis = Diagnosis.unknown
  /// The backtrace, in the report's memory.
  var frames: UnsafePointer<UInt64>?
  var frameCount = 0
  var backtrace = Backtrace.Outcome.notEnabled

  /// What it seems to be doing; the numbers are those of `TR_DIAGNOSIS_…`.
  enum Diagnosis: UInt32 {
    case unknown = 0
    case starting = 1
    case blocked = 2
    case spinning = 3
    case working = 4
    case progressing = 5
    case stopped = 6
    case ended = 7

    /// Its name in text and in JSON.
    var text: StaticString {
      switch self {
      case .unknown: "unknown"
      case .starting: "starting"
      case .blocked: "blocked"
      case .spinning: "spinning"
      case .working: "working"
      case .progressing: "progressing"
      case .stopped: "stopped"
      case .ended: "ended"
      }
    }
  }

  /// - Parameters:
  ///   - facts: taken while it was alive, or of a task that has ended meanwhile.
  ///   - task: a reference, released once the task has been probed; nil if it has ended.
  init(_ facts: TaskFacts, task: TaskReference?) {
    self.facts = facts
    path = facts.registry.pointer.pointee.path
    self.task = task
  }

  /// How far it has got.
  var state: TaskFacts.State { diagnosis == .ended ? .ended : facts.state }

  /// What the task has set itself.
  var activity: ActivityFacts { facts.activity ?? ActivityFacts() }

  /// Probes its thread, unless the task has ended.
  ///
  /// Nothing is allocated and no lock is taken. The thread was the task's own if the task is alive
  /// afterwards: the reference keeps any other task out of the record.
  ///
  /// - Parameter seen: the result of the probe, if it was made elsewhere.
  mutating func look(seen: ThreadProbe? = nil) {
    probedAt = monotonicNow()
    // Another task may have come into the record before the reference was taken.
    guard let task, let now = task.facts(in: task.registry), now.id == facts.id else {
      hasEnded()
      return
    }
    facts = now
    let checks = task.cancelChecks
    cancelChecks = checks.count
    if facts.threadID == 0 {
      diagnosis = .starting
      return
    }
    thread = seen ?? ThreadProbe.at(threadID: facts.threadID)
    let threadCPU = thread.cpu
    cpu = task.ownCPU(of: threadCPU)
    if checks.isSampled && threadCPU >= 0 {
      cpuSince = max(0, threadCPU &- task.activity.pointee.sampledCPU.load(ordering: .relaxed))
      cpuSpan = max(0, probedAt &- task.activity.pointee.sampledAt.load(ordering: .relaxed))
    }
    if !task.word.isLive {
      hasEnded()
      return
    }
    diagnosis = Self.diagnose(
      scheduler: thread.schedulerState, progressAge: progressAge, cpu: cpu,
      age: age, cpuSince: cpuSince, span: cpuSpan)
  }

  private mutating func hasEnded() {
    task?.unpin()
    task = nil
    thread = ThreadProbe()
    cpu = -1
    cpuSince = -1
    cpuSpan = 0
    diagnosis = .ended
  }

  /// The name of the system call it is in; nil if it is in none, or in one without a known name.
  var syscallName: UnsafePointer<UInt8>? {
    // SAFETY: CChar and UInt8 have the same layout; the text is static.
    cp_syscall_name(thread.syscall).map {
      UnsafeRawPointer($0).assumingMemoryBound(to: UInt8.self)
    }
  }

  /// How long ago it was spawned, in nanoseconds.
  var age: Int64 { max(0, probedAt &- facts.spawnedAt) }

  /// How long ago it was asked to stop, in nanoseconds; -1 if it was not.
  ///
  /// It may have been asked during the probe.
  var askedAge: Int64 { facts.cancelledAt == 0 ? -1 : max(0, probedAt &- facts.cancelledAt) }

  /// How long ago it last reported progress, in nanoseconds; -1 if never.
  var progressAge: Int64 {
    activity.progress.at == 0 ? -1 : max(0, probedAt &- activity.progress.at)
  }

  /// What a thread seems to be doing; a pure function.
  ///
  /// - Parameters:
  ///   - scheduler: its state as in proc_pid_stat(5); 0 if unknown.
  ///   - progressAge: nanoseconds since it last reported progress; -1 if never.
  ///   - cpu: CPU time in nanoseconds; -1 if unknown.
  ///   - age: nanoseconds in which it used that.
  ///   - cpuSince: CPU time since it was asked to stop, in nanoseconds; -1 if unknown.
  ///   - span: nanoseconds in which it used that.
  /// - Returns: the diagnosis.
  static func diagnose(
    scheduler: UInt8, progressAge: Int64, cpu: Int64, age: Int64, cpuSince: Int64, span: Int64
  ) -> Diagnosis {
    let (used, time) = cpuSince >= 0 && span >= 1_000_000 ? (cpuSince, span) : (cpu, age)
    switch scheduler {
    case 0: return .unknown
    case UInt8(ascii: "T"), UInt8(ascii: "t"): return .stopped
    default: break
    }
    if progressAge >= 0 && progressAge < 1_000_000_000 { return .progressing }
    if used >= 0 && used > time / 2 { return .spinning }
    if scheduler == UInt8(ascii: "R") || used > time / 10 { return .working }
    return .blocked
  }

  /// Takes the backtrace of its thread, if the task is alive; the frames are kept if it has ended
  /// since.
  ///
  /// - Returns: how many return addresses were stored.
  mutating func takeBacktrace(
    in place: UnsafeMutablePointer<UInt64>, room: Int, until end: Deadline
  ) -> Int {
    guard let task, facts.threadID != 0, task.word.isLive else {
      backtrace = .ended
      return 0
    }
    let (taken, outcome, syscall) = Backtrace.capture(
      ofThread: facts.threadID, of: task, into: place, capacity: room, until: end)
    // If the kernel's own answer could be read, it is kept: it belongs to the moment of the probe.
    if thread.syscall < 0 && thread.failure != 0 { thread.syscall = syscall }
    backtrace = outcome
    frameCount = taken
    frames = taken == 0 ? nil : UnsafePointer(place)
    return taken
  }
}

extension StragglerFacts {
  /// The address by which a frame of a backtrace is looked up (E12).
  ///
  /// The innermost frame is where the thread was interrupted. The others are return addresses; the
  /// call is before, so one byte is subtracted: it may be the last instruction of its function, and
  /// the return address the start of the next one.
  static func place(ofFrame number: Int, at address: UInt64) -> UInt64 {
    number == 0 ? address : address &- 1
  }
}

extension RegistryReference {
  /// Samples the CPU time of all live tasks that were asked to stop.
  func sampleProcessorTimes() {
    forEachTask { task, _ in
      if !task.word.isCancelRequested || !task.pin() { return true }
      // Again, now that no other task can come into the record.
      if task.word.isCancelRequested { task.sampleCPU() }
      task.unpin()
      return true
    }
  }
}
