import CPlatform

extension TaskReference {
  /// Whether a task cannot end before the calling thread returns to the library: the task that it
  /// runs, or the one whose stall it is reporting.
  ///
  /// - Parameter isMeant: whether a task is the one in question.
  /// - Returns: whether it returned true for such a task.
  static func isHeldUpByCaller(_ isMeant: (TaskReference) -> Bool) -> Bool {
    if let task = Worker.currentTask, isMeant(task) { return true }
    return CallFrame.isHoldingUp {
      if case .task(let task) = $0 { isMeant(task) } else { false }
    }
  }
}
