import CPlatform

/// Lists of the live tasks, written while they are walked (E9): they need no
/// memory, and no lock is held.
extension RegistryReference {
  /// Writes a table.
  ///
  /// - Returns: `.ok`; `.system` with errno set; `.truncated`.
  func writeListAsText(to sink: TextSink) -> Status {
    withTextWriter(sink) { writer in
      let clocks = ClockPair.now
      writer.writeHeadOfTasks()
      let count = list { _, facts in
        writer.writeRow(
          of: facts, facts.registry.pointer.pointee.path, facts.label, at: clocks.monotonic)
      }
      writer.write(count)
      writer.write(count == 1 ? " task\n" : " tasks\n")
    }
  }

  /// Writes one JSON object on one line; its schema is docs/schema/snapshot.json.
  ///
  /// Wall time is text: nanoseconds since 1970 exceed 2^53, and a reader that stores numbers as
  /// doubles (RFC 8259, section 6) would round them.
  ///
  /// - Returns: `.ok`; `.system` with errno set; `.truncated`.
  func writeListAsJSON(to sink: TextSink) -> Status {
    withTextWriter(sink) { writer in
      let clocks = ClockPair.now
      writer.write("{\"at_unix_ns\":\"", exact: clocks.wall)
      writer.write("\",\"tasks\":[")
      let count = list { index, facts in
        if index > 0 { writer.write(",") }
        writer.writeMembers(
          of: facts, facts.registry.pointer.pointee.path, facts.label, at: clocks)
        writer.write("}")
      }
      writer.write("],\"count\":", count)
      writer.write("}\n")
    }
  }
}

extension TextWriter {
  /// Writes the first line of a table of tasks.
  mutating func writeHeadOfTasks() {
    write("      ID   THREAD       AGE/ms  STATE       KIND             NAME\n")
  }

  /// Writes the line of a task in such a table.
  @inline(never)
  mutating func writeRow(
    of facts: TaskFacts, _ path: GroupPath, _ label: TaskLabel, at now: Int64
  ) {
    write(UInt64(facts.id), width: 8)
    write(UInt64(facts.threadID.magnitude), width: 9)
    write(UInt64(max(0, now &- facts.spawnedAt) / 1_000_000), width: 13)
    write("  ")
    write(facts.state.text, width: 12)
    write(kind: facts.kind, width: 17)
    write(path: path, name: facts.name)
    if !label.isEmpty {
      write(" for \"")
      label.withText { write(text: $0) }
      write("\"")
    }
    if let activity = facts.activity {
      write(remarksOn: activity, at: now)
      write(runsOf: activity, facts.state, at: now)
    }
    write("\n")
  }

  /// Writes a task as a JSON object without its closing brace.
  @inline(never)
  mutating func writeMembers(
    of facts: TaskFacts, _ path: GroupPath, _ label: TaskLabel, at clocks: ClockPair
  ) {
    write("{\"id\":", facts.id)
    write(path: path, name: facts.name, kind: facts.kind)
    write(label)
    write(",\"state\":\"")
    write(facts.state.text)
    write("\",\"thread_id\":", facts.threadID)
    let age = max(0, clocks.monotonic &- facts.spawnedAt)
    write(",\"spawned_at_unix_ns\":\"", exact: clocks.wall &- age)
    write("\",\"age_ns\":", age)
    write(
      ",\"cancel_requested_for_ns\":",
      orNull: facts.word.isCancelRequested ? max(0, clocks.monotonic &- facts.cancelledAt) : -1)
    write(",\"cleanup\":", facts.word.isCleanup)
    write(",\"unjoined\":", !facts.isJoinable)
    write(",\"stop_level\":", facts.word.level.rawValue)
    let activity = facts.activity ?? ActivityFacts()
    write(",\"draining_for_ns\":", orNull: activity.drainingFor(at: clocks.monotonic))
    write(",\"phase\":", activity.phase)
    write(activity, at: clocks.monotonic)
    write(jsonRunsOf: activity, facts.state, at: clocks.monotonic)
    write(jsonSpawnOf: facts)
  }

  /// Writes what follows a task's name: its checkpoint, its progress, and whether it is stalled.
  @inline(never)
  mutating func write(remarksOn activity: ActivityFacts, at now: Int64) {
    if let checkpoint = activity.checkpoint {
      write(" \"")
      write(text: checkpoint)
      write("\"")
    }
    if activity.progress.at != 0 {
      write(" ")
      write(activity.progress)
    }
    if activity.drainingSince != 0 {
      write(" draining for ")
      write(duration: activity.drainingFor(at: now))
    }
    if activity.isUnjoined { write(" unjoined") }
    if activity.isStalled { write(" STALLED") }
  }

  /// Writes a number, right-aligned.
  @inline(never)
  mutating func write(_ number: UInt64, width: Int) {
    var digits = 1
    var rest = number / 10
    while rest > 0 {
      digits += 1
      rest /= 10
    }
    for _ in digits..<max(digits, width) { write(" ") }
    write(number)
  }

  /// Writes the name of a kind, left-aligned, followed by at least one space.
  @inline(never)
  fileprivate mutating func write(kind: UInt32, width: Int) {
    guard let name = KindNames.name(of: kind) else { return write(Names.kind(kind), width: width) }
    write(text: name)
    for _ in min(strnlen(name, 64), width - 1)..<width { write(" ") }
  }

  /// Writes text, left-aligned, followed by at least one space.
  @inline(never)
  mutating func write(_ text: StaticString, width: Int) {
    write(text)
    for _ in min(text.utf8CodeUnitCount, width - 1)..<width { write(" ") }
  }
}
