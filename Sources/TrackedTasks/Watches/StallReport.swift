import CPlatform

// LOCKING
// None. It is owned by the event thread that delivers a step; the task cannot end before
// `goOnReporting` has returned.

/// One step about a stall while it is delivered, and what follows when the task may end again (F4).
struct StallReport {
  /// nil once everything was reported: the watch may be gone.
  private var watch: HeartbeatWatch.Pointer?
  /// The task that was told to abort, with a reference; its callbacks have yet to run.
  private var aborted: TaskReference?
  /// Whether that raised its level.
  private var hasAborted = true
  /// What is to be written to the descriptor, and its length; allocated.
  private var text: UnsafeMutablePointer<UInt8>?
  private var length = 0
  private var descriptor: Int32 = -1

  /// How long an explanation may be, in bytes; 48 frames take some 5 KiB.
  private static var room: Int { 32 << 10 }
  /// How long it is written, in nanoseconds; what the descriptor does not take by then is left out.
  private static var writeTime: Int64 { 1_000_000_000 }

  init(watch: HeartbeatWatch.Pointer) { self.watch = watch }

  /// Continues where the last call stopped: a callback may have ended the thread.
  mutating func goOn() {
    if let watch {
      watch.goOnReporting(&self)
      if ProcessState.isForkedChild { return }
      self.watch = nil
    }
    if let text {
      self.text = nil
      // Where a log callback has ended the thread, the end of its line is missing.
      for place in 0..<length where text[place] == 0 { text[place] = 0x0A }
      // There are eight event threads at the most, so a descriptor at which nobody reads must not hold
      // them up. A failure is not reported, as there is nobody to whom.
      let limit = Deadline.after(Self.writeTime).nanoseconds
      _ = withCancellationDisabled { cp_write_until(descriptor, text, length, limit) }
      free(text)
    }
    guard let task = aborted else { return }
    aborted = nil
    // Its callbacks run only now, as they may wait for the end of the task.
    if hasAborted { task.levelWasRaised() } else { task.unpin() }
  }

  /// Explains what a stalled task or thread is doing: to the log, line by line, and later to the
  /// descriptor.
  mutating func explain(_ subject: HeartbeatSubject) {
    guard let memory = malloc(Self.room) else { return }
    let text = memory.bindMemory(to: UInt8.self, capacity: Self.room)
    let report = subject.report()
    var length = 0
    withUnsafeMutablePointer(to: &length) {
      _ = withTextWriter(.memory(text, capacity: Self.room, length: $0)) { writer in
        subject.explain(report, to: &writer)
      }
    }
    // What did not fit is not there.
    self.length = min(length, Self.room - 1)
    descriptor = subject.registry.options.explainDescriptor
    // From here on it is freed by `goOn`, also if a log callback ends the thread.
    self.text = text
    if let report {
      subject.logCircles(of: report)
      if ProcessState.isForkedChild { return }
      report.destroy()
    }
    if subject.registry.options.log.isListening {
      logLines(subject, text, self.length)
      if ProcessState.isForkedChild { return }
    }
    if descriptor < 0 {
      self.text = nil
      free(text)
    }
  }

  /// Sends one event for each line.
  private func logLines(
    _ subject: HeartbeatSubject, _ text: UnsafeMutablePointer<UInt8>, _ length: Int
  ) {
    var start = 0
    for place in 0..<length where text[place] == 0x0A {
      text[place] = 0
      subject.logExplanation(text + start)
      text[place] = 0x0A
      start = place + 1
      if ProcessState.isForkedChild { return }
    }
  }

  /// Takes the last step.
  ///
  /// - Parameters:
  ///   - subject: the stalled task or thread.
  ///   - silence: how long ago its last heartbeat was, in nanoseconds.
  mutating func takeLastStep(_ subject: HeartbeatSubject, silence: Int64) {
    switch subject.registry.options.ladder?.last {
    case .endProcess: ExitBy.armAndEndNow(ExitBell.Stall(subject, silence))
    case .abortTask:
      // A thread that is not a task has no level.
      guard case .task(let task) = subject else { return }
      task.retainHandle()
      aborted = task
      // Before the event: a task that has begun to end is left alone.
      if task.raiseFlag({ $0.asked(.abort) }) == nil {
        hasAborted = false
      } else {
        subject.logAbort(silence: silence)
      }
    case .nothing, nil: break
    }
  }
}

extension HeartbeatSubject {
  /// A report on the task, with its backtrace if backtraces are enabled; nil without memory, and of
  /// a thread that is not a task.
  fileprivate func report() -> ReportReference? {
    guard case .task(let task) = self, let facts = task.facts(in: registry),
      let report = ReportReference.make()
    else { return nil }
    var tally = JoinTally()
    tally.pending = 1
    withCancellationDisabled {
      report.makeRoom(for: 1)
      report.add(facts, task)
      report.complete(tally, in: registry, grace: 0, occasion: .explain, ReportParts())
    }
    return report
  }

  /// Reports the circles of such a report.
  fileprivate func logCircles(of report: ReportReference) {
    guard case .task(let task) = self else { return }
    var waiting = WaitingReport(report, in: registry)
    withUnsafeMutablePointer(to: &waiting) { waiting in
      CallFrame.measuringCallbacks(waiting, ifLeft: { WaitingReport.giveUp($0) }) {
        report.logCircles(of: registry, holdingUp: .task(task))
      }
    }
  }

  /// Writes what the task is doing as a report does; of a thread that is not a task, one line.
  fileprivate func explain(_ report: ReportReference?, to writer: inout TextWriter) {
    switch self {
    case .thread(let thread):
      writer.write("stalled ")
      writer.write(thread: thread.pointee.threadID)
    case .task(let task):
      guard let report else {
        if task.facts(in: registry) == nil { return }
        return writer.write("stalled task: not explained, because there is no memory\n")
      }
      if report.pointer.pointee.stragglerCount > 0 {
        writer.write("stalled task ")
        report.stragglers[0].writeText(to: &writer) { report.writeWait(ofNode: 0, to: &$0) }
      }
    }
  }
}
