import CPlatform

/// Sleeps on the calling thread; inside a task its flag ends the sleep (C4).
///
/// - Parameter duration: nanoseconds; negative sleeps indefinitely.
/// - Returns: `.ok` after the whole time, otherwise `.cancelled`.
func sleepCallingThread(for duration: Int64) -> Status {
  let task = Worker.currentTask
  let deadline = Deadline.after(duration)
  return withCancellationDisabled {
    withHeartbeatsSuspended {
      withParker { parker in
        var wait = NotedWait(.time)
        while true {
          if let task, task.endsWait() { return .cancelled }
          if deadline.hasPassed { return .ok }
          _ = wait.block(until: deadline) { parker.park(until: deadline) }
        }
      }
    }
  }
}

/// Waits on the calling thread until its task is asked to stop (C8).
///
/// - Returns: `.cancelled`, `.timedOut`, or `.invalid` outside a task, where nothing could end it.
func waitUntilCancelled(until deadline: Deadline) -> Status {
  guard let task = Worker.currentTask else {
    return .invalid("tr_wait_cancelled", "the caller is not a task")
  }
  return withCancellationDisabled {
    withHeartbeatsSuspended {
      withParker { parker in
        var wait = NotedWait(.cancel)
        while true {
          if task.endsWait() { return .cancelled }
          if deadline.hasPassed { return .timedOut }
          _ = wait.block(until: deadline) { parker.park(until: deadline) }
        }
      }
    }
  }
}

/// Waits on the calling thread until a descriptor is ready; inside a task its flag ends the wait
/// (C8).
///
/// - Parameters:
///   - descriptor: an open descriptor that supports poll(2).
///   - events: as in `struct pollfd`.
///   - deadline: when to give up.
/// - Returns: `.cancelled`, even if the descriptor is ready, so that a busy peer cannot keep a task
///   from stopping; `.ok` if it has one of the events, an error or a hang-up; `.timedOut`;
///   `.invalid` if it is not open; the status with which the descriptor that ends the wait could
///   not be made; or `.system` with EBADF if the application has closed that one.
func waitForDescriptor(_ descriptor: Int32, events: Int16, until deadline: Deadline) -> Status {
  if descriptor < 0 { return .invalid("tr_wait_fd", "fd is negative") }
  let wait = NotedWait(.descriptor, object: UInt64(UInt32(bitPattern: descriptor)))
  return waitInPoll(wait, until: deadline, badIs: "fd is not open", "tr_wait_fd") {
    cp_poll(descriptor, events, $0, $1)
  }
}

/// Waits on the calling thread until one of several descriptors is ready, as
/// `waitForDescriptor(_:events:until:)` does (C19).
///
/// - Parameters:
///   - descriptors: an array of `struct pollfd`, as for poll(2); a negative one is left out. What
///     is ready is stored there with `.ok`, and with `.invalid`.
///   - count: how many.
///   - deadline: when to give up.
/// - Returns: likewise; `.noMemory`; `.system` with EINVAL for more than the
///   process may have.
func waitForDescriptors(
  _ descriptors: UnsafeMutableRawPointer?, count: Int, until deadline: Deadline
) -> Status {
  guard descriptors != nil || count == 0 else {
    return .invalid("tr_wait_fds", "fds is NULL, and count is not 0")
  }
  guard count >= 0, count < 1 << 28 else {
    return .invalid("tr_wait_fds", "count is more than a process can have descriptors")
  }
  // The kernel gets a copy, with room for the descriptor of the flag.
  guard let all = cp_copy_poll_list(descriptors, count) else { return .noMemory }
  let wait = NotedWait(.descriptors, object: UInt64(count))
  let status = waitInPoll(
    wait, until: deadline, badIs: "fds has a descriptor that is not open", "tr_wait_fds"
  ) {
    cp_poll_all(all, count, $0, $1)
  }
  if let descriptors, status == .ok || status == .invalid {
    cp_copy_poll_results(descriptors, all, count)
  }
  let error = cp_errno()
  free(all)
  cp_set_errno(error)
  return status
}

