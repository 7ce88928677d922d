import Synchronization

/// How many tasks have ended, by how: one counter each, so that an end is one atomic addition and
/// a report cannot count a failure without its end.
///
/// atomic: each only grows; added to and read sequentially consistently, see `drainWaiters`.
struct Endings: ~Copyable {
  let returned = Atomic<UInt64>(0)
  let failed = Atomic<UInt64>(0)
  let exited = Atomic<UInt64>(0)
  /// Admitted, but no thread could be had: not reported as ended.
  let withdrawn = Atomic<UInt64>(0)

  /// All admitted tasks that are no longer alive.
  ///
  /// The parts are read one after the other, so the sum may be less than what it is at the end of
  /// the call, never more.
  @inline(__always)
  var total: UInt64 {
    returned.load(ordering: .sequentiallyConsistent)
      &+ failed.load(ordering: .sequentiallyConsistent)
      &+ exited.load(ordering: .sequentiallyConsistent)
      &+ withdrawn.load(ordering: .sequentiallyConsistent)
  }

  @inline(__always)
  func count(_ ending: TaskWord.Ending) {
    switch ending {
    case .returned: returned.wrappingAdd(1, ordering: .sequentiallyConsistent)
    case .failed: failed.wrappingAdd(1, ordering: .sequentiallyConsistent)
    case .exited: exited.wrappingAdd(1, ordering: .sequentiallyConsistent)
    case .none: withdrawn.wrappingAdd(1, ordering: .sequentiallyConsistent)
    }
  }
}
