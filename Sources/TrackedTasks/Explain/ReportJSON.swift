/// A report as JSON (E10); its schema is docs/schema/report.json.
extension ReportReference {
  /// Writes the report as one JSON object.
  ///
  /// - Returns: `.ok`; `.system` with errno set; `.truncated`.
  func writeJSON(to sink: TextSink) -> Status {
    withTextWriter(sink) { writer in
      let tally = pointer.pointee.tally
      writer.write("{\"occasion\":\"")
      writer.write(occasionName)
      writer.write("\"")
      writer.write(",\"at_unix_ns\":\"", exact: pointer.pointee.clocks.wall)
      writer.write("\",\"reason\":")
      writer.write(json: Names.reason(pointer.pointee.reason).utf8Start)
      writer.write(",\"reason_number\":", pointer.pointee.reason)
      writer.write(",\"message\":")
      withMessage { writer.write(json: $0) }
      writer.write(",\"grace_ns\":", orNull: pointer.pointee.grace)
      writer.write(",\"cut_short_by\":")
      if pointer.pointee.cutBy != 0 {
        withCause { writer.write(json: $0) }
      } else {
        writer.write("null")
      }
      writer.write(",\"extended_ns\":", tally.extended)
      writer.write(",\"elapsed_ns\":", tally.elapsed)
      writer.write(",\"callbacks_ns\":", tally.callbacks.total)
      Self.write(tally.callbacks, to: &writer)
      writer.write(",\"ended\":", tally.ended)
      writer.write(",\"failed\":", tally.failed)
      writer.write(",\"exited\":", tally.exited)
      writer.write(",\"ended_before\":", tally.before.ended)
      writer.write(",\"failed_before\":", tally.before.failed)
      writer.write(",\"exited_before\":", tally.before.exited)
      writer.write(",\"pending\":", tally.pending)
      writer.write(",\"aborted\":", tally.aborted)
      writer.write(",\"abandoned\":", tally.abandoned)
      writer.write(",\"rejected\":", tally.rejected)
      writer.write(",\"threads_left\":", tally.threadsLeft)
      writer.write(",\"unjoined\":", tally.unjoined)
      writer.write(",\"phases\":[")
      for index in 0..<pointer.pointee.phaseCount {
        if index > 0 { writer.write(",") }
        Self.write(pointer.pointee.phases[index], to: &writer)
      }
      writer.write("],\"slowest\":[")
      for index in 0..<slowest.pointee.count {
        if index > 0 { writer.write(",") }
        writer.write(json: slowest.pointee[index])
      }
      writer.write("],")
      writeCirclesAndHolders(to: &writer)
      writer.write(",\"stragglers\":[")
      for index in 0..<pointer.pointee.stragglerCount {
        if index > 0 { writer.write(",") }
        stragglers[index].writeJSON(to: &writer)
      }
      writer.write("]")
      writeOtherThreads(toJSON: &writer)
      writer.write("}\n")
    }
  }

  private var occasionName: StaticString {
    switch pointer.pointee.occasion {
    case .join: "join"
    case .shutdown: "shutdown"
    case .explain: "explain"
    }
  }

  /// Writes the callback that took longest.
  private static func write(_ callbacks: CallbackTimes, to writer: inout TextWriter) {
    writer.write(",\"longest_callback\":")
    if callbacks.longest == 0 {
      writer.write("null")
      return
    }
    writer.write("{\"kind\":\"")
    writer.write(callbacks.kind.text)
    writer.write("\",\"duration_ns\":", callbacks.longest)
    withSymbol(of: UInt64(callbacks.function)) { object, objectOffset, symbol, symbolOffset in
      writer.write(",\"object\":")
      writer.write(json: object, limit: 4096)
      writer.write(",\"object_offset\":\"0x")
      writer.write(hexadecimal: objectOffset)
      writer.write("\",\"symbol\":")
      writer.write(json: symbol, limit: 4096)
      writer.write(",\"symbol_offset\":\"0x")
      writer.write(hexadecimal: symbolOffset)
    }
    writer.write("\"}")
  }

