import CPlatform
import Synchronization

// LOCKING
// A registry's Monitor guards the list of the reports that record the ends of its tasks, and
// `slowest` of each report meanwhile. A report is on the list of one registry, from before its call
// cancels anything until all tasks have ended, or the call has given up; then it belongs to the
// caller.

/// The tasks that took longest to stop while a report was being made (E6).
struct SlowestTasks {
  /// Unordered until `sort`.
  private var tasks = InlineArray<16, EndedFacts>(repeating: EndedFacts())
  private(set) var count = 0

  /// The most that are kept.
  static var most: Int { 16 }

  subscript(index: Int) -> EndedFacts { tasks[index] }

  /// Keeps `task` if it is among the slowest.
  mutating func add(_ task: borrowing EndedFacts) {
    if count < Self.most {
      tasks[count] = copy task
      count += 1
      return
    }
    var fastest = 0
    for place in 1..<Self.most where tasks[place].stop < tasks[fastest].stop { fastest = place }
    if tasks[fastest].stop < task.stop { tasks[fastest] = copy task }
  }

  /// Puts the slowest first.
  mutating func sort() {
    var sorted = 0
    while sorted < count {
      var slowest = sorted
      for place in sorted..<count where tasks[place].stop > tasks[slowest].stop { slowest = place }
      tasks.swapAt(sorted, slowest)
      sorted += 1
    }
  }
}

/// The full report of a call that waits, if one is made.
///
/// It lives on the call's stack. A callback may end the thread; then the report is given up.
struct WaitingReport {
  private let registry: RegistryReference
  private let report: ReportReference?
  private var isRecording = false

  init(_ report: ReportReference?, in registry: RegistryReference) {
    self.registry = registry
    self.report = report
  }

  /// Makes the report record the ends of tasks from now on.
  mutating func beginRecordingStops() {
    guard let report else { return }
    isRecording = true
    registry.pointer.pointee.reportCount.wrappingAdd(1, ordering: .sequentiallyConsistent)
    registry.monitor.withLock { state in
      state.reports.prepend(report)
    }
  }

  /// Makes the report record no more.
  mutating func endRecordingStops() {
    guard let report, isRecording else { return }
    isRecording = false
    registry.monitor.withLock { _ = $0.reports.remove(report) }
    registry.pointer.pointee.reportCount.wrappingSubtract(1, ordering: .sequentiallyConsistent)
  }

  /// Frees the report of a call that nobody returns from.
  static func giveUp(_ waiting: UnsafeMutableRawPointer?) {
    // SAFETY: it is the value that is passed with this function; its frame still exists.
    let waiting = waiting.unsafelyUnwrapped.assumingMemoryBound(to: WaitingReport.self)
    waiting.pointee.endRecordingStops()
    waiting.pointee.report?.destroy()
  }
}

extension TaskReference {
  /// Records the end of the task, which was asked to stop, in the reports that are being made.
  ///
  /// Called on the task's own thread, before the end is counted. A straggler is not recorded: it
  /// did not stop in time.
  @inline(never)
  func recordStop(_ how: TaskWord.Ending) {
    let registry = self.registry
    registry.forEachUpwards { registry in
      if registry.pointer.pointee.reportCount.load(ordering: .relaxed) == 0 { return }
      if word.isOverdue { return }
      let facts = endedFacts(how, at: monotonicNow())
      registry.monitor.withLock { state in
        var next = state.reports.first
        while let report = next {
          report.slowest.pointee.add(facts)
          next = state.reports.element(after: report)
        }
      }
    }
  }
}

/// The place of a report among those that record the ends of a registry's tasks.
enum ReportPlace: ListPlace {
  static subscript(element: ReportReference) -> ListLinks<ReportReference> {
    get { element.pointer.pointee.links }
    set { element.pointer.pointee.links = newValue }
  }
}
