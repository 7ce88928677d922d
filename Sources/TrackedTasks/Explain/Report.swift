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
  /// The second signal that cut it short (C13), 0 if none did, and how many nanoseconds after the
  /// first it came.
  var cutBy: Int32 = 0
  var cutAfter: Int64 = 0
  /// When the stragglers were probed.
  var clocks = ClockPair(monotonic: 0, wall: 0)

  var phases = InlineArray<8, PhaseFacts>(repeating: PhaseFacts())
  var phaseCount = 0
  // immutable after init
  /// Outside this struct, as workers change it while the call that makes the report changes this.
  let slowest: UnsafeMutablePointer<SlowestTasks>
  var links = ListLinks<ReportReference>()

  // The stragglers, in memory that is allocated before the first one is found.
  var stragglers: UnsafeMutablePointer<StragglerFacts>?
  var stragglerCount = 0
  var stragglerRoom = 0
  /// The return addresses of all backtraces, one after the other.
  var frames: UnsafeMutablePointer<UInt64>?
  var frameCount = 0

  init(slowest: UnsafeMutablePointer<SlowestTasks>) { self.slowest = slowest }
}

/// One phase of a shutdown (E5).
struct PhaseFacts {
  var phase: UInt32 = 0
  var asked: UInt64 = 0
  var remaining: UInt64 = 0
  /// Nanoseconds from the call.
  var start: Int64 = 0
  /// Nanoseconds; -1 is unlimited.
  var share: Int64 = 0
  /// Nanoseconds; -1 while it lasts.
  var duration: Int64 = -1
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
    if HandleCheck.isOn {
      HandleCheck.keep(.report, pointer)
    } else {
      free(pointer)
    }
    ProcessState.objectIsGone()
  }

  // MARK: Phases

  /// Starts a phase; one without tasks is not reported.
  func begin(_ phase: UInt32, asked: UInt64, at start: Int64, share: Int64) {
    if asked == 0 { return }
    pointer.pointee.phases[pointer.pointee.phaseCount] = PhaseFacts(
      phase: phase, asked: asked, start: start, share: share)
    pointer.pointee.phaseCount += 1
  }

  /// Ends the phase that was started last, unless it is another one, or has ended already.
  ///
  /// - Parameters:
  ///   - phase: its number.
  ///   - remaining: how many of its tasks are alive.
  ///   - now: nanoseconds from the call.
  func end(_ phase: UInt32, remaining: UInt64, at now: Int64) {
    let last = pointer.pointee.phaseCount - 1
    if last < 0 || pointer.pointee.phases[last].phase != phase { return }
    if pointer.pointee.phases[last].duration >= 0 { return }
    pointer.pointee.phases[last].remaining = remaining
    pointer.pointee.phases[last].duration = now &- pointer.pointee.phases[last].start
  }

  /// Ends all phases that have not ended.
  func endAll(at now: Int64, remaining: (_ phase: UInt32) -> UInt64) {
    for index in 0..<pointer.pointee.phaseCount where pointer.pointee.phases[index].duration < 0 {
      pointer.pointee.phases[index].remaining = remaining(pointer.pointee.phases[index].phase)
      pointer.pointee.phases[index].duration = now &- pointer.pointee.phases[index].start
    }
  }

  // MARK: Stragglers

  /// The list of the stragglers.
  ///
  /// Requires that there are any.
  var stragglers: UnsafeMutablePointer<StragglerFacts> {
    // SAFETY: `stragglerCount` > 0 only if there is memory for them.
    pointer.pointee.stragglers.unsafelyUnwrapped
  }

  /// Allocates memory for `count` stragglers and a few that may be spawned meanwhile; without
  /// memory, they are not listed.
  ///
  /// Requires that none was added.
  func makeRoom(for count: UInt64) {
    let wanted = min(Int(clamping: count) &+ 64, Self.mostStragglers)
    let stride = MemoryLayout<StragglerFacts>.stride
    if wanted <= pointer.pointee.stragglerRoom { return }
    free(pointer.pointee.stragglers)
    pointer.pointee.stragglers = nil
    pointer.pointee.stragglerRoom = 0
    guard let memory = malloc(wanted * stride) else { return }
    pointer.pointee.stragglers = memory.bindMemory(to: StragglerFacts.self, capacity: wanted)
    pointer.pointee.stragglerRoom = wanted
  }

  /// Adds a straggler, with a reference until it has been probed.
  ///
  /// The caller has a reference to the task.
  func add(_ facts: TaskFacts, _ task: TaskReference) {
    let index = pointer.pointee.stragglerCount
    if index == pointer.pointee.stragglerRoom { return }
    (stragglers + index).initialize(to: StragglerFacts(facts, task: task.pin() ? task : nil))
    pointer.pointee.stragglerCount = index + 1
  }

  /// Completes the report at the end of the call: stores the results, and probes the stragglers.
  ///
  /// The probes come last, as they take time.
  func complete(
    _ tally: JoinTally, in registry: RegistryReference, grace: Int64,
    occasion: ReportStorage.Occasion, withBacktraces: Bool = true
  ) {
    pointer.pointee.occasion = occasion
    pointer.pointee.tally = tally
    pointer.pointee.grace = grace
    if occasion == .shutdown, let second = registry.secondSignal {
      pointer.pointee.cutBy = second.number
      pointer.pointee.cutAfter = second.after
    }
    slowest.pointee.sort()
    let token = registry.token
    pointer.pointee.reason = token.reason
    token.withMessage { message, length in
      withUnsafeMutableBytes(of: &pointer.pointee.message) {
        // At most 255 bytes, and the last stays NUL.
        _ = memcpy($0.baseAddress.unsafelyUnwrapped, message, length)
      }
    }
    pointer.pointee.clocks = .now
    lookAtStragglers(withBacktraces: withBacktraces)
  }

  private func lookAtStragglers(withBacktraces: Bool) {
    var withoutDescriptor = 0
    for index in 0..<pointer.pointee.stragglerCount {
      stragglers[index].look()
      if stragglers[index].thread.isWithoutDescriptor { withoutDescriptor += 1 }
    }
    if withoutDescriptor > 0 { lookAgain(withoutDescriptor) }
    takeBacktraces(isWanted: withBacktraces)
  }

  /// Probes again the stragglers for which no descriptor was available, for a second at the most.
  private func lookAgain(_ count: Int) {
    var index = -1
    func next() -> Int {
      repeat { index += 1 } while !stragglers[index].thread.isWithoutDescriptor
      return index
    }
    ProbeThread.look(
      at: count, until: .after(1_000_000_000),
      slot: { _ in
        let straggler = stragglers[next()]
        return ProbeThread.Slot(threadID: straggler.facts.threadID, look: straggler.thread)
      },
      body: { number, look in
        if number == 0 { index = -1 }
        // There is a reference to each, so its thread is still its own if the task is alive
        // afterwards.
        stragglers[next()].look(seen: look)
      })
  }

  /// Takes the backtraces of those that are alive, for a second at the most.
  ///
  /// They come last: the signal may change what a thread is doing.
  private func takeBacktraces(isWanted: Bool) {
    let count = pointer.pointee.stragglerCount
    if isWanted && count > 0 && Backtrace.signal != 0 {
      let wanted = min(count * Backtrace.mostFrames, Self.mostFrames)
      let memory = malloc(wanted * MemoryLayout<UInt64>.stride)
      pointer.pointee.frames = memory?.bindMemory(to: UInt64.self, capacity: wanted)
      let end = Deadline.after(1_000_000_000)
      for index in 0..<count {
        let left = wanted - pointer.pointee.frameCount
        guard let frames = pointer.pointee.frames, left > 0, !end.hasPassed else {
          stragglers[index].backtrace = .left
          continue
        }
        let place = frames + pointer.pointee.frameCount
        let room = min(left, Backtrace.mostFrames)
        let taken = stragglers[index].takeBacktrace(in: place, room: room, until: end)
        pointer.pointee.frameCount += taken
      }
    }
    for index in 0..<count {
      stragglers[index].task?.unpin()
      stragglers[index].task = nil
    }
  }
}

extension RegistryReference {
  /// Reports on every live task (E1); `withBacktraces` takes backtraces if they are enabled,
  /// otherwise no thread is interrupted.
  func explain(withBacktraces: Bool = true) -> (Status, ReportReference?) {
    if ProcessState.isForkedChild { return (.forked, nil) }
    guard let report = ReportReference.make() else { return (.noMemory, nil) }
    report.makeRoom(for: count)
    var tally = JoinTally()
    withCancellationDisabled {
      forEachTask { task, registry in
        if let facts = task.facts(in: registry) {
          tally.pending += 1
          tally.abandoned += 1
          report.add(facts, task)
        }
        return true
      }
      report.complete(tally, in: self, grace: 0, occasion: .explain, withBacktraces: withBacktraces)
    }
    return (.ok, report)
  }
}