  private static func write(_ phase: PhaseFacts, to writer: inout TextWriter) {
    writer.write("{\"phase\":", phase.phase)
    writer.write(",\"ended_before\":", phase.endedBefore)
    writer.write(",\"asked\":", phase.asked)
    writer.write(",\"remaining\":", phase.remaining)
    writer.write(",\"start_ns\":", phase.start)
    writer.write(",\"share_ns\":", orNull: phase.share)
    writer.write(",\"duration_ns\":", phase.duration)
    writer.write(",\"callbacks_ns\":", phase.callbacks)
    writer.write("}")
  }
}

extension StragglerFacts {
  fileprivate func writeJSON(to writer: inout TextWriter) {
    writer.write("{\"id\":", facts.id)
    writer.write(path: path, name: facts.name, kind: facts.kind)
    writer.write(label)
    writer.write(",\"state\":\"")
    writer.write(state.text)
    writer.write("\",\"diagnosis\":\"")
    writer.write(diagnosis.text)
    writer.write("\"")
    writer.write(",\"phase\":", activity.phase)
    writer.write(",\"unjoined\":", activity.isUnjoined)
    writer.write(",\"thread_id\":", facts.threadID)
    writer.write(",\"age_ns\":", age)
    writer.write(",\"cancel_requested_for_ns\":", orNull: askedAge)
    writer.write(",\"stop_level\":", facts.word.level.rawValue)
    writer.write(",\"draining_for_ns\":", orNull: activity.drainingFor(at: probedAt))
    writer.write(",\"cancel_checks\":", cancelChecks)
    writer.write(",\"reads_flag_directly\":", activity.readsFlag)
    writer.write(",\"cpu_ns\":", orNull: cpu)
    writer.write(",\"cpu_since_ns\":", orNull: cpuSince)
    writer.write(",\"cpu_since_span_ns\":", orNull: cpuSince < 0 ? -1 : cpuSpan)
    writer.write(json: thread)
    writer.write(",\"library_wait\":")
    if let wait {
      writer.write("{\"for\":\"")
      writer.write(wait.kind.name)
      writer.write("\",\"object\":", wait.shownObject)
      writer.write(",\"waited_ns\":", wait.waited(at: probedAt))
      writer.write(",\"remaining_ns\":", orNull: wait.remaining(at: probedAt))
      writer.write("}")
    } else {
      writer.write("null")
    }
    writer.write(",\"run_queue_ns\":", orNull: thread.runQueue)
    writer.write(",\"descriptor\":")
    if let face {
      writer.write("{\"number\":", face.pointee.number)
      writer.write(",\"kind\":\"")
      writer.write(face.pointee.kind.text)
      writer.write("\",\"text\":")
      face.pointee.withText { writer.write(json: $0) }
      writer.write("}")
    } else {
      writer.write("null")
    }
    writer.write(",\"waits_for\":")
    writer.write(thread.edge, holder, waitedAtLeast)
    writer.write(",\"probe_error\":", orNull: thread.failure == 0 ? -1 : Int64(thread.failure))
    writer.write(activity, at: probedAt)
    writer.write(jsonRunsOf: activity, state, at: probedAt)
    writer.write(jsonSpawnOf: facts)
    writer.write(",\"backtrace\":\"")
    writer.write(backtrace.text)
    writer.write("\",\"frames\":[")
    for number in 0..<frameCount {
      if number > 0 { writer.write(",") }
      write(frame: number, to: &writer)
    }
    writer.write("]}")
  }

  private func write(frame number: Int, to writer: inout TextWriter) {
    guard let address = frames?[number] else { return }
    writer.write("{\"address\":\"0x")
    writer.write(hexadecimal: address)
    withSymbol(of: Self.place(ofFrame: number, at: address)) {
      object, objectOffset, symbol, symbolOffset in
      writer.write("\",\"object\":")
      writer.write(json: object, limit: 4096)
      writer.write(",\"object_offset\":\"0x")
      writer.write(hexadecimal: objectOffset)
      writer.write("\",\"symbol\":")
      writer.write(json: symbol, limit: 4096)
      writer.write(",\"symbol_offset\":\"0x")
      writer.write(hexadecimal: symbolOffset)
    }
    writer.write("\"}")
  }
}

