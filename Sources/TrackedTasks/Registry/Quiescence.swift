import CPlatform

/// The end of the library's own threads, and of those that no call joins.
enum Quiescence {
  /// How long the release of the last object waits for an idle timer thread, in nanoseconds.
  private static var patience: Int64 { 10_000_000 }

  /// Waits until no thread of the library is left, nor of a registry that was released (G4).
  ///
  /// - Parameter deadline: when to stop waiting.
  /// - Returns: `.ok`; `.timedOut`; `.cancelled` if the flag of the calling task was raised first;
  ///   `.deadlock` on a thread that would wait for itself.
  static func wait(until deadline: Deadline) -> Status {
    let isDeparted = Worker.current == nil && Worker.currentOrDeparted != nil
    if isDeparted || CallFrame.isOnOwnThread { return .deadlock }
    let task = Worker.currentTask
    return poll(until: deadline) {
      DeferredFree.tend()
      if TimerThread.dismiss() == .gone && ConditionWaker.rest == .gone && DeferredFree.isEmpty {
        return .ok
      }
      return task?.endsWait() == true ? .cancelled : nil
    }
  }

  /// Waits until the timer thread and those that wake condition variables have ended, unless they
  /// are needed.
  static func endTimerThread(until deadline: Deadline) {
    _ = poll(until: deadline) {
      TimerThread.dismiss() == .leaving || ConditionWaker.rest == .leaving ? nil : .ok
    }
  }

  /// No object of the library is left, and so nothing that needs a thread.
  static func lastObjectIsGone() {
    // A thread that leaves is not held up, nor an event thread, which would wait for itself.
    let waits = Worker.currentOrDeparted == nil && !CallFrame.isOnOwnThread
    endTimerThread(until: .after(waits ? patience : 0))
  }

  /// Polls until there is an answer: nothing reports that a thread has ended for the kernel.
  private static func poll(until deadline: Deadline, _ answer: () -> Status?) -> Status {
    if let status = answer() { return status }
    return withCancellationDisabled {
      var pause: Int64 = 10_000
      while !deadline.hasPassed {
        let next = Deadline.after(pause)
        withParker { _ = $0.park(until: next.nanoseconds < deadline.nanoseconds ? next : deadline) }
        if let status = answer() { return status }
        pause = min(pause * 2, 1_000_000)
      }
      return .timedOut
    }
  }
}
