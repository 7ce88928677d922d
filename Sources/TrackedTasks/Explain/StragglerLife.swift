// The tool `taskreg` has these for the tasks of another process.
#if !TASKREG_TOOL
  /// What is asked again of a straggler once it has been examined.
  extension StragglerFacts {
    /// Whether its thread still runs the task.
    var isRunning: Bool { task?.word.isLive == true }

    /// Whether the task is still in the wait of the library in which it was found, by the call that
    /// its thread is in now.
    func isStillWaiting(_ call: SystemCall) -> Bool {
      var noted = wait
      noted?.exemption = .none
      return task?.checked(noted, ofTask: facts.id, in: call) != nil
    }

    /// Calls `body` with the address of its registry and of each that contains that.
    @inline(never)
    func forEachRegistry(_ body: (UInt64) -> Void) {
      task?.registry.forEachUpwards { body(UInt64(UInt(bitPattern: $0.pointer))) }
    }
  }
#endif
