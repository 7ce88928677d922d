import CPlatform

/// Reports on the tasks and threads of a target by the code that makes the reports of a process.
enum Examination {
  /// The tasks that are examined, in the order of their ids.
  ///
  /// SAFETY: the tool has one thread that examines.
  nonisolated(unsafe) private static var tasks: [ExaminedTask] = []

  /// The task that a straggler is.
  static func found(_ straggler: StragglerFacts) -> ExaminedTask? {
    let id = straggler.facts.id
    var (low, high) = (0, tasks.count)
    while low < high {
      let middle = (low + high) / 2
      if tasks[middle].task.facts.id < id { low = middle + 1 } else { high = middle }
    }
    // Two copies of the library count apart.
    while low < tasks.count && tasks[low].task.facts.id == id {
      if tasks[low].task.facts.registry == straggler.facts.registry { return tasks[low] }
      low += 1
    }
    return nil
  }

  /// Makes a report of all tasks of the snapshots, and of the other threads of the process; nil
  /// without memory.
  static func report(on snapshots: [Snapshot]) -> ReportReference? {
    tasks = []
    for snapshot in snapshots {
      for task in snapshot.tasks { tasks.append(ExaminedTask(snapshot: snapshot, task: task)) }
    }
    tasks.sort { $0.task.facts.id < $1.task.facts.id }
    guard let report = ReportReference.make() else { return nil }
    report.pointer.pointee.occasion = .explain
    report.pointer.pointee.clocks = ProbedProcess.clocks
    report.pointer.pointee.tally.pending = UInt64(tasks.count)
    report.pointer.pointee.tally.abandoned = UInt64(tasks.count)
    report.makeRoom(for: UInt64(tasks.count))
    let count = min(tasks.count, report.pointer.pointee.stragglerRoom)
    for index in 0..<count {
      let found = tasks[index]
      (report.stragglers + index).initialize(
        to: StragglerFacts(
          found.task.facts, found.snapshot.registries[found.task.registry].path, found.task.label))
      report.pointer.pointee.stragglerCount = index + 1
    }
    var budget = DescriptorFace.budget
    for index in 0..<count {
      report.stragglers[index].probe(tasks[index])
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
