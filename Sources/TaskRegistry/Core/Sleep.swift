/// Sleeps on the calling thread; inside a task its flag ends the sleep (C4).
///
/// - Parameter duration: nanoseconds; negative is for ever.
/// - Returns: `.ok` after the whole time, else `.cancelled`.
func sleepCallingThread(for duration: Int64) -> Status {
  let task = Worker.currentTask
  let deadline = Deadline.after(duration)
  return withCancellationDisabled {
    withParker { parker in
      while true {
        if let task, task.word.isCancelRequested { return .cancelled }
        if deadline.hasPassed { return .ok }
        _ = parker.park(until: deadline)
      }
    }
  }
}
