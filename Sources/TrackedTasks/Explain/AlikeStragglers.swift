import CPlatform

/// The place of a straggler among those that are like it (Q6).
struct AlikePlace {
  /// The first straggler like it in the list, which is itself if there is none before.
  var first: Int32
  /// The next one like it; -1: none.
  var next: Int32 = -1
  /// Of the first one: the last, the oldest, and how many there are.
  var last: Int32
  var oldest: Int32
  var count: Int32 = 1
  /// Of the first one: whether some wait for other descriptors, or for other things to be signalled.
  var hasOtherDescriptors = false
  var hasOtherLocks = false
  /// Whether not all of them were spawned by one task.
  var hasOtherParents = false
  /// Of the first one that waits for the other end of its connection: how many do.
  var peers: Int32 = 0

  init(_ index: Int) {
    first = Int32(index)
    last = Int32(index)
    oldest = Int32(index)
  }
}

extension ReportReference {
  /// Finds the stragglers of which a report as text would say the same, and counts those that wait
  /// for the same other end.
  ///
  /// Called when everything else is known. Without memory each is alone.
  ///
  /// - Returns: how often two stragglers, or two other ends, were compared.
  @discardableResult
  func findAlike() -> Int {
    let count = pointer.pointee.stragglerCount
    for index in 0..<count { stragglers[index].alike = AlikePlace(index) }
    if count < 2 { return 0 }
    guard let (places, peers) = NodeTable.makeTwo(for: count) else { return 0 }
    defer { places.free() }
    var compared = 0
    for index in 0..<count {
      if stragglers[index].mayBeLikeOthers { place(index, in: places, &compared) }
      countPeer(of: index, in: peers, &compared)
    }
    return compared
  }

  /// Finds the straggler that one is like, or remembers it as the first of its kind.
  private func place(_ index: Int, in places: NodeTable, _ compared: inout Int) {
    let straggler = stragglers + index
    let first = places.find(
      straggler.pointee.likeness >> 16, orAdd: index, mostProbes: Self.mostProbes
    ) {
      compared += 1
      return straggler.pointee.isLike(stragglers + $0)
    }
    if let first { add(index, to: first) }
  }

  private func add(_ index: Int, to first: Int) {
    stragglers[index].alike.first = Int32(first)
    var all = stragglers[first].alike
    stragglers[Int(all.last)].alike.next = Int32(index)
    // The first may have been changed by that.
    all.next = stragglers[first].alike.next
    all.last = Int32(index)
    all.count += 1
    if stragglers[index].facts.spawnedAt < stragglers[Int(all.oldest)].facts.spawnedAt {
      all.oldest = Int32(index)
    }
    let (edge, firstEdge) = (stragglers[index].thread.edge, stragglers[first].thread.edge)
    if edge.address != firstEdge.address { all.hasOtherLocks = true }
    if stragglers[index].facts.parent != stragglers[first].facts.parent {
      all.hasOtherParents = true
    }
    if stragglers[index].face?.pointee.number != stragglers[first].face?.pointee.number
      || edge.descriptor != firstEdge.descriptor
    {
      all.hasOtherDescriptors = true
    }
    stragglers[first].alike = all
  }

  private func countPeer(of index: Int, in peers: NodeTable, _ compared: inout Int) {
    guard let face = stragglers[index].face, face.pointee.hasPeer else { return }
    let first = peers.find(
      face.pointee.likeness >> 16, orAdd: index, mostProbes: Self.mostProbes
    ) {
      compared += 1
      return stragglers[$0].face.map { face.pointee.isLike($0) } ?? false
    }
    stragglers[first ?? index].alike.peers += 1
  }

