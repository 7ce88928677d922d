import CPlatform

/// Reports on the tasks and threads of a target by the code that makes the reports of a process.
enum Examination {
  /// Where a task is.
  private struct Place {
    let id: UInt64
    let snapshot: Int
    let task: Int
  }

  /// The snapshots that are examined, and their tasks in the order of their ids.
  ///
  /// SAFETY: the tool has one thread that examines.
  nonisolated(unsafe) private static var snapshots: [Snapshot] = []
  nonisolated(unsafe) private static var places: [Place] = []

  private static func task(at place: Place) -> ExaminedTask {
    let snapshot = snapshots[place.snapshot]
    return ExaminedTask(snapshot: snapshot, task: snapshot.tasks[place.task])
  }

  /// The task that a straggler is.
  static func found(_ straggler: StragglerFacts) -> ExaminedTask? {
    let id = straggler.facts.id
    var (low, high) = (0, places.count)
    while low < high {
      let middle = (low + high) / 2
      if places[middle].id < id { low = middle + 1 } else { high = middle }
    }
    // Two copies of the library count apart.
    while low < places.count && places[low].id == id {
      let found = task(at: places[low])
      if found.task.facts.registry == straggler.facts.registry { return found }
      low += 1
    }
    return nil
  }

  /// Passes a report of all tasks of the snapshots, and of the other threads of the process, to
  /// `body`, and frees it afterwards.
  ///
  /// - Returns: what `body` returns; nil without memory.
  static func withReport<Result>(
    on snapshots: [Snapshot], _ body: (ReportReference) -> Result
  ) -> Result? {
    defer { (self.snapshots, places) = ([], []) }
    guard let report = report(on: snapshots) else { return nil }
    defer { report.destroy() }
    return body(report)
  }

  private static func report(on snapshots: [Snapshot]) -> ReportReference? {
    self.snapshots = snapshots
    for (number, snapshot) in snapshots.enumerated() {
      for (place, task) in snapshot.tasks.enumerated() {
        places.append(Place(id: task.facts.id, snapshot: number, task: place))
      }
    }
    places.sort { $0.id < $1.id }
    guard let report = ReportReference.make() else { return nil }
    report.pointer.pointee.occasion = .explain
    report.pointer.pointee.clocks = ProbedProcess.clocks
    report.pointer.pointee.tally.pending = UInt64(places.count)
    report.pointer.pointee.tally.abandoned = UInt64(places.count)
    report.makeRoom(for: UInt64(places.count))
    let count = min(places.count, report.pointer.pointee.stragglerRoom)
    for index in 0..<count {
      let found = task(at: places[index])
      (report.stragglers + index).initialize(
        to: StragglerFacts(
          found.task.facts, found.snapshot.registries[found.task.registry].path, found.task.label))
      report.pointer.pointee.stragglerCount = index + 1
    }
    var budget = DescriptorFace.budget
    for index in 0..<count {
      report.stragglers[index].probe(task(at: places[index]))
      if ProbedProcess.isDead { continue }
      guard let faces = report.pointer.pointee.faces else { continue }
      let straggler = report.stragglers[index]
      if straggler.facts.threadID == 0 || straggler.diagnosis == .ended { continue }
      let noted = straggler.wait?.kind == .descriptor ? straggler.thread.edge.descriptor : nil
      if let face = DescriptorFace(
        of: straggler.thread, threadID: straggler.facts.threadID, noted: noted, budget: &budget)
      {
        (faces + index).initialize(to: face)
        report.stragglers[index].face = faces + index
      }
    }
    report.findHolders(withThreads: true)
    report.findAlike()
    return report
  }
}
