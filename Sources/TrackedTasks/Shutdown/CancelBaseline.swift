import Synchronization

/// The counters of a registry as they were when its token was cancelled: what a shutdown that comes
/// later needs to say how many tasks have ended in between (J8).
///
/// Whoever cancels stores them before a flag rises; a thread that helps may do so as well, and the
/// first to store a counter wins. A task that ends stores nothing here.
///
/// atomic: each is stored once. Sequentially consistent, like `Endings`.
struct CancelBaseline: ~Copyable {
  private let counters = InlineArray<5, Atomic<UInt64>> { _ in Atomic(.max) }

  /// A counter's place.
  private enum Place: Int {
    case returned, failed, exited, withdrawn, endedOfLater
  }

  /// Stores the counters, unless that was done.
  func store(_ endings: borrowing Endings, _ phases: borrowing Phases) {
    store(UInt64(phases.endedCountOfLater), at: .endedOfLater)
    store(endings.returned.load(ordering: .sequentiallyConsistent), at: .returned)
    store(endings.failed.load(ordering: .sequentiallyConsistent), at: .failed)
    store(endings.exited.load(ordering: .sequentiallyConsistent), at: .exited)
    store(endings.withdrawn.load(ordering: .sequentiallyConsistent), at: .withdrawn)
  }

  private func store(_ count: UInt64, at place: Place) {
    let counter = place.rawValue
    if counters[counter].load(ordering: .sequentiallyConsistent) != .max { return }
    _ = counters[counter].compareExchange(
      expected: .max, desired: count, ordering: .sequentiallyConsistent)
  }

  /// How much a counter has grown by the time it was `now`; 0 if the token was cancelled after
  /// that, or not at all.
  private func growth(of place: Place, until now: UInt64) -> UInt64 {
    let then = counters[place.rawValue].load(ordering: .sequentiallyConsistent)
    return then < now ? now - then : 0
  }

  /// How many tasks had ended by a later moment.
  func ended(until now: JoinBaseline) -> EndedBefore {
    var before = EndedBefore()
    before.failed = growth(of: .failed, until: now.failed)
    before.exited = growth(of: .exited, until: now.exited)
    before.ended = growth(of: .returned, until: now.returned) + before.failed + before.exited
    if before.ended > 0 {
      let withdrawn = growth(of: .withdrawn, until: now.withdrawn)
      let then = counters[Place.endedOfLater.rawValue].load(ordering: .sequentiallyConsistent)
      let later = UInt64(now.endedOfLater &- UInt32(truncatingIfNeeded: then))
      let all = before.ended + withdrawn
      before.ofPhaseZero = min(before.ended, all > later ? all - later : 0)
    }
    return before
  }
}

/// How many tasks ended between the cancellation of a registry's token and a call (J8).
struct EndedBefore {
  var ended: UInt64 = 0
  /// Of these, those that failed, and those that exited.
  var failed: UInt64 = 0
  var exited: UInt64 = 0
  /// Of these, those of phase 0.
  var ofPhaseZero: UInt64 = 0
}
