import Synchronization

/// How many tasks have ended, by ending.
///
/// There is one counter for each, so that the end of a task is one atomic addition, and a report
/// cannot count a failure without its end.
///
/// atomic: each only grows; added to and read sequentially consistently, see `endWaiters`.
struct Endings: ~Copyable {
  let returned = Atomic<UInt64>(0)
  let failed = Atomic<UInt64>(0)
  let exited = Atomic<UInt64>(0)
  /// Tasks that were admitted but could not get a thread: not reported as ended.
  let withdrawn = Atomic<UInt64>(0)

  /// All admitted tasks that are no longer alive.
  ///
  /// The counters are read one after the other, so the sum may be less than the sum at the end of
  /// the call, but never more.
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
