import CPlatform

/// The complete report of a join, a shutdown or an explain (E1, E10), in memory of its own.
///
/// It belongs to the call that makes it, and then to the caller. While that call waits, workers
/// record the slowest tasks in `slowest`, under the registry's Monitor (`SlowestTasks.swift`).
struct ReportStorage: ~Copyable {
  /// Which call made it.
  enum Occasion: UInt32 {
    case join = 0
    case shutdown = 1
    /// Nothing was waited for.
    case explain = 2
  }

  var occasion = Occasion.join
  var tally = JoinTally()
  /// Why the registry's token was cancelled; 0 if it was not.
  var reason: UInt32 = 0
  /// Its message: UTF-8 and a NUL.
  var message = InlineArray<32, UInt64>(repeating: 0)
  /// Nanoseconds; negative never times out.
  var grace: Int64 = 0
  /// The second signal that cut it short (C13), 0 if none did, how many nanoseconds after the first
  /// it came, and which that was.
  var cutBy: Int32 = 0
  var cutAfter: Int64 = 0
  var cutAfterSignal: Int32 = 0
  /// When the stragglers were probed.
  var clocks = ClockPair(monotonic: 0, wall: 0)

  var phases = InlineArray<8, PhaseFacts>(repeating: PhaseFacts())
  var phaseCount = 0
  /// The phase that was started last, which is listed only if there is something to say about it.
  var currentPhase = PhaseFacts()
  /// The tasks of phase 0 that had ended when the call came, but not when the token was cancelled.
  var endedBefore: UInt64 = 0
  // immutable after init
  /// Outside this struct, as workers change it while the call that makes the report changes this.
  let slowest: UnsafeMutablePointer<SlowestTasks>
  var links = ListLinks<ReportReference>()

  // The stragglers, in memory that is allocated before the first one is found.
  var stragglers: UnsafeMutablePointer<StragglerFacts>?
  var stragglerCount = 0
  var stragglerRoom = 0
  /// Behind the stragglers, one for each: initialised for those that wait for a descriptor.
  var faces: UnsafeMutablePointer<DescriptorFace>?
  /// The return addresses of all backtraces, one after the other.
  var frames: UnsafeMutablePointer<UInt64>?
  var frameCount = 0
  /// Threads that are not the stragglers', and who holds up whom.
  var graph = WaitGraph()

  init(slowest: UnsafeMutablePointer<SlowestTasks>) { self.slowest = slowest }
}

/// What a report has apart from what all have.
struct ReportParts {
  /// Backtraces, if they are enabled; otherwise no thread is interrupted.
  var backtraces = true
  /// What the descriptors are that tasks wait for (E13).
  var descriptors = true
  /// The threads of the process that run none of its tasks (Q7).
  var threads = false
}

/// A pointer to a report.
struct ReportReference: Equatable {
  let pointer: UnsafeMutablePointer<ReportStorage>

  init(_ pointer: UnsafeMutablePointer<ReportStorage>) { self.pointer = pointer }
  init(_ handle: OpaquePointer) { pointer = UnsafeMutablePointer(handle) }

  var opaque: OpaquePointer { OpaquePointer(pointer) }

  /// How many stragglers are listed at the most.
  static var mostStragglers: Int { 65_536 }
  /// How many return addresses are kept at the most, of all backtraces together.
  static var mostFrames: Int { 16_384 }

  /// An empty report; nil without memory.
  static func make() -> ReportReference? {
    let size = MemoryLayout<ReportStorage>.stride
    guard let memory = malloc(size + MemoryLayout<SlowestTasks>.size) else { return nil }
    let slowest = (memory + size).bindMemory(to: SlowestTasks.self, capacity: 1)
    slowest.initialize(to: SlowestTasks())
    let pointer = memory.bindMemory(to: ReportStorage.self, capacity: 1)
    pointer.initialize(to: ReportStorage(slowest: slowest))
    ProcessState.objectIsMade()
    return ReportReference(pointer)
  }

  var slowest: UnsafeMutablePointer<SlowestTasks> { pointer.pointee.slowest }

  /// Frees it.
  func destroy() {
    for index in 0..<pointer.pointee.stragglerCount { stragglers[index].task?.unpin() }
    free(pointer.pointee.stragglers)
    free(pointer.pointee.frames)
    free(pointer.pointee.graph.others)
    if HandleCheck.isOn {
      HandleCheck.keep(.report, pointer)
    } else {
      free(pointer)
    }
    ProcessState.objectIsGone()
  }
}

extension RegistryReference {
  /// Reports on every live task (E1).
  ///
  /// - Parameter wanted: what it has; threads also if the registry's options say so.
  /// - Returns: `.ok` and the report; `.noMemory`; `.forked`.
  func explain(_ wanted: ReportParts = ReportParts()) -> (Status, ReportReference?) {
    if ProcessState.isForkedChild { return (.forked, nil) }
    guard let report = ReportReference.make() else { return (.noMemory, nil) }
    var waiting = WaitingReport(report, in: self)
    return withUnsafeMutablePointer(to: &waiting) { waiting in
      CallFrame.measuringCallbacks(waiting, ifLeft: { WaitingReport.giveUp($0) }) {
        describeTasks(in: report, wanted)
        report.logCircles(of: self)
        return ProcessState.isForkedChild ? (.forked, nil) : (.ok, report)
      }
    }
  }

  private func describeTasks(in report: ReportReference, _ wanted: ReportParts) {
    report.makeRoom(for: count)
    var tally = JoinTally()
    forEachTask { task, registry in
      if let facts = task.facts(in: registry) {
        tally.pending += 1
        tally.abandoned += 1
        if !facts.isJoinable { tally.unjoined += 1 }
        report.add(facts, task)
      }
      return true
    }
    var wanted = wanted
    if options.reportsThreads { wanted.threads = true }
    report.complete(tally, in: self, grace: 0, occasion: .explain, wanted)
  }
}
