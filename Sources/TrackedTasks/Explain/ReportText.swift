import CPlatform

/// A report as text (E10).
extension ReportReference {
  /// Writes the report as text.
  ///
  /// - Returns: `.ok`; `.system` with errno set; `.truncated`.
  func writeText(to sink: TextSink) -> Status {
    withTextWriter(sink) { writer in
      writeSummary(to: &writer)
      for index in 0..<pointer.pointee.phaseCount {
        Self.write(pointer.pointee.phases[index], to: &writer)
      }
      if slowest.pointee.count > 0 {
        writer.write("slowest to stop:")
        for index in 0..<slowest.pointee.count {
          let task = slowest.pointee[index]
          writer.write(index == 0 ? " " : ", ")
          writer.write(path: task.path, name: task.name)
          writer.write(" ")
          writer.write(duration: task.stop)
        }
        writer.write("\n")
      }
      for index in 0..<pointer.pointee.stragglerCount {
        writer.write(pointer.pointee.occasion == .explain ? "task " : "straggler ")
        stragglers[index].writeText(to: &writer)
      }
      let unlisted = Int(pointer.pointee.tally.pending) - pointer.pointee.stragglerCount
      if unlisted > 0 {
        writer.write("and ")
        writer.write(unlisted)
        writer.write(" more, not listed\n")
      }
    }
  }

  /// Writes the first lines: the call, its reason, and the counts.
  private func writeSummary(to writer: inout TextWriter) {
    let tally = pointer.pointee.tally
    switch pointer.pointee.occasion {
    case .explain:
      writer.write(tally.pending)
      writer.write(tally.pending == 1 ? " task alive\n" : " tasks alive\n")
      return
    case .join: writer.write("join")
    case .shutdown: writer.write("shutdown")
    }
    withMessage { message in
      if pointer.pointee.reason == 0 && message[0] == 0 { return }
      writer.write(" (")
      writer.write(Names.reason(pointer.pointee.reason))
      if message[0] != 0 {
        writer.write(": ")
        writer.write(text: message)
      }
      writer.write(")")
    }
    if tally.abandoned > 0 {
      writer.write(": ")
      writer.write(tally.abandoned)
      writer.write(tally.abandoned == 1 ? " task did not stop" : " tasks did not stop")
    } else if tally.threadsLeft > 0 {
      writer.write(": all tasks have ended, and ")
      writer.write(tally.threadsLeft)
      writer.write(tally.threadsLeft == 1 ? " thread has not left" : " threads have not left")
    } else {
      writer.write(": all tasks have ended")
    }
    writer.write(", after ")
    writer.write(duration: tally.elapsed)
    if pointer.pointee.grace >= 0 {
      writer.write(" of ")
      writer.write(duration: pointer.pointee.grace)
    }
    if tally.extended > 0 {
      writer.write(" and ")
      writer.write(duration: tally.extended)
      writer.write(" more for progress")
    }
    if pointer.pointee.cutBy != 0 {
      writer.write(", cut short: ")
      withCause { writer.write(text: $0) }
    }
    Self.write(tally.callbacks, to: &writer)
    writer.write("\n  ended ")
    writer.write(tally.ended)
    writer.write(" (failed ")
    writer.write(tally.failed)
    writer.write(", exited ")
    writer.write(tally.exited)
    writer.write("), pending ")
    writer.write(tally.pending)
    writer.write(" (aborted ")
    writer.write(tally.aborted)
    writer.write(", abandoned ")
    writer.write(tally.abandoned)
    writer.write("), rejected ")
    writer.write(tally.rejected)
    writer.write("\n")
  }

  /// Passes what cut the shutdown short, "second SIGTERM after 300 ms", or "SIGQUIT" if that was the
  /// first and meant "stop now".
  ///
  /// Requires that something did.
  func withCause(_ body: (UnsafePointer<UInt8>) -> Void) {
    withFixedText {
      if pointer.pointee.cutAfter == 0 { return $0.append(signal: pointer.pointee.cutBy) }
      $0.append("second ")
      $0.append(signal: pointer.pointee.cutBy)
      $0.append(" after ")
      $0.append(duration: pointer.pointee.cutAfter)
    } _: {
      body($0)
    }
  }

  /// Writes the callback that took longest, if callbacks took a millisecond or more in total.
  private static func write(_ callbacks: CallbackTimes, to writer: inout TextWriter) {
    if callbacks.total < 1_000_000 { return }
    writer.write("; callbacks took ")
    writer.write(duration: callbacks.total)
    writer.write(", ")
    writer.write(callbacks.kind.text)
    writer.write(" callback ")
    withSymbol(of: UInt64(callbacks.function)) { object, objectOffset, symbol, _ in
      if let symbol {
        writer.write(text: symbol)
        writer.write(" ")
      }
      if let object {
        writer.write("(")
        writer.write(text: object)
        writer.write("+0x")
        writer.write(hexadecimal: objectOffset)
        writer.write(") ")
      }
    }
    writer.write(duration: callbacks.longest)
  }

  private static func write(_ phase: PhaseFacts, to writer: inout TextWriter) {
    writer.write("  phase ")
    writer.write(phase.phase)
    writer.write(": asked ")
    writer.write(phase.asked)
    writer.write(" after ")
    writer.write(duration: phase.start)
    writer.write(", remaining ")
    writer.write(phase.remaining)
    writer.write(", took ")
    writer.write(duration: phase.duration)
    if phase.share >= 0 {
      writer.write(" of ")
      writer.write(duration: phase.share)
    }
    writer.write("\n")
  }

  /// Passes the message of the token to `body`, NUL-terminated.
  func withMessage<Result>(_ body: (UnsafePointer<UInt8>) -> Result) -> Result {
    withUnsafeBytes(of: pointer.pointee.message) { bytes in
      // SAFETY: never empty, and the last byte is NUL.
      body(bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self))
    }
  }
}

extension StragglerFacts {
  /// Writes a few lines: name, diagnosis, age, state, checkpoint, progress, and where its thread
  /// is.
  fileprivate func writeText(to writer: inout TextWriter) {
    writer.write(path: path, name: facts.name)
    writer.write(": ")
    writer.write(diagnosis.text)
    writeWhere(to: &writer)
    writer.write("\n  ")
    writer.write(Names.kind(facts.kind))
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
    if activity.isStalled { writer.write(", heartbeat overdue") }
    writer.write("\n")
    if diagnosis != .ended { writeEffort(to: &writer) }
    if thread.failure != 0 {
      writer.write("  not all is known of its thread: ")
      switch thread.failure {
      case EMFILE, ENFILE: writer.write("no descriptor is available")
      case EACCES, EPERM: writer.write("no permission")
      default:
        writer.write("error ")
        writer.write(thread.failure)
      }
      writer.write("\n")
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
