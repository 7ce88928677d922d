#if !hasFeature(Embedded)

  /// A thread of the process that runs none of the tasks of a report.
  public struct ThreadReport: Identifiable, Hashable, Sendable, Codable {
    /// The kernel's id of the thread.
    public let id: Int32
    /// The kernel's name of it, at most 15 bytes.
    public let name: String
    /// Its state as in proc_pid_stat(5): "R", "S", "D", "T"; nil if that is not known.
    public var schedulerState: Character? { schedulerText?.first }
    let schedulerText: String?
    /// The kernel function it sleeps in, as in proc_pid_wchan(5); nil if there is none or it is not
    /// known.
    public let waitChannel: String?
    /// The number of the system call it is in; nil if it is in none or that is not known.
    public let syscall: Int?
    /// The name of that system call, "read"; nil also for a number the library has no name for.
    public let syscallName: String?
    /// CPU time it has used; nil if that is not known.
    public let cpu: Duration?
    /// How long it has waited for a processor; nil if that is not known.
    public let runQueueTime: Duration?
    /// The errno that kept the library from reading everything Linux says about it; nil if none did.
    public let probeError: Int32?
    /// How many stragglers wait for it, directly or through others, if it waits for no other thread
    /// itself.
    public let holdsUp: Int
    /// How many wait for something that it holds, or for its end.
    public let holdsUpDirectly: Int
    /// Whether that is certain; false: it, or a thread in between, may have the id of an earlier
    /// thread that took a lock and ended.
    public let holdsUpIsCertain: Bool
    /// What it waits for, and who holds that.
    public let wait: WaitReport

    init(_ thread: OtherThread) {
      id = thread.threadID
      name = thread.name.withText { String(cString: $0) }
      let probe = thread.probe
      schedulerText =
        probe.schedulerState == 0 ? nil : String(UnicodeScalar(probe.schedulerState))
      waitChannel = probe.withWaitChannel { $0[0] == 0 ? nil : String(cString: $0) }
      syscall = probe.syscall < 0 ? nil : Int(probe.syscall)
      syscallName = probe.syscallName.map { String(cString: $0) }
      cpu = probe.cpu < 0 ? nil : .nanoseconds(probe.cpu)
      runQueueTime = probe.runQueue < 0 ? nil : .nanoseconds(probe.runQueue)
      probeError = probe.failure == 0 ? nil : probe.failure
      holdsUp = Int(thread.heldUp.tasks)
      holdsUpDirectly = Int(thread.heldUp.direct)
      holdsUpIsCertain = !thread.heldUp.isDoubtful
      wait = WaitReport(probe.edge, thread.holder)
    }
  }

#endif
