/// Which tasks and threads have missed their heartbeat intervals (E7).
extension RegistryReference {
  /// Visits every stalled task, in the order of `list`, and then every stalled thread that is not a
  /// task (E7).
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

  /// Whether no task and no thread is stalled.
  var isHealthy: Bool {
    var isHealthy = true
    forEachTask { task, registry in
      // Most tasks have no optional state, and their facts need not be gathered.
      if task.word.hasOptionalState, task.facts(in: registry)?.activity?.isStalled == true {
        isHealthy = false
      }
      return isHealthy
    }
    return isHealthy && !hasStalledThread
  }
}
