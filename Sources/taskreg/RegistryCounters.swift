extension ListedRegistry {
  /// How many tasks were spawned and have ended; as in a report, without those that never got a
  /// thread.
  var counters: TaskCounters {
    var counters = TaskCounters()
    (counters.returned, counters.failed, counters.exited) = (endings.0, endings.1, endings.2)
    counters.rejected = rejected
    counters.spawned = gate.admitted &- endings.3
    return counters
  }
}

/// What `taskreg metrics` writes: the counters of each registry, which include those of its groups,
/// in the OpenMetrics text format.
extension Snapshot {
  /// Writes the counters of all registries; the label `registry` distinguishes them.
  ///
  /// It is the name of a registry. With another one of the same name, or without, its number is
  /// behind that; if there is only one, it has no label without a name.
  static func writeMetrics(_ snapshots: [Snapshot], to writer: inout TextWriter) {
    var roots: [(copy: Int, registry: ListedRegistry)] = []
    for (copy, snapshot) in snapshots.enumerated() {
      for registry in snapshot.registries where registry.parent < 0 {
        roots.append((copy, registry))
      }
    }
    let isAmbiguous = areAmbiguous(roots.map { $0.registry.name })
    var exposed: [ExposedRegistry] = []
    for (place, root) in roots.enumerated() {
      let label = label(of: root.registry, isAmbiguous[place] ? root.copy : nil)
      exposed.append(ExposedRegistry(label, totals: root.registry.counters))
    }
    exposed.withUnsafeBufferPointer { writer.writeOpenMetrics($0) }
    writer.endOpenMetrics()
  }

  /// Which of some names another one is the same as.
  private static func areAmbiguous(_ names: [TaskName]) -> [Bool] {
    func differ(_ one: Int, _ other: Int) -> Int? {
      for place in 0..<8 where names[one].words[place] != names[other].words[place] { return place }
      return nil
    }
    // The same are beside each other.
    let order = names.indices.sorted { one, other in
      differ(one, other).map { names[one].words[$0] < names[other].words[$0] } ?? false
    }
    var found = [Bool](repeating: false, count: names.count)
    for place in order.indices.dropFirst() where differ(order[place - 1], order[place]) == nil {
      found[order[place - 1]] = true
      found[order[place]] = true
    }
    return found
  }

  private static func label(of registry: ListedRegistry, _ copy: Int?) -> GroupPath {
    var label = GroupPath()
    withFixedText { text in
      registry.name.withText { text.append(utf8: $0) }
      guard let copy else { return }
      if registry.name.words[0] != 0 { text.append(" ") }
      if copy > 0 {
        text.append(copy)
        text.append(".")
      }
      text.append(registry.number)
    } _: {
      label = GroupPath(whole: $0)
    }
    return label
  }
}
