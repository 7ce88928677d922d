import CPlatform
import Synchronization

// LOCKING
// None. The words are written by one thread, before the first registry is on a list, and `layout` is
// the last of them: a reader outside that finds a layout finds the rest. No code of the process
// reads them.

/// The table by which a program outside finds the registries of this process, in a section of its
/// own (`ReaderWord` says what the words are).
///
/// It is found by its cookie: in the data of whatever object the library is part of, without symbols
/// and without section headers, in a process or in a core file. It has to be a variable with a value
/// that is known when it is compiled, so that the cookie is there before any code runs.
@section("taskreg_root") @used
private nonisolated(unsafe) var table:
  (
    UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64,
    UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64,
    UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64,
    UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64,
    UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64,
    UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64,
    UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64,
    UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64
  ) = (
    0x9E5A_17C3_7461_736B, 0xC4D2_6F81_7265_670A, 0x83B1_0D5F_E92C_46A7, 0xF1A8_3C6E_5B90_D274,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
  )

/// Fills the table.
enum ReaderTable {
  // atomic: whether a thread fills it, or has. Acquire and release.
  private static let isFilled = Atomic<Bool>(false)

  /// Fills the table, unless that was done.
  ///
  /// A registry that another thread creates meanwhile is on its list before readers outside can see
  /// either.
  ///
  /// - Parameter registry: one that is complete, and on no list yet.
  static func fill(by registry: RegistryReference) {
    if isFilled.exchange(true, ordering: .acquiringAndReleasing) { return }
    // SAFETY: the exchange lets one thread come here, once.
    withUnsafeMutablePointer(to: &table) { table in
      let words = UnsafeMutableRawPointer(table).assumingMemoryBound(to: UInt64.self)
      let room = MemoryLayout.size(ofValue: table.pointee) / 8
      if room != ReaderWord.end.rawValue { fatalError("the reader's table has another size") }
      func set(_ word: ReaderWord, _ value: UInt) { words[word.rawValue] = UInt64(value) }
      set(.count, UInt(ReaderWord.end.rawValue))
      describeProcess(set)
      describe(registry, set)
      describeRecords(set)
      atomicMemoryFence(ordering: .releasing)
      words[ReaderWord.layout.rawValue] = ReaderWord.currentLayout
    }
  }

  private static func describeProcess(_ set: (ReaderWord, UInt) -> Void) {
    let list = MainThread.placesOfList
    set(.list, list.place)
    set(.firstRegistry, list.first)
    let forked = ProcessState.placeOfForkedBit
    set(.forkedPlace, forked.address)
    set(.forkedMask, UInt(forked.mask))
    let names = KindNames.places
    set(.kindNames, names.table)
    set(.kindNameSize, names.size)
    set(.kindNameCount, UInt(KindNames.limit))
    set(.kindNameKind, names.kind)
    set(.kindNameText, names.text)
    let clock = RunClock.places
    set(.runClockCount, clock.count)
    set(.evenRunClock, clock.even)
    set(.oddRunClock, clock.odd)
  }

  private static func describe(_ registry: RegistryReference, _ set: (ReaderWord, UInt) -> Void) {
    let storage = registry.pointer
    let base = UInt(bitPattern: storage)
    let next = UInt(MemoryLayout<RegistryReference?>.stride)  // behind `previous`
    set(
      .nextRegistry,
      withUnsafeMutablePointer(to: &storage.pointee.rootLinks) {
        UInt(bitPattern: $0) &- base &+ next
      })
    set(
      .nextGroup,
      withUnsafeMutablePointer(to: &storage.pointee.groupLinks) {
        UInt(bitPattern: $0) &- base &+ next
      })
    set(.listNumber, addressOf(storage.pointee.listNumber) &- base)
    let places = storage.placesForReaders
    set(.parent, places.parent)
    set(.monitor, places.monitor)
    set(.path, places.path)
    set(.registryName, places.name)
    set(.pathSize, UInt(GroupPath.limit + 1))
    set(
      .firstGroup,
      registry.monitor.withLock { state in
        withUnsafeMutablePointer(to: &state.groups) {
          UInt(bitPattern: $0) &- registry.monitor.bits  // `first` is its first field
        }
      })
    set(.gate, addressOf(storage.pointee.gate) &- base)
    set(.endings, addressOf(storage.pointee.endings) &- base)
    set(.rejected, addressOf(storage.pointee.rejected) &- base)
    let records = addressOf(storage.pointee.records) &- base
    let pool = RecordPool.places(in: storage.pointee.records)
    set(.recordCount, records &+ pool.count)
    set(.chunks, records &+ pool.chunks)
    set(.chunkCount, UInt(RecordPool.mostChunks))
    set(.firstChunk, UInt(RecordPool.firstChunk))
  }

