import CPlatform

/// A registry's options, checked and with the defaults filled in.
struct RegistryOptionsCore {
  /// The most tasks alive at once; 0: no limit.
  var maxTasks: UInt64 = 0
  /// What lists from outside call it.
  ///
  /// Empty: none; a group's is not used.
  var name = TaskName()
  /// Bytes, a multiple of the page size.
  var stackSize: Int = defaultStackSize
  /// Nanoseconds; 0: the default; negative: none.
  var abortGrace: Int64 = 0
  /// Nanoseconds, not negative; 0: not at all.
  var spinNanoseconds: Int64 = 5_000
  /// Nanoseconds; negative: indefinitely.
  var idleNanoseconds: Int64 = 2_000_000_000
  /// How many idle threads stay beyond `idleNanoseconds`.
  var idleThreads: Int = 16
  /// Whether no thread outlives its task.
  var keepsNoThreads = false
  /// Whether counters by kind, durations and the last tasks are kept; groups do not inherit it.
  var keepsMetrics = false
  /// Whether reports say nothing of the descriptors that its tasks wait for (E13); groups inherit
  /// it.
  var hidesDescriptors = false
  /// Whether reports list the threads that run none of its tasks (Q7); groups inherit it.
  var reportsThreads = false
  /// The signals that its tasks block; nil: those of the thread that creates the registry.
  ///
  /// A group's is not used.
  var taskMask: SignalMask?
  var log: LogSink = .none
  /// What is done about a task that stays stalled; nil: nothing but the event (F4).
  var ladder: StallLadder.Plan?
  /// Where explanations of stalled tasks go beside the log; negative: nowhere.
  var explainDescriptor: Int32 = -1

  /// How long a join, or a shutdown, waits after its deadline, in nanoseconds (J4).
  func abortGrace(after policy: WaitPolicy) -> Int64 {
    if abortGrace != 0 { return max(0, abortGrace) }
    switch policy {
    case .untilDeadline: return 0
    case .untilForced: return 100_000_000
    }
  }

  /// These options for a group: what is not given is the parent's, whose memory outlives the
  /// group's.
  ///
  /// Options for threads are always the parent's.
  func inheriting(from parent: RegistryOptionsCore, stackSize: Bool) -> RegistryOptionsCore {
    var options = self
    options.spinNanoseconds = parent.spinNanoseconds
    if parent.hidesDescriptors { options.hidesDescriptors = true }
    if parent.reportsThreads { options.reportsThreads = true }
    if stackSize { options.stackSize = parent.stackSize }
    if abortGrace == 0 { options.abortGrace = parent.abortGrace }
    if ladder == nil {
      options.ladder = parent.ladder
      options.explainDescriptor = parent.explainDescriptor
    }
    if !log.isListening {
      options.log = parent.log
      options.log.dispose = nil
    }
    return options
  }

  static var defaultStackSize: Int { 1 << 20 }
  /// 64 KiB, or what the C library needs for any thread: 128 KiB on aarch64.
  private static var smallestStack: UInt64 {
    max(64 << 10, UInt64(max(0, sysconf(Int32(_SC_THREAD_STACK_MIN)))))
  }
  private static var largestStack: UInt64 { 1 << 40 }

  /// The stack size for a request of `bytes`: rounded up to pages, at least the smallest; nil if
  /// too large.
  static func stackSize(for bytes: UInt64) -> Int? {
    if bytes > largestStack { return nil }
    let page = UInt64(pageSize)
    let wanted = bytes < smallestStack ? smallestStack : bytes
    return Int((wanted + page - 1) / page * page)
  }
}
