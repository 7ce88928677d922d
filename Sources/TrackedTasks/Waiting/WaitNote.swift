import CPlatform
import Synchronization

/// What a worker's thread waits for in a wait of the library, for other threads to read (E15).
///
/// Linux shows a task in `tr_cond_wait` and one that waits for a lock which is never released in the
/// same way: blocked in futex. The note tells them apart. It is written just before the thread goes
/// to sleep, and withdrawn when it has woken. A wait that need not block writes nothing, but for
/// one for a descriptor: only the call in which it would sleep says whether that is ready.
///
/// A note alone does not say that the thread sleeps: that is `checkedWait`.
///
/// A wait whose thread is gone leaves no note: waits cannot be left by cancellation or exit.
struct WaitNote: ~Copyable {
  // atomic: the kind in the highest byte, and below it since when, in nanoseconds on
  // `CLOCK_MONOTONIC`; 0: the thread is in no wait. Released after the other two.
  private let word = Atomic<UInt64>(0)
  // atomic: relaxed; until when, on the same clock; `.max`: until something ends it.
  private let until = Atomic<Int64>(0)
  // atomic: relaxed; which one it waits for: a descriptor, or how many, the id of a task, the
  // address of a registry, which is not followed; 0 for other kinds.
  private let object = Atomic<UInt64>(0)

  /// What is waited for; the numbers are those of `TR_LIBRARY_WAIT_…`.
  enum Kind: UInt8 {
    /// Nothing in particular, or for so short a time that it does not matter.
    case none = 0
    case time = 1
    case cancel = 2
    case descriptor = 3
    case condition = 4
    case task = 5
    case tasks = 6
    case token = 7
    case room = 8
    case descriptors = 9

    /// Where the task is, as reports say it; `time` has words of its own, and the id of the task
    /// comes behind that of `task`.
    var text: StaticString {
      switch self {
      case .none: "a wait"
      case .time: "tr_sleep"
      case .cancel: "tr_wait_cancelled"
      case .descriptor: "tr_wait_fd"
      case .condition: "tr_cond_wait"
      case .task: "a wait for task #"
      case .tasks: "a wait for all tasks of a registry"
      case .token: "a wait for a token"
      case .room: "a wait for room"
      case .descriptors: "tr_wait_fds"
      }
    }

    /// Its name in JSON.
    var name: StaticString {
      switch self {
      case .none: "none"
      case .time: "time"
      case .cancel: "cancel"
      case .descriptor: "descriptor"
      case .condition: "condition"
      case .task: "task"
      case .tasks: "tasks"
      case .token: "token"
      case .room: "room"
      case .descriptors: "descriptors"
      }
    }
  }

  private static var timeMask: UInt64 { 1 << 56 - 1 }

  /// Where in a note these are (`ReaderTable`).
  static func places(in note: borrowing WaitNote) -> (word: UInt, until: UInt, object: UInt) {
    let base = addressOf(note)
    return (
      addressOf(note.word) &- base, addressOf(note.until) &- base, addressOf(note.object) &- base
    )
  }

  fileprivate func write(_ kind: Kind, since: Int64, until: Deadline, object: UInt64) {
    // Who reads what follows finds the word of the wait before withdrawn.
    atomicMemoryFence(ordering: .releasing)
    self.until.store(until.isNever ? .max : until.nanoseconds, ordering: .relaxed)
    self.object.store(object, ordering: .relaxed)
    word.store(
      UInt64(kind.rawValue) << 56 | UInt64(bitPattern: since) & Self.timeMask, ordering: .releasing)
  }

  fileprivate func withdraw() { word.store(0, ordering: .releasing) }

  /// The note; nil if there is none, or if it was just being changed.
  var facts: WaitFacts? {
    let seen = word.load(ordering: .acquiring)
    if seen == 0 { return nil }
    let until = self.until.load(ordering: .relaxed)
    let object = self.object.load(ordering: .relaxed)
    atomicMemoryFence(ordering: .acquiring)
    // A wait that was written since then has another time.
    return word.load(ordering: .relaxed) == seen ? Self.facts(seen, until, object) : nil
  }

  /// What the three words say, if they are of one note; nil: nothing.
  static func facts(_ word: UInt64, _ until: Int64, _ object: UInt64) -> WaitFacts? {
    guard word != 0, let kind = Kind(rawValue: UInt8(truncatingIfNeeded: word >> 56)) else {
      return nil
    }
    return WaitFacts(
      kind: kind, since: Int64(bitPattern: word & timeMask), until: until, object: object)
  }
}

/// A wait of the calling thread that may go to sleep several times.
struct NotedWait {
  private let kind: WaitNote.Kind
  private let object: UInt64
  private var since: Int64 = 0

  /// Writes nothing yet.
  @inline(__always)
  init(_ kind: WaitNote.Kind, object: UInt64 = 0) {
    self.kind = kind
    self.object = object
  }

