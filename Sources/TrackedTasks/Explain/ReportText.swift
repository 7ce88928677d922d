import CPlatform

/// A report as text (E10).
extension ReportReference {
  /// Writes the report as text.
  ///
  /// - Returns: `.ok`; `.system` with errno set; `.truncated`.
  func writeText(to sink: TextSink) -> Status {
    withTextWriter(sink) { writer in
      writeCauses(to: &writer)
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
      for index in 0..<pointer.pointee.stragglerCount
      where Int(stragglers[index].alike.first) == index {
        writer.write(
          pointer.pointee.occasion == .explain
            ? "task " : stragglers[index].activity.isUnjoined ? "unjoined task " : "straggler ")
        write(alikeTo: index, to: &writer)
      }
      let unlisted = unlistedCount
      if unlisted > 0 {
        writer.write("and ")
        writer.write(unlisted)
        writer.write(" more, not listed\n")
      }
      writeOtherThreads(to: &writer)
    }
  }

  /// How many of the tasks that it is about are not listed.
  private var unlistedCount: Int {
    let tally = pointer.pointee.tally
    let unjoined = pointer.pointee.occasion == .explain ? 0 : tally.unjoined
    return Int(tally.pending &+ unjoined) - pointer.pointee.stragglerCount
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
      if tally.unjoined > 0 { writer.write(" but unjoined ones") }
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
    if tally.unjoined > 0 {
      writer.write("  unjoined and alive ")
      writer.write(tally.unjoined)
      writer.write("\n")
    }
    if tally.before.ended > 0 {
      writer.write("  ended before the call ")
      writer.write(tally.before.ended)
      writer.write(" (failed ")
      writer.write(tally.before.failed)
      writer.write(", exited ")
      writer.write(tally.before.exited)
      writer.write(")\n")
    }
  }

  /// Passes what cut the shutdown short, "second SIGTERM after 300 ms", or "SIGINT, 300 ms after
  /// SIGTERM", or "SIGQUIT" if that was the first and meant "stop now".
  ///
  /// Requires that something did.
  func withCause(_ body: (UnsafePointer<UInt8>) -> Void) {
    withFixedText {
      let (second, first) = (pointer.pointee.cutBy, pointer.pointee.cutAfterSignal)
      if pointer.pointee.cutAfter == 0 { return $0.append(signal: second) }
      if second == first { $0.append("second ") }
      $0.append(signal: second)
      $0.append(second == first ? " after " : ", ")
      $0.append(duration: pointer.pointee.cutAfter)
      if second == first { return }
      $0.append(" after ")
      $0.append(signal: first)
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
    writer.write(": ")
    if phase.endedBefore > 0 {
      writer.write(phase.endedBefore)
      writer.write(" ended before the call, ")
    }
    writer.write("asked ")
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
    if phase.callbacks >= 1_000_000 {
      writer.write("; its callbacks took ")
      writer.write(duration: phase.callbacks)
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
