import CPlatform
import Synchronization

// LOCKING
// The end of a task takes no lock: it is three atomic steps (`complete`). The registry's Monitor
// guards the list of waiters. It is taken after them, to wake the waiters, if the word says that
// the task is awaited, or if `endWaiters` is not 0. Nothing but unparking is done under it; log
// callbacks run before the first step, without it.
//
// Between the steps. Between `ends` and the count a task is on no list but still counted as alive:
// joins wait for it. Between the count and `ended` a join may return; a wait for the task then
// waits without a deadline, because only a few instructions are left. After `ended` the record may
// belong to another task: `wakeWaiters` uses its address only as a key, and at worst wakes a waiter
// of that task in vain. A waiter enters the list, marks the word as awaited, and then reads the
// word again, so either it is found on the list or it sees the end.

extension TaskReference {
  /// Ends the task on its worker's thread.
  ///
  /// There are three steps, so that all ways to observe the end agree: the task leaves the list
  /// (`ends`), it is counted, and its outcome becomes readable (`ended`). A join may return after
  /// the second step, a wait for this task only after the third. A wait that starts between them
  /// waits for the few instructions that are left.
  @inline(__always)
  func complete(_ how: TaskWord.Ending, in registry: RegistryReference) {
    let word = self.word
    if word.hasOptionalState { return completeWithOptionalState(how) }
    if !leaveList(how) { return }
    if word.isCancelRequested { recordStop(how) }
    registry.pointer.pointee.endings.count(how)
    // From here on the record may belong to another task.
    let before = advance { $0.ended() }
    wakeWaiters(before, in: registry)
    registry.wakeJoinersIfEmpty()
    if before?.isAwaited == true && hasEndCallbacks { EndCallbacks.run(for: self) }
  }

  /// Removes the task from the list of live tasks; if it is late, that is logged first (E6).
  ///
  /// - Returns: false in a child that the log callback forked.
  @inline(__always)
  func leaveList(_ how: TaskWord.Ending) -> Bool {
    // A deadline may find the task alive until the word says that it ends; its late end is then
    // reported.
    while advance({ $0.isOverdue && !isLateReported ? nil : $0.ends(how) }) == nil {
      if !word.isLive { return true }
      reportLate()
      if ProcessState.isForkedChild { return false }
    }
    return true
  }

  /// Whether `reportLate` has run for this task.
  private var isLateReported: Bool { Worker.current?.pointee.lateReported == id }

  /// Reports the end of a task that was alive at a deadline, if the abort grace has also passed
  /// (O2, E6).
  ///
  /// Called on the task's own thread.
  @inline(never)
  private func reportLate() {
    // Set before the callback, which may leave the thread.
    Worker.current?.pointee.lateReported = id
    let late = monotonicNow() &- activity.pointee.lateFrom.load(ordering: .acquiring)
    let log = registry.options.log
    if late < 0 || !log.isListening { return }
    let (kind, id) = (self.kind, self.id)
    name.withText { name in
      withFixedText {
        $0.append("ended ")
        $0.append(late / 1_000_000)
        $0.append(" ms after it was abandoned")
      } _: {
        log.send(
          LogRecord(
            level: LogEventNumber.info, event: LogEventNumber.taskLate, kind: kind, taskID: id,
            task: name, message: $0, registry: registry))
      }
    }
  }

  /// Wakes the threads that wait for the end of the task, if `before`, its last word, says there
  /// are any.
  @inline(__always)
  func wakeWaiters(_ before: TaskWord?, in registry: RegistryReference) {
    guard let before, before.isAwaited else { return }
    let key = UInt(bitPattern: pointer)
    registry.monitor.withLock { $0.waiters.wake(key) }
  }

  /// Reports an end other than returning 0, before the task's completion becomes observable (O2).
  func logEnd(_ how: TaskWord.Ending) {
    let log = registry.options.log
    if !log.isListening { return }
    let code = code(of: how)
    name.withText { name in
      withFixedText { line in
        if how == .exited {
          line.append(
            Worker.current?.pointee.isAdopted == true
              ? "its thread ended without tr_leave"
              : "its thread left the body (pthread_exit or thread cancellation)")
        } else {
          line.append("failed with code ")
          line.append(code)
        }
        withMessage { message, isPresent in
          if isPresent {
            line.append(": ")
            line.append(utf8: message)
          }
        }
        if startsAgain { appendRuns(to: &line) }
      } _: {
        log.send(
          LogRecord(
            level: LogEventNumber.error,
            event: how == .exited ? LogEventNumber.taskExited : LogEventNumber.taskFailed,
            kind: kind, taskID: id, code: code, task: name, message: $0, registry: registry))
      }
    }
  }

  // MARK: Messages

  /// The most bytes a message keeps.
  static var messageLimit: Int { RecordPool.messageRoom - 1 }