  /// Whether `check` says so once others can read the note, which stays only if it does not.
  @inline(never)
  mutating func isInVain(until deadline: Deadline, _ check: () -> Bool) -> Bool {
    guard kind == .task, let worker = Worker.current else { return false }
    if since == 0 { since = monotonicNow() }
    worker.pointee.note.write(kind, since: since, until: deadline, object: object)
    if !check() { return false }
    worker.pointee.note.withdraw()
    return true
  }

  /// Runs `sleep`, which blocks, with a note of it.
  mutating func block<Result>(until deadline: Deadline, _ sleep: () -> Result) -> Result {
    guard kind != .none, let worker = Worker.current else { return sleep() }
    if since == 0 { since = monotonicNow() }
    worker.pointee.note.write(kind, since: since, until: deadline, object: object)
    let result = sleep()
    worker.pointee.note.withdraw()
    return result
  }
}

extension TaskReference {
  /// The wait of the library in which task `id`, which is in this record, sleeps; nil if it sleeps
  /// in none, or has ended.
  ///
  /// What says that a task is idle has it from here, or from `checked`. Needs no reference, only
  /// the registry's memory. Where there is a note, a file is opened, read and closed.
  func checkedWait(ofTask id: UInt64) -> WaitFacts? {
    guard let noted = notedWait(ofTask: id) else { return nil }
    let threadID = pointer.pointee.threadID.load(ordering: .relaxed)
    return checked(noted, ofTask: id, in: ThreadProbe.call(ofThread: threadID))
  }

  /// The same, where it is known already in which call the thread is.
  ///
  /// - Parameters:
  ///   - noted: what was noted before `call` was read.
  ///   - id: the task's.
  ///   - call: of its thread.
  /// - Returns: `noted`, if it is still the note and the thread is where it says.
  func checked(_ noted: WaitFacts?, ofTask id: UInt64, in call: SystemCall) -> WaitFacts? {
    guard var wait = noted, wait.fits(call), notedWait(ofTask: id) == wait else { return nil }
    wait.exemption = exemption
    return wait
  }

  /// Whether the task waits without a time limit for the end of the calling one, which has noted
  /// that it waits for this task: neither would ever end (J7).
  ///
  /// Requires a reference. A task that was asked to stop, and whose wait that ends, does not count.
  var waitsForCaller: Bool {
    guard let caller = Worker.currentTask else { return false }
    // Pairs with the same fence in the other task's wait: of two that begin at the same time at
    // least one sees the other's note.
    atomicMemoryFence(ordering: .sequentiallyConsistent)
    guard let wait = notedWait(ofTask: pointer.pointee.id.load(ordering: .relaxed)),
      wait.kind == .task, wait.until == .max, wait.object == caller.id
    else { return false }
    return !word.isCancelRequested || exemption != .none
  }

  private var exemption: WaitFacts.Exemption {
    let word = self.word
    if !word.isCancelRequested || !word.hasOptionalState { return .none }
    let traits = self.traits
    if traits.contains(.shielded) { return .shielded }
    return traits.contains(.draining) && word.level != .abort ? .draining : .none
  }

  /// What the thread of task `id`, which is in this record, has noted; nil if nothing, or if the
  /// task has ended.
  ///
  /// Needs no reference, only the registry's memory.
  func notedWait(ofTask id: UInt64) -> WaitFacts? {
    let bits = pointer.pointee.worker.load(ordering: .acquiring)
    guard let worker = Worker.Pointer(bitPattern: bits), let facts = worker.pointee.note.facts
    else { return nil }
    atomicMemoryFence(ordering: .acquiring)
    return pointer.pointee.id.load(ordering: .relaxed) == id && word.stage == .running ? facts : nil
  }
}

extension FixedText {
  /// Appends the same without times, for a line that is repeated: "idle in tr_cond_wait", "asleep".
  mutating func append(untimed wait: WaitFacts) {
    append(doing: wait)
    append(wait.exemption)
  }

  private mutating func append(doing wait: WaitFacts) {
    if wait.kind == .time { return append("asleep") }
    append("idle in ")
    append(wait.kind.text)
    if wait.kind == .task { append(wait.object) }
  }

  private mutating func append(_ exemption: WaitFacts.Exemption) {
    switch exemption {
    case .none: break
    case .shielded: append(" (shielded)")
    case .draining: append(" (draining)")
    }
  }

  /// Appends what a task waits for: "idle in tr_cond_wait for 3.20 s", "asleep, 300 ms to go".
  mutating func append(_ wait: WaitFacts, at now: Int64) {
    append(doing: wait)
    let remaining = wait.kind == .time ? wait.remaining(at: now) : -1
    if remaining > 0 {
      append(", ")
      append(duration: remaining)
      append(" to go")
    } else if remaining == 0 {
      append(", its time is over")
    } else {
      append(" for ")
      append(duration: wait.waited(at: now))
    }
    append(wait.exemption)
  }
}