/// Does what `pollUntilReady` does, as a wait that heartbeats may leave out.
private func waitInPoll(
  _ noted: NotedWait, until deadline: Deadline, badIs bad: StaticString, _ function: StaticString,
  _ poll: (_ flag: Int32, _ remaining: Int64) -> Int32
) -> Status {
  withHeartbeatsSuspended {
    pollUntilReady(noted, until: deadline, badIs: bad, function, poll)
  }
}

/// Calls `poll` until it says that the wait is over.
///
/// - Parameters:
///   - noted: what reports say of the wait.
///   - deadline: when to give up.
///   - bad: the reason if a descriptor is not open.
///   - function: of the C interface, for `tr_error_detail`.
///   - poll: as `cp_poll`, with the descriptor of the flag and the remaining nanoseconds.
/// - Returns: as `waitForDescriptor(_:events:until:)`.
@inline(never)
private func pollUntilReady(
  _ noted: NotedWait, until deadline: Deadline, badIs bad: StaticString, _ function: StaticString,
  _ poll: (_ flag: Int32, _ remaining: Int64) -> Int32
) -> Status {
  let task = Worker.currentTask
  var isWaiting = false
  var wait = noted
  while true {
    if let task, task.endsWait() { return .cancelled }
    let own = task?.ownDescriptor
    var remaining = deadline.isNever ? -1 : max(0, deadline.nanoseconds &- monotonicNow())
    var flag: Int32 = -1
    if let task, remaining != 0 {
      switch task.descriptorForWaits(own: own, isWaiting: isWaiting) {
      case .descriptor(let found): flag = found
      // The shared descriptor was raised for another task's flag, and the process has none left.
      case .none: remaining = deadline.isNever ? 10_000_000 : min(remaining, 10_000_000)
      case .failed(let status): return status
      }
      isWaiting = true
      if task.isWaitOver { continue }
    }
    let code =
      remaining == 0
      ? poll(flag, 0)
      : wait.block(until: deadline) { poll(flag, remaining) }
    if code == Int32(CP_POLL_FLAG), let task {
      if task.isWaitOver || own == nil && WaitDescriptor.isRaised(for: task) { continue }
      return foreignDescriptor()
    }
    if let end = endOfWait(code, bad, function) { return end }
    if deadline.hasPassed { return .timedOut }
  }
}

/// How a result of `cp_poll` ends a wait for a descriptor; nil if it does not.
private func endOfWait(
  _ code: Int32, _ bad: StaticString, _ function: StaticString
) -> Status? {
  if code == Int32(CP_POLL_READY) { return .ok }
  if code == Int32(CP_POLL_BAD) { return .invalid(function, bad) }
  if code == -ENOMEM { return .noMemory }
  if code >= 0 || code == -EINTR { return nil }
  cp_set_errno(-code)
  return .system
}

/// The end of a wait whose flag's descriptor is readable although the library has not made it so:
/// the application has closed it, and its number is now that of another file.
///
/// That file may stay readable: a wait that went on would poll it again and again without a pause.
private func foreignDescriptor() -> Status {
  cp_set_errno(EBADF)
  return .system
}

// MARK: Waits that name their task

/// Waits of any thread that the flag of a given task ends, for runtimes whose threads are not those
/// of the tasks they run (C8).
///
/// On the task's own thread they are the waits above. On another thread, the flag is seen by the
/// task's descriptor (C6), which is never lowered. The flag of a task that the calling thread runs
/// itself does not end them.
extension TaskReference {
  /// Sleeps; see `sleepCallingThread(for:)`.
  ///
  /// Requires a reference. Also returns what `wait(forDescriptor:events:until:_:)` does if it
  /// fails.
  func sleep(for duration: Int64) -> Status {
    if Worker.currentTask == self { return sleepCallingThread(for: duration) }
    let status = wait(forDescriptor: -1, events: 0, until: .after(duration), "tr_task_sleep")
    return status == .timedOut ? .ok : status
  }

  /// Waits until the task is asked to stop; see `waitUntilCancelled(until:)`.
  ///
  /// Requires a reference. Also returns what `wait(forDescriptor:events:until:_:)` does if it
  /// fails.
  func waitForCancel(until deadline: Deadline) -> Status {
    if Worker.currentTask == self { return waitUntilCancelled(until: deadline) }
    return wait(forDescriptor: -1, events: 0, until: deadline, "tr_task_wait_cancelled")
  }

