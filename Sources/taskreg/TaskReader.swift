import CPlatform

/// A live task of a target.
struct ListedTask {
  var facts: TaskFacts
  let label: TaskLabel
  /// The address of its record, which holds it as long as that has its id.
  let record: UInt64
  /// That of its activity.
  let activity: UInt64
  /// The place of its registry in the `RegistryList`.
  let registry: Int
}

/// Reads the records of a registry while the target goes on.
///
/// As a list in the process does, it holds nothing (see LOCKING in `TaskRecord.swift`). A record whose
/// word says that it has a task is copied four times, one time after the other: the first copy has the
/// id, the second the word, the third the fields, the fourth the word and the id again. The ids being
/// the same, the record was the same task's all the time; a live word in the second copy says that the
/// spawner had written the fields by then.
///
/// Of a record without a task only the word is read: what is read here, the target must fetch again
/// before it can write it.
struct TaskReader {
  private let root: ReaderRoot
  private let recordSize: Int
  /// The time on the target's `RunClock`.
  private let runClock: Int64
  private var buffer: [UInt64]

  /// Records that are read at a time.
  private static var batch: Int { 64 }
  /// How often a record that changes while it is read is read again.
  private static var mostTries: Int { 20 }

  init(_ root: ReaderRoot) { self.init(root, root.runClock, records: Self.batch) }

  /// Adds the live tasks of a registry.
  ///
  /// - Parameters:
  ///   - registry: which one.
  ///   - place: its place in the list.
  ///   - tasks: where they are added.
  ///   - budget: from which the records are taken that are read, and the tasks.
  /// - Returns: false if its memory cannot be read as a whole.
  mutating func read(
    _ registry: ListedRegistry, at place: Int, into tasks: inout [ListedTask],
    _ budget: inout ReadingBudget
  ) -> Bool {
    let before = tasks.count
    // A chunk is there before its records are counted.
    guard
      let words = root.read([
        (registry.address &+ root[.recordCount], 1),
        (registry.address &+ root[.chunks], root[.chunkCount]),
      ])
    else { return false }
    var left = words[0] & 0xFFFF_FFFF
    var isWhole = true
    for (number, chunk) in words[1...].enumerated() {
      if left == 0 { break }
      let room = root[.firstChunk] << UInt64(number)
      let count = min(left, room)
      left -= count
      if chunk == 0 { return false }
      var first: UInt64 = 0
      while first < count {
        let size = Int(min(UInt64(Self.batch), count - first))
        if budget.records < UInt64(size) || budget.tasks < tasks.count - before + size {
          return false
        }
        budget.records -= UInt64(size)
        let isRead = readBatch(
          Batch(
            chunk: chunk, room: room, first: first, count: size, registry: registry, place: place),
          into: &tasks)
        if !isRead {
          isWhole = false
          break
        }
        first += UInt64(size)
      }
    }
    return isWhole && left == 0
  }

  /// Some records of a chunk, one behind the other.
  private struct Batch {
    let chunk: UInt64
    /// How many records the chunk has.
    let room: UInt64
    let first: UInt64
    let count: Int
    let registry: ListedRegistry
    let place: Int
  }

  private mutating func readBatch(_ batch: Batch, into tasks: inout [ListedTask]) -> Bool {
    let first = batch.chunk &+ batch.first &* UInt64(recordSize)
    func address(_ place: Int) -> UInt64 { first &+ UInt64(place * recordSize) }
    guard let words = root.read((0..<batch.count).map { (address($0) &+ root[.taskWord], 1) })
    else { return false }
    let live = words.indices.filter { TaskWord(bits: words[$0]).isLive }
    if live.isEmpty { return true }
    if !copy(live.map(address)) { return false }
    for (number, place) in live.enumerated() {
      var reading = read(number)
      var tries = 0
      while case .changed = reading, tries < Self.mostTries {
        tries += 1
        // The buffer is the batch's: a single record has one of its own.
        var alone = TaskReader(root, runClock, records: 1)
        if !alone.copy([address(place)]) { return false }
        reading = alone.read(0)
        if case .changed(let facts?) = reading, tries == Self.mostTries { reading = .live(facts) }
      }
      if case .live(let facts) = reading { add(facts, batch, place, to: &tasks) }
    }
    return true
  }