extension FixedWidthInteger {
  /// The number, which is not negative, with all but its 53 leading bits set to 0.
  ///
  /// A reader of JSON that stores numbers as doubles (RFC 8259, section 6) gets exactly what was
  /// written. Up to 2^53, which is 104 days in nanoseconds, that is the number itself.
  var cutForDouble: Self {
    let behind = Self.bitWidth - leadingZeroBitCount - 53
    return behind > 0 ? (self >> behind) << behind : self
  }
}

extension TextWriter {
  /// Writes `key`, which includes all punctuation, and a number that a double can hold exactly.
  @inline(never)
  mutating func write<Number: FixedWidthInteger>(_ key: StaticString, _ number: Number) {
    write(key)
    write(number.cutForDouble)
  }

  /// Writes `key` and all digits of the number, for a member that is text.
  @inline(never)
  mutating func write(_ key: StaticString, exact number: Int64) {
    write(key)
    write(number)
  }

  /// Writes `key` and a number, or null for a negative one.
  @inline(never)
  mutating func write(_ key: StaticString, orNull number: Int64) {
    write(key)
    if number < 0 { write("null") } else { write(number.cutForDouble) }
  }

  /// Writes `key` and a Boolean.
  @inline(never)
  mutating func write(_ key: StaticString, _ value: Bool) {
    write(key)
    write(value ? "true" : "false")
  }

  /// Writes the members that identify a task, except its id.
  @inline(never)
  mutating func write(path: GroupPath, name: TaskName, kind: UInt32) {
    write(",\"name\":")
    name.withText { write(json: $0) }
    write(",\"group\":")
    path.withText { write(json: $0) }
    write(",\"kind\":\"")
    write(Names.kind(kind))
    write("\",\"kind_number\":", kind)
    write(",\"kind_name\":")
    write(json: KindNames.name(of: kind))
  }

  /// Writes how the thread is scheduled, and what it is in.
  @inline(never)
  mutating func write(json thread: ThreadProbe) {
    write(",\"scheduler_state\":")
    if thread.schedulerState == 0 {
      write("null")
    } else {
      // A letter: `ThreadProbe` accepts nothing else.
      write("\"")
      write(byte: thread.schedulerState)
      write("\"")
    }
    write(",\"wait_channel\":")
    thread.withWaitChannel { write(json: $0[0] == 0 ? nil : $0) }
    write(",\"syscall\":", orNull: Int64(thread.syscall))
    write(",\"syscall_name\":")
    write(json: thread.syscallName)
  }

  /// Writes the label of a task.
  @inline(never)
  mutating func write(_ label: TaskLabel) {
    write(",\"label\":")
    label.withText { write(json: label.isEmpty ? nil : $0) }
  }

  /// Writes the members that a task has set itself.
  @inline(never)
  mutating func write(_ activity: ActivityFacts, at now: Int64) {
    write(",\"stalled\":", activity.isStalled)
    write(",\"checkpoint\":")
    write(json: activity.checkpoint)
    write(",\"progress\":")
    if activity.progress.at == 0 {
      write("null")
      return
    }
    write("{\"done\":", activity.progress.done)
    write(",\"total\":", activity.progress.total)
    write(",\"unit\":")
    write(json: activity.progress.unit)
    write(",\"age_ns\":", max(0, now &- activity.progress.at))
    write("}")
  }

  /// Writes an object for a task that has ended.
  @inline(never)
  mutating func write(json task: EndedFacts) {
    write("{\"id\":", task.id)
    write(path: task.path, name: task.name, kind: task.kind)
    write(",\"how\":\"")
    write(Names.ending(task.how))
    write("\",\"code\":", task.code)
    write(",\"ran_ns\":", task.ran)
    write(",\"stop_ns\":", orNull: task.stop)
    write("}")
  }
}