  /// Waits for a descriptor; see `waitForDescriptor(_:events:until:)`.
  ///
  /// Requires a reference. Also returns what `wait(forDescriptor:events:until:_:)` does if it
  /// fails.
  func wait(forDescriptor descriptor: Int32, events: Int16, until deadline: Deadline) -> Status {
    if descriptor < 0 { return .invalid("tr_task_wait_fd", "fd is negative") }
    if Worker.currentTask == self {
      return waitForDescriptor(descriptor, events: events, until: deadline)
    }
    return wait(forDescriptor: descriptor, events: events, until: deadline, "tr_task_wait_fd")
  }

  /// Waits on a thread that is not the task's.
  ///
  /// - Parameters:
  ///   - descriptor: negative is none.
  ///   - events: as in `struct pollfd`.
  ///   - deadline: when to give up.
  ///   - function: of the C interface, for `tr_error_detail`.
  /// - Returns: as `waitForDescriptor(_:events:until:)`; `.invalid` if the task has ended without
  ///   being asked to stop; the status with which its descriptor could not be made; `.system` with
  ///   EBADF if the application has closed it.
  @inline(never)
  private func wait(
    forDescriptor descriptor: Int32, events: Int16, until deadline: Deadline,
    _ function: StaticString
  ) -> Status {
    if endsNamedWait { return .cancelled }
    // Nothing would end the wait any more.
    if word.stage == .ended { return .invalid(function, "the task has ended") }
    return withHeartbeatsSuspended {
      var wait = NotedWait(
        descriptor >= 0 ? .descriptor : deadline.isNever ? .cancel : .time,
        object: descriptor >= 0 ? UInt64(UInt32(bitPattern: descriptor)) : 0)
      while true {
        if endsNamedWait { return .cancelled }
        // The task may begin to drain meanwhile: then the other descriptor ends the wait.
        let level: StopLevel = isDraining ? .abort : .drain
        let (status, flag) = openDescriptor(level)
        if status != .ok { return status }
        let remaining = deadline.isNever ? -1 : max(0, deadline.nanoseconds &- monotonicNow())
        let code =
          remaining == 0
          ? cp_poll(descriptor, events, flag, 0)
          : wait.block(until: deadline) { cp_poll(descriptor, events, flag, remaining) }
        if code == Int32(CP_POLL_FLAG) {
          if word.level >= level { continue }
          return foreignDescriptor()
        }
        if let end = endOfWait(code, "fd is not open", function) { return end }
        if deadline.hasPassed { return .timedOut }
      }
    }
  }
}

extension TaskReference {
  /// Whether the task has said that it drains; any thread that has a reference.
  private var isDraining: Bool { word.hasOptionalState && traits.contains(.draining) }

  /// Whether its level ends a wait of another thread that names it; a shield does not concern those
  /// (C16, C17).
  private var endsNamedWait: Bool {
    let word = self.word
    return word.isCancelRequested && (word.level == .abort || !isDraining)
  }

  /// The descriptor by which the flag ends a wait of the calling thread's task for another one.
  ///
  /// - Parameters:
  ///   - own: the task's own, which it has asked for (C6); nil: one that tasks share.
  ///   - isWaiting: whether the wait has begun and must not fail any more.
  /// - Returns: as `WaitDescriptor.descriptor(for:isWaiting:)`.
  fileprivate func descriptorForWaits(own: Int32?, isWaiting: Bool) -> WaitDescriptor.Found {
    if let own { return .descriptor(own) }
    return WaitDescriptor.descriptor(for: self, isWaiting: isWaiting)
  }

  /// Its own descriptor of the level that ends its waits, if it has one.
  ///
  /// Called on the task's own thread.
  fileprivate var ownDescriptor: Int32? {
    let word = self.word
    if !word.hasDescriptor { return nil }
    let traits = word.hasOptionalState ? self.traits : []
    if traits.contains(.shielded) { return nil }
    return traits.contains(.draining)
      ? pointer.pointee.abortDescriptor.existing : pointer.pointee.descriptor.existing
  }
}
