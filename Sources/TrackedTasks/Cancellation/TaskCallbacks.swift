/// What is left to do on a thread that runs the callbacks of a task: those callbacks (C7), and the
/// release of a reference to the task.
struct TaskCallbacks {
  private let task: TaskReference

  /// Runs the callbacks of `task` that wait for its level, one after the other, and releases a
  /// reference to the task.
  ///
  /// A callback may end the thread: the others run all the same.
  ///
  /// Called after the level has risen, without any lock.
  static func run(for task: TaskReference) {
    // A function that is listed from now on finds the level, and is called where it is registered.
    if task.pointer.pointee.callbacks.isEmpty { return task.unpin() }
    runListed(for: task)
  }

  @inline(never)
  private static func runListed(for task: TaskReference) {
    var rest = TaskCallbacks(task: task)
    withUnsafeMutablePointer(to: &rest) { rest in
      let goOn: CallFrame.Function = {
        // SAFETY: it is `rest`, in both functions; the frames of the callers still exist.
        $0.unsafelyUnwrapped.assumingMemoryBound(to: TaskCallbacks.self).pointee.goOn()
      }
      CallFrame.call(.library, rest, goOn, ifLeft: goOn)
    }
  }

  /// Continues where the last call stopped.
  private func goOn() {
    CancelCallback.Owner.task(task).runCallbacks()
    if !ProcessState.isForkedChild { task.unpin() }
  }
}
