import CPlatform

extension TaskReference {
  /// The task that cannot end before the calling thread returns to the library: the one it runs, or one whose
  /// stall it reports.
  ///
  /// - Returns: whether `isMeant` says of one that it is the task in question.
  static func isHeldUpByCaller(_ isMeant: (TaskReference) -> Bool) -> Bool {
    if let task = Worker.currentTask, isMeant(task) { return true }
    return CallFrame.isHoldingUp {
      if case .task(let task) = $0 { isMeant(task) } else { false }
    }
  }
}
