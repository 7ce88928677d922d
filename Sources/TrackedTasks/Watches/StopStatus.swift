import CPlatform

/// What a stop is waiting for, in a few words: the line that systemd shows (E11).
struct StopStatus {
  /// How many tasks are waited for.
  private(set) var count = 0
  /// A checksum of the tasks and of the times at which each last reported progress.
  private(set) var digest: UInt64 = 0
  /// The same for those tasks that the previous status could include.
  private(set) var digestOfKnown: UInt64 = 0
  /// The highest id of a task.
  private(set) var lastID: UInt64 = 0

  /// How many tasks are named; the others are counted.
  private static var mostNames: Int { 5 }
  /// The room for one task, in bytes: that much is kept even of a name full of control characters.
  private static var entryRoom: Int { 720 }
  /// The room for all tasks, in bytes.
  ///
  /// systemd accepts datagrams of up to 4096 bytes.
  static var room: Int { mostNames * (entryRoom + 8) + 128 }

  /// The status before any check.
  init() {}

  /// Whether a task has ended or reported progress since `before`.
  ///
  /// A task that was spawned since does not count as progress. The result does not depend on which
  /// clock was read first.
  func moves(since before: StopStatus) -> Bool { digestOfKnown != before.digest }

  /// Appends "waiting for 3 tasks: net/peer, journal (flushing; 30 of 100 blocks), …" to `line`.
  ///
  /// - Parameters:
  ///   - registry: what is stopping.
  ///   - before: the previous status.
  ///   - line: where to append.
  ///   - buffer: `room` bytes for the use of this function.
  init(
    of registry: RegistryReference, after before: StopStatus, in line: inout FixedText,
    with buffer: UnsafeMutableBufferPointer<UInt8>
  ) {
    var names = FixedText(in: buffer)
    var listed = 0
    // Tasks that are not waited for: of threads that shut down (A4), and unjoined ones (S9).
    var exempt = 0
    registry.forEachTask { task, registry in
      guard let facts = task.facts(in: registry) else { return true }
      if facts.activity?.joinsOthers == true || !facts.isJoinable {
        exempt += 1
        return true
      }
      let progress = UInt64(bitPattern: facts.activity?.progress.at ?? 0)
      // Knuth's multiplier spreads the ids, so that two tasks do not cancel each other out.
      let term = (facts.id &* 0x9E37_79B9_7F4A_7C15) ^ progress
      digest = digest &+ term
      if facts.id <= before.lastID { digestOfKnown = digestOfKnown &+ term }
      lastID = max(lastID, facts.id)
      if listed < Self.mostNames {
        names.append(facts, task.checkedWait(ofTask: facts.id), isFirst: listed == 0)
      }
      listed += 1
      return true
    }
    if listed > Self.mostNames {
      names.append(", and ")
      names.append(listed - Self.mostNames)
      names.append(" more")
    }
    // A task that is just being spawned, or has just ended, is counted but not listed.
    if listed == 0 { listed = max(0, Int(registry.count) - exempt) }
    count = listed
    lastID = max(lastID, before.lastID)
    if count == 0 {
      line.append("no task is left")
    } else {
      line.append("waiting for ")
      line.append(count)
      line.append(count == 1 ? " task" : " tasks")
      if names.text[0] != 0 { line.append(": ") }
      line.append(utf8: names.text)
    }
  }
}

extension FixedText {
  /// Appends the description of one task.
  fileprivate mutating func append(_ facts: TaskFacts, _ wait: WaitFacts?, isFirst: Bool) {
    if !isFirst { append(", ") }
    // `entryRoom` as a literal: an allocation of a computed size would come from the heap.
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 720) { buffer in
      var entry = FixedText(in: buffer)
      let path = facts.registry.pointer.pointee.path
      if !path.isEmpty {
        path.withText { entry.append(escaped: $0) }
        entry.append("/")
      }
      facts.name.withText { entry.append(escaped: $0) }
      let label = facts.label
      if !label.isEmpty {
        entry.append(" for ")
        label.withText { entry.append(escaped: $0) }
      }
      if let wait {
        entry.append(", ")
        entry.append(untimed: wait)
      }
      if let activity = facts.activity { entry.append(activity) }
      append(utf8: entry.text)
      if entry.isCut { append("...") }
    }
  }

  /// Appends what a task has set itself: " (flushing; 30 of 100 blocks)", or nothing.
  private mutating func append(_ activity: ActivityFacts) {
    let hasProgress = activity.progress.at != 0
    if activity.checkpoint == nil && !hasProgress { return }
    append(" (")
    if let checkpoint = activity.checkpoint {
      append(escaped: checkpoint)
      if hasProgress { append("; ") }
    }
    if hasProgress {
      append(activity.progress.done)
      if activity.progress.total != 0 {
        append(" of ")
        append(activity.progress.total)
      }
      if let unit = activity.progress.unit {
        append(" ")
        append(escaped: unit)
      }
    }
    append(")")
  }

  /// Appends text with control characters as `\\xHH`, so that it cannot start a new line, and with
  /// U+FFFD for what is not UTF-8, like `TextWriter.write(text:)`.
  ///
  /// - Parameters:
  ///   - text: NUL-terminated.
  ///   - limit: how many bytes are read at the most.
  mutating func append(escaped text: UnsafePointer<UInt8>, limit: Int = 255) {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 5) { character in
      // SAFETY: room for five bytes has a base address.
      let base = character.baseAddress.unsafelyUnwrapped
      var place = 0
      while text[place] != 0 && place < limit && !isCut {
        let length = UTF8Text.characterLength(at: text + place)
        if place + length > limit { return }
        let code = length == 2 && text[place] == 0xC2 ? text[place + 1] : text[place]
        if length == 0 {
          append("\u{FFFD}")
        } else if length <= 2 && (code < 0x20 || (code >= 0x7F && code < 0xA0)) {
          // C0, DEL, and C1, which takes two bytes.
          append("\\x")
          memcpy(base, Self.hexadecimal(code >> 4), 1)
          memcpy(base + 1, Self.hexadecimal(code & 15), 1)
          base[2] = 0
          append(utf8: UnsafePointer(base))
        } else {
          memcpy(base, text + place, length)
          base[length] = 0
          append(utf8: UnsafePointer(base))
        }
        place += max(1, length)
      }
    }
  }

  private static func hexadecimal(_ digit: UInt8) -> UnsafePointer<UInt8> {
    let digits: StaticString = "0123456789abcdef"
    return digits.utf8Start + Int(digit)
  }
}
