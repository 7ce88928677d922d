import CPlatform

/// The stragglers of a report, and their probes.
extension ReportReference {
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
    let size = wanted * MemoryLayout<StragglerFacts>.stride
    if wanted <= pointer.pointee.stragglerRoom { return }
    free(pointer.pointee.stragglers)
    pointer.pointee.stragglers = nil
    pointer.pointee.stragglerRoom = 0
    guard let memory = malloc(size + wanted * MemoryLayout<DescriptorFace>.stride) else { return }
    pointer.pointee.stragglers = memory.bindMemory(to: StragglerFacts.self, capacity: wanted)
    pointer.pointee.faces = (memory + size).bindMemory(to: DescriptorFace.self, capacity: wanted)
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
  /// The probes come last, as they take time. No callback is called; `logCircles` follows.
  func complete(
    _ tally: JoinTally, in registry: RegistryReference, grace: Int64,
    occasion: ReportStorage.Occasion, _ wanted: ReportParts
  ) {
    pointer.pointee.occasion = occasion
    pointer.pointee.tally = tally
    pointer.pointee.grace = grace
    if occasion == .shutdown, let second = registry.secondSignal {
      pointer.pointee.cutBy = second.number
      pointer.pointee.cutAfter = second.after
      pointer.pointee.cutAfterSignal = second.of
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
    if occasion != .explain && tally.unjoined > 0 { addUnjoined(of: registry) }
    pointer.pointee.clocks = .now
    probeStragglers(wanted)
  }

  /// Adds the unjoined tasks that are alive behind the stragglers (S9).
  private func addUnjoined(of registry: RegistryReference) {
    if pointer.pointee.stragglerCount == 0 { makeRoom(for: registry.unjoinedCount) }
    var found: UInt64 = 0
    registry.forEachTask { task, registry in
      if let facts = task.facts(in: registry), !facts.isJoinable {
        add(facts, task)
        found += 1
      }
      return true
    }
    pointer.pointee.tally.unjoined = found
  }

  private func probeStragglers(_ wanted: ReportParts) {
    var withoutDescriptor = 0
    var budget = DescriptorFace.budget
    for index in 0..<pointer.pointee.stragglerCount {
      stragglers[index].probe()
      if wanted.descriptors { findDescriptor(of: index, &budget) }
      if stragglers[index].thread.isWithoutDescriptor { withoutDescriptor += 1 }
    }
    if withoutDescriptor > 0 { probeElsewhere(withoutDescriptor) }
    findHolders(withThreads: wanted.threads)
    takeBacktraces(isWanted: wanted.backtraces)
    findAlike()
  }

  private func findDescriptor(of index: Int, _ budget: inout Int) {
    guard let faces = pointer.pointee.faces else { return }
    stragglers[index].findDescriptor(in: faces + index, budget: &budget)
  }

  /// Probes again the stragglers for which no descriptor was available, for a second at the most.
  private func probeElsewhere(_ count: Int) {
    var index = -1
    func next() -> Int {
      repeat { index += 1 } while !stragglers[index].thread.isWithoutDescriptor
      return index
    }
    ProbeThread.probe(
      count, until: .after(1_000_000_000),
      slot: { _ in
        let straggler = stragglers[next()]
        return ProbeThread.Slot(threadID: straggler.facts.threadID, probe: straggler.thread)
      },
      body: { number, probe in
        if number == 0 { index = -1 }
        // There is a reference to each, so its thread is still its own if the task is alive
        // afterwards.
        stragglers[next()].probe(seen: probe)
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