  private init(_ root: ReaderRoot, _ runClock: Int64, records: Int) {
    self.root = root
    recordSize = Int(root[.recordSize])
    self.runClock = runClock
    buffer = [UInt64](repeating: 0, count: records * recordSize / 8 * 4)
  }

  /// Copies records, each four times, one time after the other.
  private mutating func copy(_ addresses: [UInt64]) -> Bool {
    var parts: [iovec] = []
    for address in addresses {
      for _ in 0..<4 { parts.append(iovec(address, recordSize)) }
    }
    let size = parts.count * recordSize
    let target = root.target
    return buffer.withUnsafeMutableBytes { target.read(parts, $0.baseAddress, size) } == size
  }

  private enum Reading {
    case live(RecordFacts)
    case none
    /// It changed meanwhile; with what is of one task nevertheless.
    case changed(RecordFacts?)
  }

  /// What a record says of its task.
  private struct RecordFacts {
    var word = TaskWord(bits: 0)
    var id: UInt64 = 0
    var name = TaskName()
    var kind: UInt32 = 0
    var threadID: Int32 = 0
    var spawnedAt: Int64 = 0
    var cancelledAt: Int64 = 0
    var traits = TaskTraits(rawValue: 0)
    var parent: UInt64 = 0
    var spawnedFrom: UInt64 = 0
  }

  /// Judges the four copies of a record.
  private func read(_ number: Int) -> Reading {
    buffer.withUnsafeBytes { bytes in
      func load<Value: BitwiseCopyable>(_ copy: Int, _ field: ReaderWord, _: Value.Type) -> Value {
        bytes.loadUnaligned(
          fromByteOffset: (number * 4 + copy) * recordSize + Int(root[field]), as: Value.self)
      }
      let word = TaskWord(bits: load(1, .taskWord, UInt64.self))
      if !word.isLive { return .none }
      var facts = RecordFacts()
      facts.word = word
      facts.id = load(0, .taskID, UInt64.self)
      if load(3, .taskID, UInt64.self) != facts.id { return .changed(nil) }
      for index in 0..<8 {
        let at = (number * 4 + 2) * recordSize + Int(root[.name]) + index * 8
        facts.name.words[index] = bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)
      }
      facts.name.words[7] &= UInt64.max >> 8  // it ends, whatever it is
      facts.kind = load(2, .kind, UInt32.self)
      facts.threadID = word.stage == .starting ? 0 : load(2, .threadID, Int32.self)
      facts.spawnedAt = load(2, .spawnedAt, Int64.self)
      facts.cancelledAt = word.isCancelRequested ? load(2, .cancelledAt, Int64.self) : 0
      if root.has(.spawnedFrom) {
        facts.parent = load(2, .parentTask, UInt64.self)
        facts.spawnedFrom = load(2, .spawnedFrom, UInt64.self)
      }
      if word.hasOptionalState {
        facts.traits = TaskTraits(rawValue: load(2, .traits, UInt32.self))
      }
      return load(3, .taskWord, UInt64.self) == word.bits ? .live(facts) : .changed(facts)
    }
  }

  private func add(
    _ facts: RecordFacts, _ batch: Batch, _ place: Int, to tasks: inout [ListedTask]
  ) {
    let number = batch.first &+ UInt64(place)
    let record = batch.chunk &+ number &* root[.recordSize]
    let activity =
      batch.chunk &+ batch.room &* (root[.recordSize] &+ root[.messageSize])
      &+ number &* root[.activitySize]
    // SAFETY: the address is only compared. It is not 0, as it was read from.
    guard
      let storage = UnsafeMutablePointer<RegistryStorage>(
        bitPattern: UInt(batch.registry.address))
    else { return }
    var label = TaskLabel()
    var found: ActivityFacts?
    if facts.word.hasOptionalState {
      let reader = ActivityReader(root, record: record, id: facts.id, runClock: runClock)
      found = reader.read(activity, facts.traits, &label)
    }
    tasks.append(
      ListedTask(
        facts: TaskFacts(
          word: facts.word, registry: RegistryReference(storage), id: facts.id, name: facts.name,
          kind: facts.kind, threadID: facts.threadID, spawnedAt: facts.spawnedAt,
          cancelledAt: facts.cancelledAt, parent: facts.parent, spawnedFrom: facts.spawnedFrom,
          activity: found),
        label: label, record: record, activity: activity, registry: batch.place))
  }
}
