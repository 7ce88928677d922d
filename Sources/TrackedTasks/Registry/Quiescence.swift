import CPlatform

/// The end of the threads that the library has for itself, and of those that nobody joins.
enum Quiescence {
  /// How long the last release of all waits for the timer thread, which has nothing to do, in nanoseconds.
  private static var patience: Int64 { 10_000_000 }

  /// Waits until no thread is left of the library's own, nor of a registry that was given up (G4).
  ///
  /// - Parameter deadline: when to give up.
  /// - Returns: `.ok`; `.timedOut`; `.cancelled` when the flag of the calling task rose first; `.deadlock` on
  ///   a thread that would wait for itself.
  static func wait(until deadline: Deadline) -> Status {
    let isDeparted = Worker.current == nil && Worker.currentOrDeparted != nil
    if isDeparted || CallFrame.isOnOwnThread { return .deadlock }
    let task = Worker.currentTask
    return poll(until: deadline) {
      DeferredFree.tend()
      if TimerThread.dismiss() == .gone && ConditionWaker.rest == .gone && DeferredFree.isEmpty {
        return .ok
      }
      return task?.checkCancel() == true ? .cancelled : nil
    }
  }

  /// Waits until the timer thread is gone, and those that wake condition variables, unless somebody needs them.
  static func endTimerThread(until deadline: Deadline) {
    _ = poll(until: deadline) {
      TimerThread.dismiss() == .leaving || ConditionWaker.rest == .leaving ? nil : .ok
    }
  }

  /// There is no object of the library's any more, and so nothing that needs a thread.
  static func lastObjectIsGone() {
    // Never in the way of a thread that leaves, or of one for events, which would wait for itself.
    let waits = Worker.currentOrDeparted == nil && !CallFrame.isOnOwnThread
    endTimerThread(until: .after(waits ? patience : 0))
  }

  /// Asks again and again until there is an answer: nothing tells when a thread is quite gone.
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