  /// Sets the message of the outcome; called on the task's own thread from its body.
  func setMessage(_ text: UnsafePointer<UInt8>?) -> Status {
    guard let text, text[0] != 0 else {
      return advance { $0.messageLeft(false) } == nil ? Self.bodyIsOver : .ok
    }
    let (kept, isWellFormed) = UTF8Text.measure(text, limit: Self.messageLimit)
    if !isWellFormed { return .invalid("tr_task_set_message", "message is not UTF-8") }
    memcpy(message, text, kept)
    message[kept] = 0
    return advance { $0.messageLeft(true) } == nil ? Self.bodyIsOver : .ok
  }

  /// Sets the message of the outcome to text in an encoding that is not known: each byte that is
  /// not UTF-8 becomes U+FFFD.
  ///
  /// Called on the task's own thread from its body.
  func setMessage(lossy text: UnsafePointer<UInt8>?) -> Status {
    guard let text else { return setMessage(nil) }
    let limit = Self.messageLimit
    return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: limit + 1) { room in
      // SAFETY: an allocation of this size has a base address.
      let repaired = room.baseAddress.unsafelyUnwrapped
      UTF8Text.repair(text, to: repaired, capacity: limit + 1)
      return setMessage(repaired)
    }
  }

  private static var bodyIsOver: Status {
    .invalid("tr_task_set_message", "the body of the task is over")
  }

  /// Passes the message to `body`, NUL-terminated; empty if there is none.
  ///
  /// Requires that the task has ended or is the caller's own.
  func withMessage<Result>(_ body: (UnsafePointer<UInt8>, _ isPresent: Bool) -> Result) -> Result {
    if !word.hasMessage {
      let empty: StaticString = ""
      return body(empty.utf8Start, false)
    }
    return body(message, true)
  }

  // MARK: Waiting

  /// Spins until the task ends.
  ///
  /// It polls the worker's mailbox, not the word. The worker changes the word several times on the
  /// way to the end, and would fetch the cache line back from the poller each time. The mailbox
  /// holds this task until all is done, and then becomes free for the next.
  private func spinForEnd(for nanoseconds: Int64, until deadline: Deadline) {
    let bits = pointer.pointee.worker.load(ordering: .acquiring)
    guard let worker = Worker.Pointer(bitPattern: bits) else { return }
    let own = MailboxWord.task(pointer).bits
    let caller = Worker.currentTask
    _ = spin(for: nanoseconds, until: deadline) {
      // While the caller spins on the worker's CPU, the worker makes no progress.
      worker.pointee.cpu.load(ordering: .relaxed) == cp_current_cpu()
        || caller?.word.isCancelRequested == true
    } until: {
      worker.pointee.mailbox.load(ordering: .acquiring) != own
    }
  }

  /// Whether the task has ended, or does within the few microseconds that `async` code polls before
  /// it suspends; the caller holds a reference.
  func endsSoon(before deadline: Deadline) -> Bool {
    if word.stage != .ended {
      spinForEnd(for: registry.pointer.pointee.spin.awaiter, until: deadline)
    }
    return word.stage == .ended
  }

  /// Waits until the task has ended; the caller holds a reference (O3).
  func wait(until deadline: Deadline) -> Status {
    if TaskReference.isHeldUpByCaller({ $0 == self }) { return .deadlock }
    let registry = self.registry
    if word.stage != .ended {
      spinForEnd(for: registry.pointer.pointee.spin.joiner, until: deadline)
    }
    if word.stage == .ended { return .ok }
    // A task that is counted already is a few instructions from its end: the answer is "ended"
    // (J2).
    let isEnding = word.stage == .ending
    var isCircle = false
    let end = registry.monitor.wait(
      for: UInt(bitPattern: pointer), until: isEnding ? .never : deadline, noting: .task,
      object: id
    ) {
      advance { $0.awaited() }
    } isHopeless: {
      isCircle = deadline.isNever && !isEnding && waitsForCaller
      return isCircle
    } isReady: {
      word.stage == .ended
    }
    switch end {
    case .ready: return .ok
    case .timedOut: return isCircle ? .deadlock : .timedOut
    case .cancelled: return .cancelled
    }
  }
}

extension RegistryReference {
  /// Wakes the threads that wait for the last task to end, if it has ended, or for room.
  @inline(__always)
  func wakeJoinersIfEmpty() {
    let waiters = pointer.pointee.endWaiters.load(ordering: .sequentiallyConsistent)
    if waiters != 0 { wakeWaiters(waiters) }
  }

  /// Wakes those of the waiting threads whose wait is over.
  @inline(never)
  private func wakeWaiters(_ waiters: UInt64) {
    if hasOnlyJoiners { monitor.withLock { $0.waiters.wake(WaitKey.empty) } }
    if waiters >= Phases.oneWaiter { wakePhaseWaiters() }
    wakeRoomWaitersIfAny()
  }
}
