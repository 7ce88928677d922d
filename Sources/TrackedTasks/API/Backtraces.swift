#if !hasFeature(Embedded)

  extension TaskRegistry {
    /// Enables backtraces of stragglers in the reports of all registries of the process.
    ///
    /// The signal is sent to the straggler's thread, and its handler records the return addresses.
    /// The signal interrupts some system calls with EINTR (signal(7) lists them); the others are
    /// restarted, by SA_RESTART. Only tasks that start after this call leave the signal unblocked,
    /// so make the call before the first `spawn`.
    ///
    /// - Parameter signal: a signal that is used for nothing else, such as SIGRTMIN + 2.
    /// - Throws: `invalidArgument` for a number that is not a signal, is SIGKILL, SIGSTOP or a
    ///   synchronous fault, for a signal that has another handler or is ignored, and for another
    ///   signal than the first time; `outOfMemory`; `forkedChild`.
    ///
    /// *Concurrency:* any thread; does not block. The handler stays until the process ends.
    public static func enableBacktraces(signal: Int32) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(Backtrace.enable(signal: signal))
    }
  }

#endif
