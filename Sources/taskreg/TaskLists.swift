/// What `taskreg ps` writes.
extension Snapshot {
  /// Writes a table of the tasks, as `tr_registry_write_snapshot` does in the process.
  func writeTable(to writer: inout TextWriter) {
    writer.writeHeadOfTasks()
    for task in tasks { writeRow(of: task, to: &writer) }
    writeCount(to: &writer)
  }

  /// Writes the registries with their groups, and the tasks of each below it.
  func writeTree(to writer: inout TextWriter) {
    // The tasks of a registry are one behind the other, and so are the groups in a registry.
    var firstTask = [Int](repeating: tasks.count, count: registries.count + 1)
    for place in tasks.indices.reversed() { firstTask[tasks[place].registry] = place }
    var firstGroup = [Int](repeating: registries.count, count: registries.count + 1)
    for place in registries.indices.reversed() where registries[place].parent >= 0 {
      firstGroup[registries[place].parent] = place
    }
    for root in registries.indices where registries[root].parent < 0 {
      var stack = [root]
      while let place = stack.popLast() {
        writeIndent(registries[place].depth, to: &writer)
        write(registries[place], to: &writer)
        var task = firstTask[place]
        while task < tasks.count && tasks[task].registry == place {
          writeLeaf(tasks[task], registries[place].depth + 1, to: &writer)
          task += 1
        }
        var groups: [Int] = []
        var group = firstGroup[place]
        while group < registries.count && registries[group].parent == place {
          groups.append(group)
          group += 1
        }
        while let last = groups.popLast() { stack.append(last) }
      }
    }
    writeCount(to: &writer)
  }

  private func writeLeaf(_ task: ListedTask, _ depth: Int, to writer: inout TextWriter) {
    writeIndent(depth, to: &writer)
    task.facts.name.withText { writer.write(text: $0) }
    writer.write(" (")
    writer.write(task.facts.id)
    writer.write("): ")
    writer.write(kind: task.facts.kind)
    writer.write(", ")
    writer.write(task.facts.state.text)
    writer.write(", thread ")
    writer.write(task.facts.threadID)
    writer.write(", age ")
    writer.write(duration: max(0, clocks.monotonic &- task.facts.spawnedAt))
    if !task.label.isEmpty {
      writer.write(", for \"")
      task.label.withText { writer.write(text: $0) }
      writer.write("\"")
    }
    writer.write(", ", spawnOf: task.facts, "\n")
    if task.facts.parent == 0 && task.facts.spawnedFrom == 0 { writer.write("\n") }
  }

  private func write(_ registry: ListedRegistry, to writer: inout TextWriter) {
    if registry.parent < 0 {
      writer.write("registry ")
      writer.write(registry.number)
      if registry.name.words[0] != 0 {
        writer.write(" ")
        registry.name.withText { writer.write(text: $0) }
      }
    } else {
      writer.write("group ")
      registry.path.withText { writer.write(text: $0) }
    }
    writer.write(": ")
    writer.write(registry.gate.isClosed ? "closed, " : "open, ")
    writer.write(registry.counters.spawned)
    writer.write(" spawned, ")
    writer.write(registry.counters.ended)
    writer.write(" ended")
    if registry.rejected > 0 {
      writer.write(", ")
      writer.write(registry.rejected)
      writer.write(" rejected")
    }
    writer.write("\n")
  }

  private func writeIndent(_ depth: Int, to writer: inout TextWriter) {
    for _ in 0..<min(depth, 32) { writer.write("  ") }
  }

  private func writeRow(of task: ListedTask, to writer: inout TextWriter) {
    writer.writeRow(
      of: task.facts, registries[task.registry].path, task.label, at: clocks.monotonic)
  }

  /// Writes how many tasks there are, and whether some may be missing.
  private func writeCount(to writer: inout TextWriter) {
    writer.write(tasks.count)
    writer.write(tasks.count == 1 ? " task" : " tasks")
    if root.hasRegistries && root.isForked {
      writer.write("; it is a child of fork, and the registries that it has are its parent's")
    }
    if isIncomplete {
      writer.write("; some may be missing: not all of its memory could be read")
    }
    writer.write("\n")
  }

  /// Writes one JSON object on one line; its schema is docs/schema/ps.json.
  static func writeJSON(_ snapshots: [Snapshot], to writer: inout TextWriter) {
    guard let first = snapshots.first else { return }
    writer.write("{\"at_unix_ns\":\"", exact: first.clocks.wall)
    writer.write("\",\"process_id\":", first.target.process)
    writer.write(",\"process_name\":")
    first.target.name.withUnsafeBufferPointer { writer.write(json: $0.baseAddress) }
    var isIncomplete = false
    for snapshot in snapshots where snapshot.isIncomplete { isIncomplete = true }
    writer.write(",\"complete\":", !isIncomplete)
    first.target.writeCore(to: &writer)
    writer.write(",\"registries\":[")
    var isFirst = true
    for (copy, snapshot) in snapshots.enumerated() {
      for registry in snapshot.registries {
        if !isFirst { writer.write(",") }
        isFirst = false
        snapshot.write(json: registry, copy, to: &writer)
      }
    }
    writer.write("],\"tasks\":[")
    var count = 0
    for (copy, snapshot) in snapshots.enumerated() {
      for task in snapshot.tasks {
        if count > 0 { writer.write(",") }
        count += 1
        writer.writeMembers(
          of: task.facts, snapshot.registries[task.registry].path, task.label, at: snapshot.clocks)
        writer.write(",\"copy\":", copy)
        writer.write(",\"registry\":", snapshot.registries[task.registry].number)
        writer.write("}")
      }
    }
    writer.write("],\"count\":", count)
    writer.write("}\n")
  }

  private func write(json registry: ListedRegistry, _ copy: Int, to writer: inout TextWriter) {
    writer.write("{\"copy\":", copy)
    writer.write(",\"number\":", registry.number)
    writer.write(",\"parent\":")
    if registry.parent < 0 {
      writer.write("null")
    } else {
      writer.write(registries[registry.parent].number)
    }
    writer.write(",\"name\":")
    registry.name.withText { writer.write(json: registry.name.words[0] == 0 ? nil : $0) }
    writer.write(",\"group\":")
    registry.path.withText { writer.write(json: $0) }
    writer.write(",\"closed\":", registry.gate.isClosed)
    let counters = registry.counters
    writer.write(",\"spawned\":", counters.spawned)
    writer.write(",\"ended\":", counters.ended)
    writer.write(",\"failed\":", counters.failed)
    writer.write(",\"exited\":", counters.exited)
    writer.write(",\"rejected\":", counters.rejected)
    writer.write("}")
  }
}
