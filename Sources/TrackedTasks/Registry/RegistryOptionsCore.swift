/// A registry's options, checked and with the defaults filled in.
struct RegistryOptionsCore {
  /// The most tasks alive at once; 0 is no limit.
  var maxTasks: UInt64 = 0
  /// Bytes, a multiple of the page size.
  var stackSize: Int = defaultStackSize
  /// Nanoseconds, not negative.
  var abortGrace: Int64 = 0
  /// Nanoseconds, not negative; 0 is never.
  var spinNanoseconds: Int64 = 5_000
  /// Nanoseconds; negative is for ever.
  var idleNanoseconds: Int64 = 2_000_000_000
  /// How many idle threads stay beyond `idleNanoseconds`.
  var idleThreads: Int = 16
  /// No thread outlives its task.
  var keepsNoThreads = false
  /// Counters by kind, durations and the last tasks are kept; not inherited.
  var keepsMetrics = false
  /// What its tasks block; nil: what the thread that creates it does.
  ///
  /// A group's does not matter.
  var taskMask: SignalMask?
  var log: LogSink = .none

  /// These options for a group: what is not given is the parent's, whose memory outlives the group's.
  ///
  /// What concerns threads is the parent's in any case.
  func inheriting(from parent: RegistryOptionsCore, stackSize: Bool) -> RegistryOptionsCore {
    var options = self
    options.spinNanoseconds = parent.spinNanoseconds
    if stackSize { options.stackSize = parent.stackSize }
    if abortGrace == 0 { options.abortGrace = parent.abortGrace }
    if !log.isListening {
      options.log = parent.log
      options.log.dispose = nil
    }
    return options
  }

  static var defaultStackSize: Int { 1 << 20 }
  private static var smallestStack: UInt64 { 64 << 10 }
  private static var largestStack: UInt64 { 1 << 40 }

  /// The stack a request for `bytes` gets: rounded up to pages, at least 64 KiB; nil if absurd.
  static func stackSize(for bytes: UInt64) -> Int? {
    if bytes > largestStack { return nil }
    let page = UInt64(pageSize)
    let wanted = bytes < smallestStack ? smallestStack : bytes
    return Int((wanted + page - 1) / page * page)
  }
}
