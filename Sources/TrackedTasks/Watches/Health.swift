/// Who keeps the promise to beat, and who does not (E7).
extension RegistryReference {
  /// Visits every task that is stalled, as `list` visits all, and then every stalled thread that is no task (E7).
  ///
  /// - Returns: how many were visited.
  func listStalled(_ visit: (_ index: Int, _ facts: TaskFacts) -> Void) -> Int {
    var count = 0
    _ = list { _, facts in
      guard let activity = facts.activity, activity.isStalled else { return }
      visit(count, facts)
      count += 1
    }
    var index = 0
    while let facts = stalledThread(index) {
      visit(count, facts)
      facts.registry.releaseStorage()
      count += 1
      index += 1
    }
    return count
  }

  /// Whether every task keeps its promise to beat.
  var isHealthy: Bool {
    var isHealthy = true
    forEachTask { task, registry in
      // Most tasks have no notes, and their facts need not be gathered.
      if task.word.hasOptionalState, task.facts(in: registry)?.activity?.isStalled == true {
        isHealthy = false
      }
      return isHealthy
    }
    return isHealthy && !hasStalledThread
  }
}
