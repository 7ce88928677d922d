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
    guard let word = root.word(at: record &+ root[.taskWord]),
      root.word(at: record &+ root[.taskID]) == id
    else { return false }
    return TaskWord(bits: word).isLive
  }

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
    var full = facts
    if traits.contains(.draining) {
      full.drainingSince = signed(activity, .drainingSince)
    }
    var text = TaskLabel()
    if traits.contains(.labelled) {
      full.isLabelled = true
      text = readLabel(activity)
    }
    if traits.contains(.startsAgain) {
      full.runs = root.word(at: activity &+ root[.runCount]) ?? 0
      full.startsAt = signed(activity, .startsAt)
      full.lastEnding = UInt32(truncatingIfNeeded: signed(activity, .lastEnding))
      if full.lastEnding == UInt32(TaskWord.Ending.failed.rawValue) {
        full.lastCode = Int32(truncatingIfNeeded: signed(activity, .lastCode))
      }
    }
    if traits.contains(.activity) {
      full.checkpoint = root.word(at: activity &+ root[.checkpoint]).flatMap { root.text(at: $0) }
      full.progress = readProgress(activity)
      if traits.contains(.heartbeat) {
        let overdue = HeartbeatState.overdue(
          signed(activity, .heartbeatInterval), signed(activity, .heartbeatAt))
        full.isStalled = overdue <= runClock
      }
    }
    // What was read may be of the next task otherwise.
    if !isStillThere { return facts }
    label = text
    return full
  }

  private func signed(_ activity: UInt64, _ word: ReaderWord) -> Int64 {
    Int64(bitPattern: root.word(at: activity &+ root[word]) ?? 0)
  }

  /// The last progress; see `TaskActivity.progressCount`.
  private func readProgress(_ activity: UInt64) -> Progress {
    for _ in 0..<100 {
      guard let count = root.word(at: activity &+ root[.progressCount]) else { break }
      let slot = activity &+ root[count & 1 == 0 ? .evenProgress : .oddProgress]
      guard let done = root.word(at: slot &+ root[.progressDone]),
        let total = root.word(at: slot &+ root[.progressTotal]),
        let unit = root.word(at: slot &+ root[.progressUnit]),
        let at = root.word(at: slot &+ root[.progressAt])
      else { break }
      if root.word(at: activity &+ root[.progressCount]) != count { continue }
      return Progress(
        done: done, total: total, unit: root.text(at: unit), at: Int64(bitPattern: at))
    }
    return Progress()
  }

  /// The last label; see `LabelPlace`.
  private func readLabel(_ activity: UInt64) -> TaskLabel {
    for _ in 0..<100 {
      guard let count = root.word(at: activity &+ root[.labelCount]),
        var words = root.read(
          activity &+ root[count & 1 == 0 ? .evenLabel : .oddLabel], root[.labelSize] / 8)
      else { break }
      if root.word(at: activity &+ root[.labelCount]) != count { continue }
      words.append(0)  // which ends it, whatever it is
      return words.withUnsafeBytes { bytes in
        bytes.baseAddress.map { TaskLabel($0.assumingMemoryBound(to: UInt8.self)) } ?? TaskLabel()
      }
    }
    return TaskLabel()
  }
}