  /// Writes the paragraph of a straggler, and of those that are like it: of the oldest, with the
  /// names of the first few others behind it.
  func write(alikeTo first: Int, to writer: inout TextWriter) {
    let all = stragglers[first].alike
    let oldest = Int(all.oldest)
    stragglers[oldest].writeText(to: &writer) { writeWait(ofNode: oldest, to: &$0) }
    if all.count == 1 { return }
    writer.write("  and ")
    writer.write(all.count - 1)
    writer.write(all.count == 2 ? " younger task like this" : " younger tasks like this")
    if all.hasOtherDescriptors { writer.write(", for other descriptors") }
    if all.hasOtherLocks { writer.write(", to be signalled elsewhere") }
    if all.hasOtherParents { writer.write(", spawned by other tasks") }
    var named = 0
    var index = Int32(first)
    while index >= 0 {
      if Int(index) != oldest {
        writer.write(named == 0 ? ": " : ", ")
        if named == Self.mostNames { return writer.write("\u{2026}\n") }
        write(nameOfNode: Int(index), to: &writer)
        writer.write(labelOf: stragglers[Int(index)])
        named += 1
      }
      index = stragglers[Int(index)].alike.next
    }
    writer.write("\n")
  }

  /// How many names of stragglers that are alike are written.
  private static var mostNames: Int { 5 }

  /// How many places of a table are checked; one that finds none is alone.
  ///
  /// It bounds the time, whatever the stragglers are.
  private static var mostProbes: Int { 128 }
}

extension TextWriter {
  fileprivate mutating func write(labelOf straggler: StragglerFacts) {
    if straggler.label.isEmpty { return }
    write(" for \"")
    straggler.label.withText { write(text: $0) }
    write("\"")
  }
}

extension StragglerFacts {
  /// Whether others can be like it: one that reports progress is alone.
  fileprivate var mayBeLikeOthers: Bool { activity.progress.at == 0 }

  /// A number that is the same for all that are alike; made of everything that `isLike` compares,
  /// as each that has the same number without being alike is compared with all before it.
  fileprivate var likeness: UInt64 {
    var hash = Likeness()
    let edge = thread.edge
    hash.add(diagnosis.rawValue, facts.kind)
    hash.add(state.rawValue, UInt32(bitPattern: thread.failure))
    hash.add(UInt32(bitPattern: thread.syscall), edge.kind.rawValue)
    hash.add(edge.gap.rawValue, edge.isTimed ? 1 : 0)
    hash.add(UInt32(bitPattern: edge.holder), UInt32(bitPattern: edge.process))
    hash.add(edge.count, UInt32(bitPattern: holder.node))
    hash.add(edge.task)
    if edge.kind != .signal { hash.add(edge.address) }
    for word in 0..<6 where thread.waitChannel[word] != 0 { hash.add(thread.waitChannel[word]) }
    for word in 0..<16 where path.words[word] != 0 { hash.add(path.words[word]) }
    if let wait {
      hash.add(UInt32(wait.kind.rawValue), UInt32(wait.exemption.rawValue))
      if wait.kind != .descriptor { hash.add(wait.object) }
    }
    addActivity(to: &hash)
    hash.add(backtrace.rawValue, UInt32(truncatingIfNeeded: frameCount))
    for number in 0..<frameCount { hash.add(frames?[number] ?? 0) }
    hash.add(face?.pointee.likeness ?? UInt64(UInt32(bitPattern: edge.descriptor)))
    return hash.value
  }

  private func addActivity(to hash: inout Likeness) {
    let activity = self.activity
    hash.add(UInt64(UInt(bitPattern: activity.checkpoint)))
    hash.add(activity.runs)
    hash.add(activity.lastEnding, UInt32(bitPattern: activity.lastCode))
    hash.add(
      activity.phase,
      (activity.isStalled ? 1 : 0) | (activity.readsFlag ? 2 : 0)
        | (activity.drainingSince == 0 ? 0 : 4) | (facts.cancelledAt == 0 ? 0 : 8)
        | (cancelChecks == 0 ? 0 : 16))
  }

