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

  /// What it works for (E14).
  var label: TaskLabel

  /// A reference, until it has been probed.
  var task: TaskReference?
  /// On `CLOCK_MONOTONIC`.
  var probedAt: Int64 = 0
  var thread = ThreadProbe()
  /// The wait of the library that it is in; what its thread waits for is made of it.
  var wait: WaitFacts?
  /// What its thread had noted before it was probed.
  private var noted: WaitFacts?
  /// The descriptor that its thread waits for, in the report's memory; nil: none, or not asked.
  var face: UnsafeMutablePointer<DescriptorFace>?
  /// Who holds what it waits for; see `WaitGraph`.
  var holder = WaitHolder()
  /// Whom it holds up.
  var heldUp = HeldUp()
  /// Its place among those that are like it.
  var alike = AlikePlace(-1)
  /// How often it has checked for cancellation since its flag rose.
  var cancelChecks: UInt32 = 0
  /// CPU time in nanoseconds; -1 if unknown.
  var cpu: Int64 = -1
  /// The part of it in the last `cpuSpan` nanoseconds; -1 if unknown.
  var cpuSince: Int64 = -1
  var cpuSpan: Int64 = 0
  /// For how long its thread has not run, at the least, in nanoseconds; -1: not known.
  var rest: Int64 = -1
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
    case idle = 8
    case waiting = 9

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
      case .idle: "idle"
      case .waiting: "waiting"
      }
    }
  }

  /// - Parameters:
  ///   - facts: taken while it was alive, or of a task that has ended meanwhile.
  ///   - task: a reference, released once the task has been probed; nil if it has ended.
  init(_ facts: TaskFacts, task: TaskReference?) {
    self.init(facts, facts.registry.pointer.pointee.path, facts.label)
    self.task = task
  }

  /// - Parameters:
  ///   - facts: of a task to which there is no reference.
  ///   - path: that of its group.
  ///   - label: its own.
  init(_ facts: TaskFacts, _ path: GroupPath, _ label: TaskLabel) {
    self.facts = facts
    self.path = path
    self.label = label
  }

  /// How far it has got.
  var state: TaskFacts.State { diagnosis == .ended ? .ended : facts.state }

  /// What the task has set itself.
  var activity: ActivityFacts { facts.activity ?? ActivityFacts() }

  /// Probes its thread, unless the task has ended.
  ///
  /// Nothing is allocated and no lock is taken, except the first time in the process that a thread
  /// is found in futex(2) (`LockTrial`). The thread was the task's own if the task is alive
  /// afterwards: the reference keeps any other task out of the record.
  ///
  /// - Parameter seen: the result of the probe, if it was made elsewhere.
  mutating func probe(seen: ThreadProbe? = nil) {
    probedAt = monotonicNow()
    // Another task may have come into the record before the reference was taken.
    guard let task, let now = task.facts(in: task.registry), now.id == facts.id else {
      hasEnded()
      return
    }
    facts = now
    label = now.label
    wait = nil
    // A probe that was made elsewhere came after the first, and before this one.
    if seen == nil { noted = task.notedWait(ofTask: facts.id) }
    let checks = task.cancelChecks
    cancelChecks = checks.count
    if facts.threadID == 0 {
      thread.edge = .unknown(.noThread)
      diagnosis = activity.startsAt == 0 ? .starting : .waiting
      return
    }
    if let seen {
      thread = seen
    } else {
      thread = ThreadProbe.at(threadID: facts.threadID)
      thread.findEdge(ofThread: facts.threadID)
    }
    let threadCPU = thread.cpu
    cpu = task.ownCPU(of: threadCPU)
    rest = -1
    // All that was read in between is of one sleep.
    if !ThreadProbe.hasRun(thread: facts.threadID, since: thread.runMark) {
      rest = task.resting(thread.runMark, at: monotonicNow()).map { max(0, probedAt &- $0) } ?? -1
    }
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
    wait = task.checked(noted, ofTask: facts.id, in: thread.call)
    guard let wait else { return }
    thread.edge = WaitEdge(wait, seen: thread.edge)
    if diagnosis == .blocked { diagnosis = .idle }
  }

  /// Finds out about the descriptor that its thread waits for, unless its registry forbids that (E13).
  ///
  /// Called after `probe`, with the same guarantees.
  ///
  /// - Parameters:
  ///   - place: where the face is kept; not initialised.
  ///   - budget: see `DescriptorFace`.
  mutating func findDescriptor(
    in place: UnsafeMutablePointer<DescriptorFace>, budget: inout Int
  ) {
    guard let task, facts.threadID != 0, !task.registry.options.hidesDescriptors else { return }
    let noted = wait?.kind == .descriptor ? thread.edge.descriptor : nil
    guard
      let found = DescriptorFace(
        of: thread, threadID: facts.threadID, noted: noted, budget: &budget),
      task.word.isLive
    else { return }
    place.initialize(to: found)
    face = place
  }

  private mutating func hasEnded() {
    task?.unpin()
    task = nil
    thread = ThreadProbe()
    wait = nil
    thread.edge = .unknown(.noThread)
    cpu = -1
    cpuSince = -1
    cpuSpan = 0
    rest = -1
    diagnosis = .ended
  }

  /// The name of the system call it is in; nil if it is in none, or in one without a known name.
  var syscallName: UnsafePointer<UInt8>? { thread.syscallName }

  /// How long its thread has been in the wait in which it was found, in nanoseconds, at the least;
  /// -1: not known.
  ///
  /// Linux does not tell. A wait of the library does; and a thread that has not run since somebody
  /// looked has been in this wait since then.
  var waitedAtLeast: Int64 {
    if let wait { return wait.waited(at: probedAt) }
    switch (thread.schedulerState, thread.call.place) {
    case (UInt8(ascii: "S"), .inside), (UInt8(ascii: "D"), .inside): return rest
    default: return -1
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
      if task.word.isCancelRequested {
        task.sampleCPU()
        _ = task.resting(task.runMark, at: monotonicNow())
      }
      task.unpin()
      return true
    }
  }
}
