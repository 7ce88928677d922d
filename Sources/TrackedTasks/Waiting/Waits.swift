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
        while true {
          if let task, task.checkCancel() { return .cancelled }
          if deadline.hasPassed { return .ok }
          _ = parker.park(until: deadline)
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
        while true {
          if task.checkCancel() { return .cancelled }
          if deadline.hasPassed { return .timedOut }
          _ = parker.park(until: deadline)
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
///   `.invalid` if it is not open; or the status with which the descriptor that ends the wait could
///   not be made.
func waitForDescriptor(_ descriptor: Int32, events: Int16, until deadline: Deadline) -> Status {
  if descriptor < 0 { return .invalid("tr_wait_fd", "fd is negative") }
  return withHeartbeatsSuspended { pollDescriptor(descriptor, events: events, until: deadline) }
}

@inline(never)
private func pollDescriptor(
  _ descriptor: Int32, events: Int16, until deadline: Deadline
) -> Status {
  let task = Worker.currentTask
  var isWaiting = false
  while true {
    if let task, task.checkCancel() { return .cancelled }
    var remaining = deadline.isNever ? -1 : max(0, deadline.nanoseconds &- monotonicNow())
    var flag: Int32 = -1
    if let task, remaining != 0 {
      switch task.descriptorForWaits(isWaiting: isWaiting) {
      case .descriptor(let found): flag = found
      // The shared descriptor was raised for another task's flag, and the process has none left.
      case .none: remaining = deadline.isNever ? 10_000_000 : min(remaining, 10_000_000)
      case .failed(let status): return status
      }
      isWaiting = true
      if task.isFlagUp { continue }
    }
    let code = cp_poll(descriptor, events, flag, remaining)
    if code == Int32(CP_POLL_FLAG) { continue }
    if code == Int32(CP_POLL_READY) { return .ok }
    if code == Int32(CP_POLL_BAD) { return .invalid("tr_wait_fd", "fd is not open") }
    if code == -ENOMEM { return .noMemory }
    if code < 0 && code != -EINTR { return .system }
    if deadline.hasPassed { return .timedOut }
  }
}

extension TaskReference {
  /// The descriptor by which the flag ends a wait of the calling thread's task for another one.
  fileprivate func descriptorForWaits(isWaiting: Bool) -> WaitDescriptor.Found {
    // Its own, if the task has asked for one (C6).
    if word.hasDescriptor {
      let (status, own) = openDescriptor()
      return status == .ok ? .descriptor(own) : .failed(status)
    }
    return WaitDescriptor.descriptor(for: self, isWaiting: isWaiting)
  }
}
