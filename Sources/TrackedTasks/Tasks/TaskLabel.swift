import CPlatform
import Synchronization

/// The label of a task: whom or what it is working for right now, in up to 127 bytes (E14).
///
/// Unlike a checkpoint, which is one of a few texts of the program's, it is different each time: a
/// URL, a peer, a key. So it is copied into the task's activity, and no text is kept for good.
struct TaskLabel {
  /// NUL-terminated; as the application gave it, which need not be UTF-8.
  private(set) var words = InlineArray<16, UInt64>(repeating: 0)

  /// Bytes that are kept.
  static var longest: Int { 127 }

  var isEmpty: Bool { words[0] == 0 }

  init() {}

  /// The beginning of a text; nothing of a character that does not fit.
  init(_ text: UnsafePointer<UInt8>) {
    var length = strnlen(text, Self.longest + 1)
    if length > Self.longest {
      length = Self.longest
      // At most three bytes go on with a character that began before.
      var start = length
      while start > length - 3 && text[start] & 0xC0 == 0x80 { start -= 1 }
      if text[start] >= 0xC0 || start == length { length = start }
    }
    withUnsafeMutableBytes(of: &words) { bytes in
      _ = memcpy(bytes.baseAddress.unsafelyUnwrapped, text, length)
    }
  }

  /// The words of a slot, whichever they are.
  fileprivate init(_ slot: borrowing AtomicText<16>) {
    for index in 0..<16 { words[index] = slot[index] }
  }

  /// Passes the text to `body`, NUL-terminated.
  func withText<Result>(_ body: (UnsafePointer<UInt8>) -> Result) -> Result {
    withUnsafeBytes(of: words) { bytes in
      // SAFETY: never empty, and the last byte is NUL.
      body(bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self))
    }
  }
}

/// The place of a label in the activity of a task; what is there is valid if its traits say
/// `labelled`.
///
/// It is written as progress is: the last label is in the slot of the count's lowest bit, and the
/// next one is put into the other slot before the count is released. A reader that finds the same
/// count afterwards has read one label, and never waits for a task that stopped in the middle.
struct LabelPlace: ~Copyable {
  // atomic: how many labels were set. Released by the task's own thread after the slot is written.
  private let count: Atomic<UInt64>
  private let even: AtomicText<16>
  private let odd: AtomicText<16>

  /// Where in a place these are (`ReaderTable`).
  static func places(
    in place: borrowing LabelPlace
  ) -> (count: UInt, even: UInt, odd: UInt) {
    let base = addressOf(place)
    return (
      addressOf(place.count) &- base, addressOf(place.even) &- base, addressOf(place.odd) &- base
    )
  }

  /// Empties it; called by the task's own thread before the trait is set.
  func clear() {
    count.store(0, ordering: .relaxed)
    for index in 0..<16 { even.store(0, at: index) }
  }

  /// Stores a label; called by the task's own thread.
  func store(_ label: TaskLabel) {
    let count = self.count.load(ordering: .relaxed) &+ 1
    // A reader that sees a word of this label also sees that its first count is not the last.
    atomicMemoryFence(ordering: .releasing)
    for index in 0..<16 {
      if count & 1 == 0 {
        even.store(label.words[index], at: index)
      } else {
        odd.store(label.words[index], at: index)
      }
    }
    self.count.store(count, ordering: .releasing)
  }

  /// The label that was stored last.
  var label: TaskLabel {
    var count = self.count.load(ordering: .acquiring)
    while true {
      let label = count & 1 == 0 ? TaskLabel(even) : TaskLabel(odd)
      atomicMemoryFence(ordering: .acquiring)
      let countAfter = self.count.load(ordering: .relaxed)
      if countAfter == count { return label }
      count = countAfter
    }
  }
}

extension TaskReference {
  /// The label that task `id`, which was in this record, has now; empty if it has ended.
  ///
  /// Needs no reference, only the registry's memory; see LOCKING in `TaskRecord.swift`. What is
  /// read of a later task is discarded, because its id was stored before.
  func label(ofTask id: UInt64) -> TaskLabel {
    let label = activity.pointee.label.label
    atomicMemoryFence(ordering: .acquiring)
    return pointer.pointee.id.load(ordering: .relaxed) == id && word.isLive ? label : TaskLabel()
  }
}

extension TaskFacts {
  /// The label that the task has now; empty if it has none, or has ended.
  ///
  /// Valid as long as the visit, like `registry`.
  var label: TaskLabel {
    guard let activity, activity.isLabelled, let record = activity.record else {
      return TaskLabel()
    }
    return record.label(ofTask: id)
  }
}

/// Sets the label of the calling task (E14).
///
/// - Parameter text: is copied; nil is none.
/// - Returns: `.ok`; `.invalid` outside a task.
func setLabel(_ text: UnsafePointer<UInt8>?) -> Status {
  guard let task = Worker.currentTask else {
    return .invalid("tr_label", "the caller is not a task")
  }
  let place = task.activity
  let isLabelled = task.word.hasOptionalState && task.traits.contains(.labelled)
  if !isLabelled { place.pointee.label.clear() }
  place.pointee.label.store(text.map { TaskLabel($0) } ?? TaskLabel())
  if isLabelled { return .ok }
  task.add(.labelled)
  task.advance { $0.optionalStateAdded() }
  return .ok
}
