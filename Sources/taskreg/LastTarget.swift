/// The target of a list, for the next one.
///
/// To read the mappings of a process holds it up: they are under a lock that it needs for each new
/// thread. So they are read once a second at the most.
struct LastTarget {
  /// Where its tables are.
  var tables = ReaderRoot.Places()
  private var target: Target?
  /// When its mappings were read, on `CLOCK_MONOTONIC`.
  private var foundAt: Int64 = 0

  /// For how long mappings are good enough for a list, in nanoseconds.
  private static var mostAge: Int64 { 1_000_000_000 }

  /// Finds the target of a command.
  ///
  /// - Returns: the one of the list before, if that is not old and its tables are where they were.
  /// - Throws: why it cannot be read.
  mutating func target(
    of command: Command, trial places: (places: WaitPlaces, gap: WaitEdge.Gap)
  ) throws(Failure) -> Target {
    if let core = command.core { return try Target.open(core: core, trial: places) }
    let now = monotonicNow()
    // What threads wait for is asked of the mappings as they are.
    let isList = command.verb == .ps || command.verb == .metrics
    if isList, let target, now &- foundAt < Self.mostAge, tables.areStillThere(in: target) {
      return target
    }
    // An old one is freed first, with its descriptor.
    target = nil
    let found = try Target.find(command.process, trial: places)
    (target, foundAt) = (found, now)
    return found
  }
}
