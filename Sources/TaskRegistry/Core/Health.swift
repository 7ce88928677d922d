/// Who keeps the promise to beat, and who does not (E7).
extension RegistryReference {
  /// Visits every task that is stalled, as `list` visits all (E7).
  ///
  /// - Returns: how many were visited.
  func listStalled(at now: Int64, _ visit: (_ index: Int, _ facts: TaskFacts) -> Void) -> Int {
    var count = 0
    _ = list { _, facts in
      guard let notes = facts.notes, notes.isStalled(at: now) else { return }
      visit(count, facts)
      count += 1
    }
    return count
  }

  /// Whether every task keeps its promise to beat.
  var isHealthy: Bool {
    let now = monotonicNow()
    var isHealthy = true
    forEachTask { task, registry in
      // Most tasks have no notes, and their facts need not be gathered.
      if task.word.hasExtras, task.facts(in: registry)?.notes?.isStalled(at: now) == true {
        isHealthy = false
      }
      return isHealthy
    }
    return isHealthy
  }
}
