/// The words of the table by which a program outside finds the registries of a process, by their
/// places in it (`ReaderTable`).
///
/// The table is an interface between releases: the program may be newer than the library in the
/// process, or older. So a word keeps its number and its meaning; new ones are added at the end, and
/// a reader takes one that the table does not have for unknown. What no word can express, such as
/// the bits of `TaskWord`, changes with `layout`, which a reader must know.
///
/// Four words of a cookie come first. Places are addresses; the others are offsets in bytes.
enum ReaderWord: Int {
  /// 0 before the first registry of the process exists; stored last.
  case layout = 4
  /// How many words the table has, with these.
  case count = 5
  /// Place of the address of the list of the registries that are not groups; 0 before it exists.
  case list = 6
  /// Place of 32 bits, and which of them says that this process is a child of fork.
  case forkedPlace = 7
  case forkedMask = 8
  /// Place of the address of the table of names of kinds, the size of an element, how many there
  /// are, and where the kind (32 bits) and the address of the name are in one.
  case kindNames = 9
  case kindNameSize = 10
  case kindNameCount = 11
  case kindNameKind = 12
  case kindNameText = 13
  /// The first registry, from the address of the list.
  case firstRegistry = 14
  // From the address of a registry.
  /// The address of the next registry that is not a group, and of the next group of the parent.
  case nextRegistry = 15
  case nextGroup = 16
  /// Its number on the list, 0 if it is on none; smaller for those that follow.
  case listNumber = 17
  /// The address of the registry it is in; 0 in one that is not a group.
  case parent = 18
  /// The address of what has its first group, and where in it that is.
  case monitor = 19
  case firstGroup = 20
  /// Text that ends in a NUL, and the most bytes that it may have with it.
  case path = 21
  case pathSize = 22
  /// A `GateWord`; the counters of `Endings`, in the order there; and how many spawns were
  /// rejected.
  case gate = 23
  case endings = 24
  case rejected = 25
  /// How many records there are (32 bits), the addresses of their chunks, the most of these, and
  /// how many records are in the first. Each other one has twice as many as the one before.
  case recordCount = 26
  case chunks = 27
  case chunkCount = 28
  case firstChunk = 29
  /// The bytes of a record, those of a message, and those of an activity: a chunk has all records,
  /// then all messages, then all activities.
  case recordSize = 30
  case messageSize = 31
  case activitySize = 32
  // In a record.
  /// A `TaskWord`.
  case taskWord = 33
  case taskID = 34
  /// Text that ends in a NUL, and its room.
  case name = 35
  case nameSize = 36
  case spawnedAt = 37
  case kind = 38
  case threadID = 39
  case cancelledAt = 40
  /// `TaskTraits`, which are valid if the word says that there is optional state.
  case traits = 41
  /// `CancelChecks`.
  case cancelChecks = 42
  // In an activity.
  case heartbeatInterval = 43
  case heartbeatAt = 44
  /// The address of a text.
  case checkpoint = 45
  /// How many reports of progress there were, and the slots of those with an even and an odd number.
  case progressCount = 46
  case evenProgress = 47
  case oddProgress = 48
  // In such a slot.
  case progressDone = 49
  case progressTotal = 50
  /// The address of a text.
  case progressUnit = 51
  case progressAt = 52
  // In an activity again.
  case drainingSince = 53
  /// How many labels were set, and the texts of those with an even and an odd number, and the bytes
  /// of a text.
  case labelCount = 54
  case evenLabel = 55
  case oddLabel = 56
  case labelSize = 57
  // In a record again.
  /// The address of its worker, which is never freed while the registry lives.
  case worker = 58
  // In a worker.
  /// The three words of a `WaitNote`, in the order in which they are read: it is valid if the first
  /// is the same afterwards.
  case waitWord = 59
  case waitUntil = 60
  case waitObject = 61
  /// The CPU time that the thread had used when its task started; negative: not known.
  case cpuBase = 62
  /// The CPU time at which somebody last saw the thread, and since when it had that.
  case restMark = 63
  case restSince = 64
  // In an activity again.
  /// Valid if `CancelChecks` say so.
  case sampledCPU = 65
  case sampledAt = 66
  // The state of `RunClock`, which heartbeats are compared with.
  /// Place of 64 bits: how often a slot was stored, the last in that of its lowest bit; and the places
  /// of the slots, each of the time in which the process did not run, and until when the clock runs.
  case runClockCount = 67
  case evenRunClock = 68
  case oddRunClock = 69
  // From the address of a registry again.
  /// Its name, as a text of as many bytes as a task's; empty in a group.
  case registryName = 70
  // In an activity again: valid if the traits say `startsAgain`; of the last two 32 bits.
  case runCount = 71
  case startsAt = 72
  case lastEnding = 73
  case lastCode = 74
  // In a record again.
  /// The id of the task that has spawned it, or 0, and the address to which the spawn returned.
  case parentTask = 75
  case spawnedFrom = 76
  /// One more than the last.
  case end = 77

  /// How many words the table of the first release had, at least which every table has.
  static var fewest: Int { 75 }

  /// The layout of this release.
  static var currentLayout: UInt64 { 1 }

  /// The cookie.
  static var cookie: (UInt64, UInt64, UInt64, UInt64) {
    (0x9E5A_17C3_7461_736B, 0xC4D2_6F81_7265_670A, 0x83B1_0D5F_E92C_46A7, 0xF1A8_3C6E_5B90_D274)
  }
}