  /// Describes records and activities by addresses in memory that holds none.
  private static func describeRecords(_ set: (ReaderWord, UInt) -> Void) {
    set(.recordSize, UInt(MemoryLayout<TaskRecord>.stride))
    set(.messageSize, UInt(RecordPool.messageRoom))
    set(.activitySize, UInt(RecordPool.activityRoom))
    // SAFETY: nothing of it is read; it is only a base for addresses, and aligned as they are.
    let base: UInt = 1 << 16
    let record = UnsafeMutablePointer<TaskRecord>(bitPattern: base).unsafelyUnwrapped
    set(.taskWord, addressOf(record.pointee.word) &- base)
    set(.taskID, addressOf(record.pointee.id) &- base)
    set(.name, addressOf(record.pointee.name) &- base)
    set(.nameSize, UInt(MemoryLayout<AtomicText<8>>.size))
    set(.spawnedAt, addressOf(record.pointee.spawnedAt) &- base)
    set(.kind, addressOf(record.pointee.kind) &- base)
    set(.threadID, addressOf(record.pointee.threadID) &- base)
    set(.cancelledAt, addressOf(record.pointee.cancelledAt) &- base)
    set(.traits, addressOf(record.pointee.optionalState.traits) &- base)
    set(.cancelChecks, addressOf(record.pointee.cancelChecks) &- base)
    set(.worker, addressOf(record.pointee.worker) &- base)
    set(.parentTask, addressOf(record.pointee.parent) &- base)
    set(.spawnedFrom, addressOf(record.pointee.spawnedFrom) &- base)
    describeWorkers(set)
    describeActivities(set)
  }

  private static func describeWorkers(_ set: (ReaderWord, UInt) -> Void) {
    // SAFETY: as above.
    let base: UInt = 1 << 16
    let worker = Worker.Pointer(bitPattern: base).unsafelyUnwrapped
    let note = WaitNote.places(in: worker.pointee.note)
    let place = addressOf(worker.pointee.note) &- base
    set(.waitWord, place &+ note.word)
    set(.waitUntil, place &+ note.until)
    set(.waitObject, place &+ note.object)
    set(.cpuBase, addressOf(worker.pointee.cpuBase) &- base)
    set(.restMark, addressOf(worker.pointee.restMark) &- base)
    set(.restSince, addressOf(worker.pointee.restSince) &- base)
  }

  private static func describeActivities(_ set: (ReaderWord, UInt) -> Void) {
    // SAFETY: as above.
    let base: UInt = 1 << 16
    let activity = TaskActivity.Pointer(bitPattern: base).unsafelyUnwrapped
    set(.heartbeatInterval, addressOf(activity.pointee.heartbeats.interval) &- base)
    set(.heartbeatAt, addressOf(activity.pointee.heartbeats.beatAt) &- base)
    set(.checkpoint, addressOf(activity.pointee.checkpoint) &- base)
    set(.progressCount, addressOf(activity.pointee.progressCount) &- base)
    let progress = addressOf(activity.pointee.evenProgress)
    set(.evenProgress, progress &- base)
    set(.oddProgress, addressOf(activity.pointee.oddProgress) &- base)
    set(.progressDone, addressOf(activity.pointee.evenProgress.done) &- progress)
    set(.progressTotal, addressOf(activity.pointee.evenProgress.total) &- progress)
    set(.progressUnit, addressOf(activity.pointee.evenProgress.unit) &- progress)
    set(.progressAt, addressOf(activity.pointee.evenProgress.at) &- progress)
    set(.sampledCPU, addressOf(activity.pointee.sampledCPU) &- base)
    set(.sampledAt, addressOf(activity.pointee.sampledAt) &- base)
    set(.drainingSince, addressOf(activity.pointee.drainingSince) &- base)
    let label = LabelPlace.places(in: activity.pointee.label)
    let place = addressOf(activity.pointee.label) &- base
    set(.labelCount, place &+ label.count)
    set(.evenLabel, place &+ label.even)
    set(.oddLabel, place &+ label.odd)
    set(.labelSize, UInt(MemoryLayout<AtomicText<16>>.size))
    set(.runCount, addressOf(activity.pointee.runCount) &- base)
    set(.startsAt, addressOf(activity.pointee.startsAt) &- base)
    set(.lastEnding, addressOf(activity.pointee.lastEnding) &- base)
    set(.lastCode, addressOf(activity.pointee.code) &- base)
  }
}
