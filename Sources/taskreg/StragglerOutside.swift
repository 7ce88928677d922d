import CPlatform

/// What is asked again of a task of the target once it has been examined; the core has the same for
/// its own tasks.
extension StragglerFacts {
  var isRunning: Bool { Examination.found(self)?.isStillThere ?? false }

  func isStillWaiting(_ call: SystemCall) -> Bool {
    guard var noted = wait, let found = Examination.found(self) else { return false }
    noted.exemption = .none
    return noted.fits(call) && found.note == noted
  }

  func forEachRegistry(_ body: (UInt64) -> Void) {
    guard let found = Examination.found(self) else { return }
    var place = found.task.registry
    while place >= 0 {
      body(found.snapshot.registries[place].address)
      place = found.snapshot.registries[place].parent
    }
  }

  /// Examines the thread of the task, as `probe` does in the process.
  mutating func probe(_ found: ExaminedTask) {
    probedAt = found.snapshot.target.clocks.monotonic
    let noted = found.note
    let root = found.snapshot.root
    let checks = CancelChecks(bits: root.half(at: found.task.record &+ root[.cancelChecks]) ?? 0)
    cancelChecks = checks.count
    if facts.threadID == 0 {
      thread.edge = .unknown(.noThread)
      diagnosis = .starting
      return
    }
    thread = ThreadProbe.at(threadID: facts.threadID)
    thread.findEdge(ofThread: facts.threadID)
    measure(found, checks)
    if !found.isStillThere {
      self = StragglerFacts(facts, path, label)
      thread.edge = .unknown(.noThread)
      diagnosis = .ended
      return
    }
    // In how much time it used the CPU time of a core file is not known.
    let isTimed = !ProbedProcess.isDead
    diagnosis = Self.diagnose(
      scheduler: thread.schedulerState, progressAge: isTimed ? progressAge : -1,
      cpu: isTimed ? cpu : -1, age: age, cpuSince: isTimed ? cpuSince : -1, span: cpuSpan)
    guard var known = noted, known.fits(thread.call), found.note == noted else { return }
    known.exemption = exemption
    wait = known
    thread.edge = WaitEdge(known, seen: thread.edge)
    if diagnosis == .blocked { diagnosis = .idle }
  }

  /// Finds out about the CPU time of its thread.
  private mutating func measure(_ found: ExaminedTask, _ checks: CancelChecks) {
    let root = found.snapshot.root
    guard thread.cpu >= 0, let worker = root.word(at: found.task.record &+ root[.worker]) else {
      return
    }
    func signed(_ address: UInt64) -> Int64 { Int64(bitPattern: root.word(at: address) ?? .max) }
    let base = signed(worker &+ root[.cpuBase])
    if base >= 0 { cpu = max(0, thread.cpu &- base) }
    if thread.runMark >= 0, signed(worker &+ root[.restMark]) == thread.runMark {
      rest = max(0, probedAt &- signed(worker &+ root[.restSince]))
    }
    if !checks.isSampled { return }
    cpuSince = max(0, thread.cpu &- signed(found.task.activity &+ root[.sampledCPU]))
    cpuSpan = max(0, probedAt &- signed(found.task.activity &+ root[.sampledAt]))
  }

  private var exemption: WaitFacts.Exemption {
    guard facts.word.isCancelRequested, facts.word.hasOptionalState,
      let found = Examination.found(self)
    else { return .none }
    let root = found.snapshot.root
    let traits = TaskTraits(
      rawValue: root.half(at: found.task.record &+ root[.traits]) ?? 0)
    if traits.contains(.shielded) { return .shielded }
    return traits.contains(.draining) && facts.word.level != .abort ? .draining : .none
  }
}

/// A task of a snapshot that is examined.
struct ExaminedTask {
  let snapshot: Snapshot
  let task: ListedTask

  /// Whether the task lives.
  var isStillThere: Bool {
    ActivityReader(snapshot.root, record: task.record, id: task.facts.id, runClock: 0).isStillThere
  }

  /// What its thread has noted that it waits for; nil: nothing, or it has ended.
  var note: WaitFacts? {
    let root = snapshot.root
    guard let worker = root.word(at: task.record &+ root[.worker]), worker != 0,
      let word = root.word(at: worker &+ root[.waitWord]), word != 0,
      let until = root.word(at: worker &+ root[.waitUntil]),
      let object = root.word(at: worker &+ root[.waitObject]),
      root.word(at: worker &+ root[.waitWord]) == word, isStillThere
    else { return nil }
    return WaitNote.facts(word, Int64(bitPattern: until), object)
  }
}
