#if !hasFeature(Embedded)

  extension TaskRegistry {
    /// Lets signals shut the registry down (C13).
    ///
    /// The first cancels its token with `.userRequested` and the signal's name ("SIGTERM"): the program,
    /// which waits for the token, calls `shutdown`. A second makes the deadline of every `shutdown` of
    /// this registry now. A third ends the process at once with the status 128 + its number.
    ///
    /// Handlers are installed for the whole process, and the token is cancelled on a thread of the
    /// library's. There is one such watch in a process; it holds a reference to the registry until
    /// `stopSignalWatch`.
    ///
    /// - Parameters:
    ///   - signals: their numbers; nil: SIGINT and SIGTERM (and SIGHUP if it reloads), but for those
    ///     that are ignored at the time, as under nohup(1).
    ///   - hangUpReloads: SIGHUP cancels with `.reloadRequested`, and counts as none of the three.
    /// - Throws: `invalidArgument` for a signal that can have no handler, and when there is a watch
    ///   already; `outOfMemory`, `threadUnavailable`, `systemFailure`, `forkedChild`.
    public func startSignalWatch(
      _ signals: [Int32]? = nil, hangUpReloads: Bool = false
    ) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      var bits: UInt64?
      if let signals {
        var wanted: UInt64 = 0
        for number in signals {
          guard number >= 1, number <= 64 else { throw .invalidArgument }
          wanted |= SignalWatch.bit(number)
        }
        bits = wanted
      }
      try check(SignalWatch.start(for: core, signals: bits, hangUpReloads: hangUpReloads))
    }

    /// Ends what `startSignalWatch` began: the signals do again what they did before, and the thread is
    /// gone.
    ///
    /// - Throws: `invalidArgument` when there is no such watch for this registry; `wouldDeadlock` on its
    ///   own thread; `forkedChild`.
    /// *Concurrency:* waits for callbacks that the watch's thread is running.
    public func stopSignalWatch() throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(SignalWatch.end(for: core))
    }
  }

  extension TaskRegistry {
    /// Has the watch of `startSignalWatch` shut down another registry in the place of this one, without a moment
    /// at which nobody watches (C13).
    ///
    /// What has come goes along: after a stop the token of `other` is cancelled when this returns, and after two
    /// its shutdowns are hurried.
    ///
    /// - Parameter other: the registry that is to be shut down from now on.
    /// - Throws: `invalidArgument` when there is no such watch for this registry; `forkedChild`.
    public func moveSignalWatch(to other: TaskRegistry) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(SignalWatch.move(from: core, to: other.core))
    }

    /// The first signal that has asked the program to stop and that no token has told of, as the registry had been
    /// cancelled for another reason before; nil if there is none (C13).
    ///
    /// The next `startSignalWatch` begins with it.
    public static var pendingStopSignal: Int32? {
      let number = SignalWatch.pendingStop
      return number == 0 ? nil : number
    }
  }

  extension ShutdownToken {
    /// Has the token cancelled with `reason`, soon, by the thread of `startSignalWatch` (C14).
    ///
    /// The C function behind it, `tr_request_shutdown`, is async-signal-safe. Of Swift nobody promises
    /// that: a signal handler should be written in C.
    ///
    /// - Throws: `invalidArgument` when there is no such thread; `forkedChild`.
    public func requestShutdown(reason: ShutdownReason) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(SignalWatch.request(core, reason: reason.rawValue))
    }
  }

#endif
