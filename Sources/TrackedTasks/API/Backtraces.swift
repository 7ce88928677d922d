#if !hasFeature(Embedded)

  extension TaskRegistry {
    /// Lets reports have the backtrace of each straggler, in all registries of the process (E12).
    ///
    /// The signal is sent to the straggler's thread, whose handler notes the return addresses. It ends some
    /// system calls with EINTR (signal(7) lists them); the others go on, by SA_RESTART. Tasks let it
    /// through when they begin after this call: it should come before the first `spawn`.
    ///
    /// - Parameter signal: one that is used for nothing else, such as SIGRTMIN + 2.
    /// - Throws: `invalidArgument` for a number that is no signal, is SIGKILL, SIGSTOP or a synchronous
    ///   fault, for a signal that has another handler or is ignored, and for another than the first time;
    ///   `outOfMemory`; `forkedChild`.
    /// *Concurrency:* any thread; does not block. The handler stays for ever.
    public static func enableBacktraces(signal: Int32) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(Backtrace.enable(signal: signal))
    }
  }

#endif
