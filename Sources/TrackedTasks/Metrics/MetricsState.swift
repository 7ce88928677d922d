import CPlatform

/// The kinds that are counted separately: the four of the library's, and all of the application's
/// together.
struct KindSlot: Equatable {
  let index: Int

  /// How many there are.
  static var count: Int { 5 }
  static var application: KindSlot { KindSlot(index: 4) }

  init(index: Int) { self.index = index }

  /// The slot in which tasks of a valid kind are counted.
  init(of kind: UInt32) { index = kind < 0x100 ? Int(kind) - 1 : Self.application.index }

  /// The slot of a kind that a caller asks for: one of the library's, or the first number of the
  /// application's for all of its kinds; nil for anything else.
  init?(asked kind: UInt32) {
    guard (1...4).contains(kind) || kind == 0x100 else { return nil }
    self.init(of: kind)
  }

  /// The name of the kind.
  var name: StaticString { Names.kind(index < 4 ? UInt32(index) + 1 : 0x100) }
}

/// How many tasks there were.
///
/// Pure, and nothing but integers: all zero bytes are a valid initial value.
struct TaskCounters {
  var spawned: UInt64 = 0
  var returned: UInt64 = 0
  var failed: UInt64 = 0
  var exited: UInt64 = 0
  var rejected: UInt64 = 0
  /// How often one of them started again.
  var restarts: UInt64 = 0
  /// How often a run of a periodic one took longer than the period.
  var overruns: UInt64 = 0
  /// How many were alive at once at the most.
  var peak: UInt64 = 0

  var ended: UInt64 { returned &+ failed &+ exited }
  var live: UInt64 { spawned &- ended }

  /// Counts a task that was admitted.
  mutating func countSpawn() {
    spawned &+= 1
    if live > peak { peak = live }
  }

  /// Counts a task that ended; `how` is a number of `TR_ENDED_…`.
  mutating func countEnd(_ how: UInt32) {
    switch how {
    case 2: failed &+= 1
    case 3: exited &+= 1
    default: returned &+= 1
    }
  }
}

/// The metrics of the tasks of one kind; all zero bytes are a valid initial value.
struct KindMetrics {
  var counters = TaskCounters()
  /// From spawn to end.
  var run = DurationHistogram()
  /// From being asked to stop to the end.
  var stop = DurationHistogram()
}

/// What the Monitor of a registry's metrics guards.
///
/// The tables are allocated separately: this value is passed by copy, and with them it would be too
/// large for the stack.
///
/// X1: all.live == the sum of the live tasks of all kinds, and likewise the other counters.
/// X2: of each kind as many run times are recorded as tasks have ended, and not more stop times.
struct MetricsState: MonitorState {
  /// One for each `KindSlot`.
  let kinds: UnsafeMutablePointer<KindMetrics>
  /// The last tasks that ended: number n at n modulo `recentMost`.
  private let ring: UnsafeMutablePointer<EndedFacts>
  /// How many tasks have been stored in `ring`, including those that were overwritten.
  private var noted: UInt64 = 0
  /// All kinds together: the peak cannot be derived from theirs.
  private(set) var all = TaskCounters()

  /// How many tasks are remembered.
  static var recentMost: Int { 64 }

  /// The size in bytes of the tables of the kinds.
  static var kindsSize: Int { KindSlot.count * MemoryLayout<KindMetrics>.stride }

  /// Allocates the tables; nil without memory.
  static func make() -> MetricsState? {
    let size = kindsSize + recentMost * MemoryLayout<EndedFacts>.stride
    guard let memory = malloc(size) else { return nil }
    // Integers, texts and a Boolean: zero bytes are a valid value of each, and no `EndedFacts` is
    // read before it is stored.
    memset(memory, 0, size)
    return MetricsState(
      kinds: memory.bindMemory(to: KindMetrics.self, capacity: KindSlot.count),
      ring: (memory + kindsSize).bindMemory(to: EndedFacts.self, capacity: recentMost))
  }

  private init(
    kinds: UnsafeMutablePointer<KindMetrics>, ring: UnsafeMutablePointer<EndedFacts>
  ) {
    self.kinds = kinds
    self.ring = ring
  }

  /// Frees the tables.
  func destroy() { free(UnsafeMutableRawPointer(kinds)) }

  mutating func countSpawn(_ slot: KindSlot) {
    all.countSpawn()
    kinds[slot.index].counters.countSpawn()
  }

  /// Uncounts a spawn: no thread was available for the task.
  ///
  /// It was alive for a moment, though, and may be included in the peak.
  mutating func uncountSpawn(_ slot: KindSlot) {
    all.spawned &-= 1
    kinds[slot.index].counters.spawned &-= 1
  }

  mutating func countRejection(_ slot: KindSlot) {
    all.rejected &+= 1
    kinds[slot.index].counters.rejected &+= 1
  }

  mutating func countRestart(_ slot: KindSlot) {
    all.restarts &+= 1
    kinds[slot.index].counters.restarts &+= 1
  }

  mutating func countOverrun(_ slot: KindSlot) {
    all.overruns &+= 1
    kinds[slot.index].counters.overruns &+= 1
  }

  mutating func countEnd(_ task: EndedFacts) {
    let place = KindSlot(of: task.kind).index
    all.countEnd(task.how)
    kinds[place].counters.countEnd(task.how)
    kinds[place].run.record(task.ran)
    if task.stop >= 0 { kinds[place].stop.record(task.stop) }
    ring[Int(noted % UInt64(Self.recentMost))] = task
    noted &+= 1
  }

  /// How many tasks are remembered now.
  var recentCount: Int { Int(min(noted, UInt64(Self.recentMost))) }

  /// The task that ended `index` tasks before the most recent one.
  func recent(_ index: Int) -> UnsafePointer<EndedFacts> {
    UnsafePointer(ring + Int((noted &- 1 &- UInt64(index)) % UInt64(Self.recentMost)))
  }

  func checkInvariants() {
    var (live, ended, rejected, restarts) = (UInt64(0), UInt64(0), UInt64(0), UInt64(0))
    for slot in 0..<KindSlot.count {
      let counters = kinds[slot].counters
      live &+= counters.live
      ended &+= counters.ended
      rejected &+= counters.rejected
      restarts &+= counters.restarts
      if counters.live > counters.peak { fatalError("more tasks are alive than ever were") }
      if kinds[slot].run.count != counters.ended { fatalError("X2: the durations are miscounted") }
      if kinds[slot].stop.count > counters.ended { fatalError("X2: the durations are miscounted") }
    }
    if live != all.live || ended != all.ended || rejected != all.rejected
      || restarts != all.restarts
    {
      fatalError("X1: the kinds do not add up")
    }
    if noted != ended { fatalError("the recent tasks are miscounted") }
  }
}
