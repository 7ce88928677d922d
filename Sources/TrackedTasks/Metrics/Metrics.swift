import CPlatform
import Synchronization

// LOCKING
// The Monitor of a registry's metrics guards the counters, the histograms and the ring of the last
// tasks. It is taken alone, for the time of a few additions: twice for each task and once for a
// rejected spawn, in each registry on the way to the root that keeps metrics; and by readers. A
// reader that writes them to a descriptor copies them first, into memory that it has allocated
// before.

/// The counters and durations of a registry that was created with metrics (E8).
///
/// A spawn is counted after the task was admitted, and an end before it is counted for joins and
/// limits. So a thread that has seen either finds it counted here, and the peak never exceeds
/// `maxTasks`.
struct Metrics {
  private let monitor: Monitor<MetricsState>

  /// Allocates the memory; nil without memory.
  static func make() -> Metrics? {
    guard let state = MetricsState.make() else { return nil }
    guard let monitor = Monitor(state) else {
      state.destroy()
      return nil
    }
    return Metrics(monitor: monitor)
  }

  /// Frees the memory; requires that no thread uses it any more.
  func destroy() {
    let state = monitor.withLock { $0 }
    monitor.destroy()
    state.destroy()
  }

  func countSpawn(_ slot: KindSlot) { monitor.withLock { $0.countSpawn(slot) } }

  /// Uncounts a spawn: no thread was available for the task.
  func uncountSpawn(_ slot: KindSlot) { monitor.withLock { $0.uncountSpawn(slot) } }

  func countRejection(_ slot: KindSlot) { monitor.withLock { $0.countRejection(slot) } }

  func countRestart(_ slot: KindSlot) { monitor.withLock { $0.countRestart(slot) } }

  func countOverrun(_ slot: KindSlot) { monitor.withLock { $0.countOverrun(slot) } }

  func countEnd(_ task: EndedFacts) { monitor.withLock { $0.countEnd(task) } }

  /// The metrics of one kind, or of all.
  func facts(of slot: KindSlot?) -> MetricsFacts {
    monitor.withLock { state in
      if let slot {
        let kind = state.kinds + slot.index
        return MetricsFacts(kind.pointee.counters, kind.pointee.run, kind.pointee.stop)
      }
      var run = DurationHistogram()
      var stop = DurationHistogram()
      for slot in 0..<KindSlot.count {
        run.merge(state.kinds[slot].run)
        stop.merge(state.kinds[slot].stop)
      }
      return MetricsFacts(state.all, run, stop)
    }
  }

  /// Copies the metrics of all kinds at one moment; `destination` has room for `KindSlot.count`.
  func copyKinds(to destination: UnsafeMutablePointer<KindMetrics>) {
    monitor.withLock { _ = memcpy(destination, $0.kinds, MetricsState.kindsSize) }
  }

  /// Visits the last tasks that ended, the most recent first, under the lock.
  ///
  /// - Returns: how many are remembered.
  func recent(_ visit: (_ index: Int, _ task: UnsafePointer<EndedFacts>) -> Void) -> Int {
    monitor.withLock { state in
      let count = state.recentCount
      for index in 0..<count { visit(index, state.recent(index)) }
      return count
    }
  }
}

/// Counters and durations of the tasks of one kind, or of all; durations in nanoseconds, -1 if
/// there are none.
struct MetricsFacts {
  var counters: TaskCounters
  var run = QuantileFacts()
  var stop = QuantileFacts()

  /// Without durations.
  init(_ counters: TaskCounters) { self.counters = counters }

  init(
    _ counters: TaskCounters, _ run: borrowing DurationHistogram,
    _ stop: borrowing DurationHistogram
  ) {
    self.counters = counters
    self.run = QuantileFacts(run)
    self.stop = QuantileFacts(stop)
  }
}

/// Quantiles of durations: at most these for half of the tasks, for 90 and for 99 in a hundred, and
/// for all.
struct QuantileFacts {
  var p50: Int64 = -1
  var p90: Int64 = -1
  var p99: Int64 = -1
  /// Exact.
  var max: Int64 = -1

