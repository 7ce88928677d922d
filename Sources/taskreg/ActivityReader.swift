import CPlatform

/// Reads what a task of a target has reported: checkpoint, progress, heartbeats, label.
struct ActivityReader {
  private let root: ReaderRoot
  private let record: UInt64
  private let id: UInt64
  private let runClock: Int64

  /// - Parameters:
  ///   - root: for reading.
  ///   - record: the address of the task's record.
  ///   - id: the task's.
  ///   - runClock: the time on the target's `RunClock`.
  init(_ root: ReaderRoot, record: UInt64, id: UInt64, runClock: Int64) {
    self.root = root
    self.record = record
    self.id = id
    self.runClock = runClock
  }

  /// Whether the record still has the task, and the task lives.
  var isStillThere: Bool {
    guard let words = root.read(places) else { return false }
    return isThere(words[0], words[1])
  }

  /// Where the record says that: its word, then its id.
  private var places: [(address: UInt64, count: UInt64)] {
    [(record &+ root[.taskWord], 1), (record &+ root[.taskID], 1)]
  }

  private func isThere(_ word: UInt64, _ id: UInt64) -> Bool {
    id == self.id && TaskWord(bits: word).isLive
  }

  /// How often an activity that changes while it is copied is copied again.
  private static var mostTries: Int { 100 }

  /// Reads an activity.
  ///
  /// - Parameters:
  ///   - activity: its address.
  ///   - traits: which parts of it are valid.
  ///   - label: is replaced if the task has one.
  /// - Returns: the facts; of a task that has ended meanwhile only what its traits say.
  func read(_ activity: UInt64, _ traits: TaskTraits, _ label: inout TaskLabel) -> ActivityFacts {
    var facts = ActivityFacts(phase: traits.phase, readsFlag: traits.contains(.readsFlag))
    facts.joinsOthers = traits.contains(.joinsOthers)
    facts.isUnjoined = traits.contains(.unjoined)
    for number in 1...Self.mostTries {
      guard let copies = ActivityCopies(root, of: activity, followedBy: places),
        // What was copied is the next task's otherwise.
        isThere(copies.follower(0), copies.follower(1))
      else { return facts }
      let isLast = number == Self.mostTries
      guard let full = read(copies, traits, facts, isLast: isLast) else { continue }
      // Its texts were read after that.
      if full.checkpoint != nil || full.progress.unit != nil, !isStillThere { return facts }
      if full.isLabelled { label = copies.label }
      return full
    }
    return facts
  }

  /// Reads copies; nil if progress or label were changed while they were made, unless it is the last try, which does without
  /// them.
  private func read(
    _ copies: ActivityCopies, _ traits: TaskTraits, _ known: ActivityFacts, isLast: Bool
  ) -> ActivityFacts? {
    var full = known
    if traits.contains(.draining) { full.drainingSince = copies.signed(.drainingSince) }
    if traits.contains(.labelled) {
      full.isLabelled = copies.isSteady(.labelCount)
      if !full.isLabelled && !isLast { return nil }
    }
    if traits.contains(.startsAgain) {
      full.runs = copies.word(.runCount)
      full.startsAt = copies.signed(.startsAt)
      full.lastEnding = copies.half(.lastEnding)
      if full.lastEnding == UInt32(TaskWord.Ending.failed.rawValue) {
        full.lastCode = Int32(bitPattern: copies.half(.lastCode))
      }
    }
    if traits.contains(.activity) {
      if copies.isSteady(.progressCount) {
        let slot = root[copies.word(.progressCount) & 1 == 0 ? .evenProgress : .oddProgress]
        full.progress = Progress(
          done: copies.word(.progressDone, in: slot), total: copies.word(.progressTotal, in: slot),
          unit: root.text(at: copies.word(.progressUnit, in: slot)),
          at: Int64(bitPattern: copies.word(.progressAt, in: slot)))
      } else if !isLast {
        return nil
      }
      full.checkpoint = root.text(at: copies.word(.checkpoint))
      if traits.contains(.heartbeat) {
        let overdue = HeartbeatState.overdue(
          copies.signed(.heartbeatInterval), copies.signed(.heartbeatAt))
        full.isStalled = overdue <= runClock
      }
    }
    return full
  }
}

/// Three copies of an activity, one made after the other.
///
/// What has two slots and a number that says which is valid, and which is changed after the slot, is
/// valid in the second copy if the first and the third have the same number. Each number on its own is
/// read in the second copy.
private struct ActivityCopies {
  private let root: ReaderRoot
  private let words: [UInt64]
  /// How many words an activity has.
  private let count: Int
  /// The words that were read after the copies.
  func follower(_ number: Int) -> UInt64 { words[3 * count + number] }

  /// A word of the activity, or of a part of it.
  func word(_ field: ReaderWord, in part: UInt64 = 0) -> UInt64 { word(1, part &+ root[field]) }

  func half(_ field: ReaderWord) -> UInt32 {
    words.withUnsafeBytes {
      $0.loadUnaligned(fromByteOffset: count * 8 + Int(root[field]), as: UInt32.self)
    }
  }

  func signed(_ field: ReaderWord) -> Int64 { Int64(bitPattern: word(field)) }

  /// Whether a number did not change while the second copy was made.
  func isSteady(_ field: ReaderWord) -> Bool { word(0, root[field]) == word(2, root[field]) }

  /// The label; see `LabelPlace`.
  var label: TaskLabel {
    let slot = root[word(.labelCount) & 1 == 0 ? .evenLabel : .oddLabel]
    var text: [UInt64] = []
    for place in 0..<root[.labelSize] / 8 { text.append(word(1, slot &+ place * 8)) }
    text.append(0)  // which ends it, whatever it is
    return text.withUnsafeBytes { bytes in
      bytes.baseAddress.map { TaskLabel($0.assumingMemoryBound(to: UInt8.self)) } ?? TaskLabel()
    }
  }

  private func word(_ copy: Int, _ offset: UInt64) -> UInt64 {
    words.withUnsafeBytes {
      $0.loadUnaligned(fromByteOffset: copy * count * 8 + Int(offset), as: UInt64.self)
    }
  }

  init?(
    _ root: ReaderRoot, of activity: UInt64,
    followedBy places: [(address: UInt64, count: UInt64)]
  ) {
    let size = root[.activitySize] / 8
    guard
      let words = root.read(
        [(activity, size), (activity, size), (activity, size)] + places)
    else { return nil }
    self.root = root
    self.words = words
    count = Int(size)
  }
}