  /// Whether a report would say the same of both, but for names, ids, ages and times.
  fileprivate func isLike(_ other: UnsafePointer<StragglerFacts>) -> Bool {
    let edge = thread.edge
    let otherEdge = other.pointee.thread.edge
    guard diagnosis == other.pointee.diagnosis, facts.kind == other.pointee.facts.kind,
      activity.isUnjoined == other.pointee.activity.isUnjoined,
      facts.spawnedFrom == other.pointee.facts.spawnedFrom,
      state == other.pointee.state, thread.syscall == other.pointee.thread.syscall,
      thread.failure == other.pointee.thread.failure, edge.kind == otherEdge.kind,
      edge.gap == otherEdge.gap, edge.isTimed == otherEdge.isTimed,
      edge.holder == otherEdge.holder, edge.task == otherEdge.task,
      edge.process == otherEdge.process, edge.count == otherEdge.count,
      edge.kind == .signal || edge.address == otherEdge.address,
      holder.node == other.pointee.holder.node
    else { return false }
    for word in 0..<6
    where thread.waitChannel[word] != other.pointee.thread.waitChannel[word] { return false }
    for word in 0..<16 where path.words[word] != other.pointee.path.words[word] { return false }
    return hasSameWait(as: other) && hasSameActivity(as: other) && hasSameFrames(as: other)
      && hasSameFace(as: other)
  }

  private func hasSameWait(as other: UnsafePointer<StragglerFacts>) -> Bool {
    guard let wait, let otherWait = other.pointee.wait else {
      return wait == nil && other.pointee.wait == nil
    }
    return wait.kind == otherWait.kind && wait.exemption == otherWait.exemption
      && (wait.kind == .descriptor || wait.object == otherWait.object)
  }

  private func hasSameActivity(as other: UnsafePointer<StragglerFacts>) -> Bool {
    let (activity, otherActivity) = (self.activity, other.pointee.activity)
    return activity.phase == otherActivity.phase && activity.isStalled == otherActivity.isStalled
      && activity.readsFlag == otherActivity.readsFlag
      && (activity.drainingSince == 0) == (otherActivity.drainingSince == 0)
      && activity.checkpoint == otherActivity.checkpoint
      && activity.runs == otherActivity.runs && activity.lastEnding == otherActivity.lastEnding
      && activity.lastCode == otherActivity.lastCode
      && (facts.cancelledAt == 0) == (other.pointee.facts.cancelledAt == 0)
      && (cancelChecks == 0) == (other.pointee.cancelChecks == 0)
  }

  private func hasSameFrames(as other: UnsafePointer<StragglerFacts>) -> Bool {
    if backtrace != other.pointee.backtrace || frameCount != other.pointee.frameCount {
      return false
    }
    for number in 0..<frameCount where frames?[number] != other.pointee.frames?[number] {
      return false
    }
    return true
  }

  private func hasSameFace(as other: UnsafePointer<StragglerFacts>) -> Bool {
    guard let face, let otherFace = other.pointee.face else {
      return face == nil && other.pointee.face == nil
        && thread.edge.descriptor == other.pointee.thread.edge.descriptor
    }
    return face.pointee.isLike(otherFace)
  }
}

extension DescriptorFace {
  /// A number that is the same for all that are alike.
  fileprivate var likeness: UInt64 {
    var hash = Likeness()
    hash.add(UInt64(kind.rawValue))
    withLikeness { for byte in $0 { hash.add(UInt64(byte)) } }
    return hash.value
  }

  /// Whether it has the same other end, or the same text if it has none.
  fileprivate func isLike(_ other: UnsafePointer<DescriptorFace>) -> Bool {
    if kind != other.pointee.kind || hasPeer != other.pointee.hasPeer { return false }
    return withLikeness { own in
      other.pointee.withLikeness { theirs in
        if own.count != theirs.count { return false }
        for place in 0..<own.count where own[place] != theirs[place] { return false }
        return true
      }
    }
  }

  private func withLikeness<Result>(
    _ body: (UnsafeBufferPointer<UInt8>) -> Result
  ) -> Result {
    withText { text in
      hasPeer
        ? body(UnsafeBufferPointer(start: text + Int(peerStart), count: Int(peerLength)))
        : body(UnsafeBufferPointer(start: text, count: strlen(text)))
    }
  }
}

/// A hash in the manner of FNV-1a, by words.
private struct Likeness {
  var value: UInt64 = 0xCBF2_9CE4_8422_2325

  mutating func add(_ high: UInt32, _ low: UInt32) { add(UInt64(high) << 32 | UInt64(low)) }

  mutating func add(_ word: UInt64) {
    value = (value ^ word) &* 0x9E37_79B9_7F4A_7C15
    value ^= value >> 32
    value = value &* 0xD6E8_FEB8_6659_FD93
    value ^= value >> 29
  }
}
