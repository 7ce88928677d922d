import CPlatform
import Synchronization

/// How much of its work a task has done, as one call reported it.
struct Progress {
  var done: UInt64 = 0
  var total: UInt64 = 0
  /// Text that is valid until the process ends.
  var unit: UnsafePointer<UInt8>?
  /// When it was reported, on `CLOCK_MONOTONIC`; 0 if never.
  var at: Int64 = 0
}

/// The progress of one report.
struct ProgressSlot: ~Copyable {
  // atomic: relaxed, see `TaskActivity.progressCount`.
  let done: Atomic<UInt64>
  let total: Atomic<UInt64>
  /// The address of the unit's text; 0 for none.
  let unit: Atomic<UInt>
  /// On `CLOCK_MONOTONIC`.
  let at: Atomic<Int64>

  func store(_ progress: Progress) {
    done.store(progress.done, ordering: .relaxed)
    total.store(progress.total, ordering: .relaxed)
    unit.store(UInt(bitPattern: progress.unit), ordering: .relaxed)
    at.store(progress.at, ordering: .relaxed)
  }

  var value: Progress {
    Progress(
      done: done.load(ordering: .relaxed), total: total.load(ordering: .relaxed),
      unit: UnsafePointer(bitPattern: unit.load(ordering: .relaxed)),
      at: at.load(ordering: .relaxed))
  }
}

/// Reports the progress of the calling task (E3).
///
/// - Parameters:
///   - done: how much of it is done.
///   - total: how much there is; 0 if that is not known.
///   - unit: is copied.
/// - Returns: `.ok`; `.invalid` outside a task.
func setProgress(done: UInt64, total: UInt64, unit: UnsafePointer<UInt8>?) -> Status {
  guard let task = Worker.currentTask else {
    return .invalid("tr_progress", "the caller is not a task")
  }
  let activity = task.openActivity()
  let last = activity.pointee.progress
  let isNews = last.at == 0 || last.done != done || last.total != total
  activity.pointee.store(
    Progress(
      done: done, total: total, unit: unit.map { KeptText.copy(of: $0) },
      at: isNews ? monotonicNow() : last.at))
  return .ok
}
