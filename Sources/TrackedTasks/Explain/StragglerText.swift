/// A straggler of a report, or a task of an explain, as text (E10).
extension StragglerFacts {
  /// Writes a few lines: name, diagnosis, age, state, checkpoint, progress, and where its thread
  /// is.
  ///
  /// - Parameters:
  ///   - writer: where to.
  ///   - writeWait: writes what it waits for.
  func writeText(
    to writer: inout TextWriter, _ writeWait: (inout TextWriter) -> Void
  ) {
    writer.write(path: path, name: facts.name)
    writer.write(": ")
    if let wait, diagnosis == .idle {
      withFixedText {
        $0.append(wait, at: probedAt)
      } _: {
        writer.write(text: $0)
      }
    } else if diagnosis == .waiting {
      if activity.startsAt == .max {
        writer.write("waiting, as it is paused")
      } else {
        writer.write("waiting ")
        writer.write(duration: max(0, activity.startsAt &- probedAt))
        writer.write(activity.runs == 0 ? " for its first run" : " to start again")
      }
    } else {
      writer.write(diagnosis.text)
      writeWhere(to: &writer)
    }
    writer.write("\n  ")
    writer.write(kind: facts.kind)
    writer.write(", id ")
    writer.write(facts.id)
    writer.write(", thread ")
    writer.write(facts.threadID)
    writer.write(", ")
    writer.write(state.text)
    writer.write(", age ")
    writer.write(duration: age)
    if activity.phase > 0 {
      writer.write(", phase ")
      writer.write(activity.phase)
    }
    if activity.isUnjoined { writer.write(", unjoined") }
    if activity.isStalled { writer.write(", heartbeat overdue") }
    writer.write("\n")
    writer.write("  ", spawnOf: facts, "\n")
    if activity.runs > 0 {
      writer.write("  run ")
      writer.write(activity.runs)
      writer.write(lastRunOf: activity)
      writer.write("\n")
    }
    if let face {
      writer.write("  on fd ")
      writer.write(face.pointee.number)
      writer.write(": ")
      face.pointee.withText { writer.write(text: $0) }
      writer.write("\n")
    }
    if diagnosis != .ended { writeEffort(to: &writer) }
    writeWait(&writer)
    if thread.failure != 0 {
      writer.write("  not all is known of its thread: ")
      writer.write(failure: thread.failure)
      writer.write("\n")
    }
    if !label.isEmpty {
      writer.write("  for \"")
      label.withText { writer.write(text: $0) }
      writer.write("\"\n")
    }
    if let checkpoint = activity.checkpoint {
      writer.write("  at \"")
      writer.write(text: checkpoint)
      writer.write("\"\n")
    }
    if progressAge >= 0 {
      writer.write("  progress ")
      writer.write(activity.progress)
      writer.write(", reported ")
      writer.write(duration: progressAge)
      writer.write(" ago\n")
    }
    if let reason = backtrace.reason {
      writer.write("  no backtrace: ")
      writer.write(reason)
      writer.write("\n")
    }
    for number in 0..<frameCount { write(frame: number, to: &writer) }
  }

  /// Writes what the thread waits in.
  private func writeWhere(to writer: inout TextWriter) {
    if let name = syscallName {
      writer.write(" in ")
      writer.write(text: name)
    } else if thread.syscall >= 0 {
      writer.write(" in system call ")
      writer.write(thread.syscall)
    }
    thread.withWaitChannel { channel in
      if channel[0] != 0 {
        writer.write(" (")
        writer.write(text: channel)
        writer.write(")")
      }
    }
    writer.write(waitedAtLeast: waitedAtLeast)
  }

  /// Writes whether it has checked for cancellation, and what it did since it was asked.
  private func writeEffort(to writer: inout TextWriter) {
    writer.write("  ")
    if facts.cancelledAt == 0 {
      writer.write("not asked to stop")
    } else {
      writer.write("asked to stop ")
      writer.write(duration: askedAge)
      writer.write(" ago, ")
      if cancelChecks > 0 {
        writer.write("checked for cancellation ")
        writer.write(cancelChecks)
        writer.write(cancelChecks == 1 ? " time since" : " times since")
      } else {
        writer.write(
          activity.readsFlag
            ? "may have read its flag directly" : "has never checked for cancellation")
      }
    }
    if activity.drainingSince != 0 {
      writer.write(", draining for ")
      writer.write(duration: activity.drainingFor(at: probedAt))
    }
    if cpu >= 0 || cpuSince >= 0 { writer.write("; CPU time ") }
    if cpuSince >= 0 {
      writer.write(duration: cpuSince)
      writer.write(" in the last ")
      writer.write(duration: cpuSpan)
      if cpu >= 0 { writer.write(", ") }
    }
    if cpu >= 0 {
      writer.write(duration: cpu)
      writer.write(" in total")
    }
    // Less is what any scheduler does.
    if thread.runQueue >= 100_000_000 && thread.schedulerState == UInt8(ascii: "R") {
      writer.write("; its thread has waited for a processor for ")
      writer.write(duration: thread.runQueue)
    }
    writer.write("\n")
  }

  private func write(frame number: Int, to writer: inout TextWriter) {
    guard let address = frames?[number] else { return }
    writer.write("  #")
    writer.write(number)
    writer.write(" 0x")
    writer.write(hexadecimal: address)
    withSymbol(of: Self.place(ofFrame: number, at: address)) {
      object, objectOffset, symbol, symbolOffset in
      if let symbol {
        writer.write(" ")
        writer.write(text: symbol)
        writer.write("+0x")
        writer.write(hexadecimal: symbolOffset)
      }
      if let object {
        writer.write(" (")
        writer.write(text: object)
        writer.write("+0x")
        writer.write(hexadecimal: objectOffset)
        writer.write(")")
      }
    }
    writer.write("\n")
  }
}

extension TextWriter {
  /// Writes a task's name, preceded by those of its groups.
  @inline(never)
  mutating func write(path: GroupPath, name: TaskName) {
    if !path.isEmpty {
      path.withText { write(text: $0) }
      write("/")
    }
    name.withText { write(text: $0) }
  }

  /// Writes " for at least 4.10 s"; nothing below a millisecond, or if it is not known.
  @inline(never)
  mutating func write(waitedAtLeast time: Int64) {
    if time < 1_000_000 { return }
    write(" for at least ")
    write(duration: time)
  }

  /// Writes the name of a kind.
  @inline(never)
  mutating func write(kind: UInt32) {
    if let name = KindNames.name(of: kind) { write(text: name) } else { write(Names.kind(kind)) }
  }

  /// Writes the progress of a task: "30 of 100 blocks".
  @inline(never)
  mutating func write(_ progress: Progress) {
    write(progress.done)
    if progress.total > 0 {
      write(" of ")
      write(progress.total)
    }
    if let unit = progress.unit {
      write(" ")
      write(text: unit)
    }
  }
}