  init() {}

  init(_ histogram: borrowing DurationHistogram) {
    p50 = histogram.quantile(percent: 50)
    p90 = histogram.quantile(percent: 90)
    p99 = histogram.quantile(percent: 99)
    max = histogram.maximum
  }
}

extension RegistryReference {
  /// Its own metrics, if it keeps any.
  var metrics: Metrics? { pointer.pointee.metrics }

  /// Whether it or an ancestor keeps metrics.
  @inline(__always)
  var isMeasured: Bool { pointer.pointee.isMeasured }

  /// Counts a task that was admitted, here and in the ancestors.
  @inline(never)
  func measureSpawn(kind: UInt32) {
    forEachUpwards { $0.metrics?.countSpawn(KindSlot(of: kind)) }
  }

  /// Uncounts it: no thread was available for the task.
  @inline(never)
  func unmeasureSpawn(kind: UInt32) {
    forEachUpwards { $0.metrics?.uncountSpawn(KindSlot(of: kind)) }
  }

  /// Counts a rejected spawn, here and in the ancestors.
  @inline(never)
  func measureRejection(kind: UInt32) {
    forEachUpwards { $0.metrics?.countRejection(KindSlot(of: kind)) }
  }

  /// Counts another run of a task, here and in the ancestors (B3).
  @inline(never)
  func countRestart(kind: UInt32) {
    forEachUpwards {
      $0.pointer.pointee.restarts.wrappingAdd(1, ordering: .relaxed)
      $0.metrics?.countRestart(KindSlot(of: kind))
    }
  }

  /// Counts a run of a periodic task that took longer than the period; likewise (B6).
  @inline(never)
  func countOverrun(kind: UInt32) {
    forEachUpwards {
      $0.pointer.pointee.overruns.wrappingAdd(1, ordering: .relaxed)
      $0.metrics?.countOverrun(KindSlot(of: kind))
    }
  }

  /// The totals of a registry, which are counted with or without metrics.
  ///
  /// Read in this order, no more tasks have ended than were spawned.
  var totals: TaskCounters {
    let endings = pointer
    var counters = TaskCounters()
    counters.returned = endings.pointee.endings.returned.load(ordering: .sequentiallyConsistent)
    counters.failed = endings.pointee.endings.failed.load(ordering: .sequentiallyConsistent)
    counters.exited = endings.pointee.endings.exited.load(ordering: .sequentiallyConsistent)
    let withdrawn = endings.pointee.endings.withdrawn.load(ordering: .sequentiallyConsistent)
    counters.rejected = pointer.pointee.rejected.load(ordering: .relaxed)
    counters.restarts = pointer.pointee.restarts.load(ordering: .relaxed)
    counters.overruns = pointer.pointee.overruns.load(ordering: .relaxed)
    counters.spawned = gate.admitted &- withdrawn
    return counters
  }

  /// The metrics (E8).
  ///
  /// - Parameter kind: 0 for all kinds; the first number of the application's for all of its kinds.
  /// - Returns: nil for a number that is not a kind, and for a single kind if no metrics are kept.
  func metricsFacts(kind: UInt32) -> MetricsFacts? {
    if kind == 0 { return metrics?.facts(of: nil) ?? MetricsFacts(totals) }
    guard let metrics, let slot = KindSlot(asked: kind) else { return nil }
    return metrics.facts(of: slot)
  }
}

extension TaskReference {
  /// Counts the end of the task, here and in the ancestors, once.
  ///
  /// Called on the task's own thread, while the task is still alive for all others, after
  /// `finalize`.
  @inline(never)
  func measureEnd(_ how: TaskWord.Ending, in registry: RegistryReference) {
    if traits.contains(.measured) { return }
    add(.measured)
    let facts = endedFacts(how, at: monotonicNow())
    registry.forEachUpwards { $0.metrics?.countEnd(facts) }
  }
}
