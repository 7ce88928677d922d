#if !hasFeature(Embedded)

  extension TaskRegistry {
    /// Lets signals shut the registry down.
    ///
    /// The first signal cancels the registry's token, with `.userRequested` and the signal's name
    /// ("SIGTERM") as the message. The program, which waits for the token, then calls `shutdown`. A
    /// second signal tells the tasks of the phases asked so far to abort, and cuts the grace short
    /// for every `shutdown` of this registry. A third ends the process at once, with the status
    /// 128 + its number.
    ///
    /// Handlers are installed for the whole process, and the token is cancelled on a thread of the
    /// library. A process can have one watch at a time. The watch holds a reference to the registry
    /// until `stopSignalWatch`.
    ///
    /// - Parameters:
    ///   - signals: their numbers; nil: SIGINT and SIGTERM (and SIGHUP if it reloads), except those
    ///     that are ignored at the time, as under nohup(1).
    ///   - hangUpReloads: whether SIGHUP cancels with `.reloadRequested` and counts as none of the
    ///     three.
    ///   - roles: signals that are watched in addition, or that ask for something other than a
    ///     stop.
    ///   - debounce: a signal that comes within this time of the last one that was counted is not
    ///     counted, as wrappers deliver Ctrl-C twice.
    /// - Returns: the numbers of the signals that are watched.
    /// - Throws: `signalInUse`, with nothing changed, if something else in the process takes one of the
    ///   signals: a signal source of Dispatch, a `ServiceGroup`; and if `signals` is nil and SIGTERM is
    ///   ignored, which is done for the sake of such a source. `invalidArgument` for a signal that
    ///   cannot have a handler, and when there is a watch already; `outOfMemory`, `threadUnavailable`,
    ///   `systemFailure`, `forkedChild`.
    @discardableResult
    public func startSignalWatch(
      _ signals: [Int32]? = nil, hangUpReloads: Bool = false,
      roles: [WatchedSignal] = [], debounce: Duration = .milliseconds(100)
    ) throws(TaskRegistryError) -> Set<Int32> {
      if ProcessState.isForkedChild { throw .forkedChild }
      if let number = SignalConflict.first(of: signals, roles) { throw .signalInUse(number) }
      try check(
        SignalWatch.start(
          for: core, signals, hangUpReloads: hangUpReloads, roles: roles, debounce: debounce))
      return SignalWatch.watched
    }

    /// Stops the watch that `startSignalWatch` started.
    ///
    /// When this returns, its threads have ended, and the signals have their previous actions
    /// again.
    ///
    /// - Throws: `signalInUse`, after all of that, when something else has begun to take a signal
    ///   meanwhile: another handler, which stays, or a signal source of Dispatch. From then on the
    ///   watch may have missed it. `invalidArgument` when there is no such watch for this registry; `wouldDeadlock`
    ///   on the watch's own thread; `forkedChild`.
    ///
    /// *Concurrency:* waits for callbacks that the watch's thread is running.
    public func stopSignalWatch() throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      let lost = SignalWatch.lost
      try check(SignalWatch.end(for: core))
      if let number = lost { throw .signalInUse(number) }
    }
  }

  extension SignalWatch {
    /// The numbers of the signals that are watched now.
    fileprivate static var watched: Set<Int32> { Set((1...lastSignal).filter { watches($0) }) }

    /// The first watched signal that something else takes; nil if nothing does.
    fileprivate static var lost: Int32? {
      let watched = self.watched.sorted()
      let taken = existing?.taken ?? 0
      return watched.first { taken & bit($0) != 0 } ?? SignalConflict.first(of: watched, [])
    }

    /// Starts the watch with the arguments of `TaskRegistry.startSignalWatch`.
    ///
    /// - Returns: as the other `start`; `.invalid` also for arguments that are not what that
    ///   documents.
    static func start(
      for registry: RegistryReference, _ signals: [Int32]?, hangUpReloads: Bool,
      roles: [WatchedSignal], debounce: Duration
    ) -> Status {
      guard debounce >= .zero, signals?.allSatisfy((1...lastSignal).contains) != false else {
        return .invalid
      }
      let assignments = roles.compactMap(\.assignment)
      guard assignments.count == roles.count, Set(roles.map(\.number)).count == roles.count else {
        return .invalid
      }
      return assignments.withUnsafeBufferPointer {
        start(
          for: registry, signals: signals?.reduce(0) { $0 | bit($1) },
          hangUpReloads: hangUpReloads, roles: $0, debounce: debounce.wholeNanoseconds)
      }
    }
  }

  extension TaskRegistry {
    /// Moves the watch of `startSignalWatch` to another registry, so that signals shut that one
    /// down.
    ///
    /// At no moment are the signals unwatched. Signals that have arrived move too: after one stop
    /// the token of `other` is cancelled when this returns; after two, the grace of its shutdowns
    /// is also cut short.
    ///
    /// - Parameter other: the registry that signals shut down from now on.
    /// - Throws: `invalidArgument` when there is no such watch for this registry; `forkedChild`.
    public func moveSignalWatch(to other: TaskRegistry) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(SignalWatch.move(from: core, to: other.core))
    }

    /// The first signal that has asked the program to stop without being reported by a token.
    ///
    /// That happens when the watched registry had been cancelled for another reason before. nil if
    /// there is no such signal. The next `startSignalWatch` starts with it.
    public static var pendingStopSignal: Int32? {
      let number = SignalWatch.pendingStop
      return number == 0 ? nil : number
    }
  }

  extension ShutdownToken {
    /// Requests that the thread of `startSignalWatch` cancel the token with `reason` soon.
    ///
    /// The C function behind it, `tr_request_shutdown`, is async-signal-safe. Swift code is not
    /// known to be, so write a signal handler in C.
    ///
    /// - Throws: `invalidArgument` when there is no such thread; `forkedChild`.
    public func requestShutdown(reason: ShutdownReason) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      try check(SignalWatch.request(core, reason: reason.rawValue))
    }
  }

#endif
