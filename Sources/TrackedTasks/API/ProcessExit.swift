#if !hasFeature(Embedded)

  /// An end of the process that comes whatever hangs.
  ///
  /// A stop can hang outside all tasks: in the main thread before `shutdown`, in an exit handler,
  /// in a callback, under a lock of the allocator's. `arm` reserves threads, memory and
  /// descriptors. When the time is over, one of the threads writes what every registry, every task
  /// and every thread is doing, without a lock that another thread could hold, and ends the
  /// process. Nothing is ended unless the application asks for it.
  public enum ProcessExit {
    /// How the process ends.
    public struct Options: Hashable, Sendable {
      /// The exit status, 1 to 255.
      public var status: Int32
      /// Whether the process ends by SIGABRT instead, so that the system may write a core.
      public var aborts: Bool
      /// Whether the time begins with the first signal that asks for a stop, not with the call.
      ///
      /// See `TaskRegistry.startSignalWatch`. If such a signal has come, it begins with the call.
      public var startsWithSignal: Bool
      /// How long writing the report may take at the most.
      public var reportTime: Duration
      /// Where the report goes; nil: nowhere.
      ///
      /// The descriptor is duplicated.
      public var descriptor: Int32?
      /// The path of a file to which the first 4 KiB of the report are appended; nil: none.
      public var reasonFile: String?

      /// Creates options: each argument is the property of its name, with its default.
      public init(
        status: Int32 = 124, aborts: Bool = false,
        startsWithSignal: Bool = false, reportTime: Duration = .seconds(1),
        descriptor: Int32? = 2, reasonFile: String? = nil
      ) {
        self.status = status
        self.aborts = aborts
        self.startsWithSignal = startsWithSignal
        self.reportTime = reportTime
        self.descriptor = descriptor
        self.reasonFile = reasonFile
      }

      /// Calls `body` with the request; nil, without a call, if the options break their documented
      /// requirements.
      func withRequest<Result>(after time: Duration, _ body: (ExitRequest) -> Result) -> Result? {
        guard (1...255).contains(status), reportTime > .zero, (descriptor ?? 0) >= 0,
          reasonFile?.utf8.contains(0) != true
        else { return nil }
        var request = ExitRequest(after: max(0, time.wholeNanoseconds))
        request.startsWithSignal = startsWithSignal
        request.aborts = aborts
        request.reportTime = reportTime.wholeNanoseconds
        request.code = status
        request.descriptor = descriptor ?? -1
        guard let reasonFile else { return body(request) }
        return withUTF8Text(reasonFile) {
          request.reasonFile = $0
          return body(request)
        }
      }
    }

    /// Ends the process after a time, whatever hangs.
    ///
    /// A second call replaces the first once it has succeeded. A child of fork(2) is not armed.
    ///
    /// - Parameters:
    ///   - time: from the call, or from the first signal; zero, or less, is over at once.
    ///   - options: how the process ends.
    /// - Throws: `invalidArgument` when the options break their documented requirements;
    ///   `systemFailure` when the descriptor is not open or the file cannot be opened;
    ///   `outOfMemory`, `threadUnavailable`, `forkedChild`. An earlier call then stays in effect.
    ///
    /// *Concurrency:* any thread; waits until two threads of the library have started.
    public static func arm(
      after time: Duration, options: Options = Options()
    ) throws(TaskRegistryError) {
      if ProcessState.isForkedChild { throw .forkedChild }
      guard let status = options.withRequest(after: time, { ExitBy.arm($0) }) else {
        throw .invalidArgument
      }
      try check(status)
    }

    /// Takes back what `arm` has armed.
    ///
    /// - Throws: `invalidArgument` when nothing is armed; `timedOut` when the time is over, and the
    ///   process about to end; `forkedChild`.
    ///
    /// *Concurrency:* any thread; waits for two threads of the library.
    public static func cancel() throws(TaskRegistryError) {
      let status = ExitBy.cancel()
      try check(status == .deadline ? .timedOut : status)
    }
  }

#endif
