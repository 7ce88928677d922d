import CPlatform

/// What a body may change of the thread it runs in, and what is done about it before the thread serves another
/// task (S1); the table in docs/contract.md says it for each.
///
/// Each look costs system calls, of some 150 ns each, and stands between the end of one task and the next. To change
/// anything takes a system call as well, and a body that was too short for that is not looked after. Measured with
/// a counter of 2 GHz, where an empty body took 34 ticks, the fastest of 20 000 calls took, in ticks: mask, stack for
/// signals 300; nice value 1 500; affinity 2 000. The bounds below leave room for faster machines.
///
/// The rest, `ThreadOrigin`, takes a dozen more calls, and some 9 µs where the process may enter namespaces. It is
/// looked at after a thread's first task, after a body of 4096 ticks, 1 to 2 µs, and before the thread goes to
/// sleep if a body since was long enough for it (ids 660 ticks, directories 670, namespaces 880). So a shorter body that
/// does nothing but change one of these may hand it on to a task that comes at once; the contract says so.
struct ThreadState {
  /// How the thread was scheduled as it began, hashed to eight bytes, as every worker keeps one.
  private var scheduling: UInt64 = 0
  /// The stack for signal handlers it began with; a sanitizer gives it one.
  private var signalStack: UnsafeMutableRawPointer?
  private var signalStackSize = 0
  /// Whether the thread is as its creator was, and nobody has looked at it since.
  private(set) var isNew = true
  /// Whether the last look at everything was before a body that may have changed something; then there is another
  /// before the thread sleeps.
  private(set) var owesCheck = false

  init() {}

  /// Whether a body that ran for `ticks`, as `cp_ticks` counts, can have changed anything but cancel state, cancel
  /// type, errno and locale.
  ///
  /// An empty system call took 294 ticks at 2 GHz where this was measured; at the 2 to 5 GHz such counters have, 80
  /// are 16 to 40 ns. Where there is no such counter a body always counts as long.
  @inline(__always)
  static func mayHaveChanged(inTicks ticks: UInt64) -> Bool { ticks >= 80 }

  /// Whether it can have changed scheduling, affinity or the name.
  @inline(__always)
  static func mayHaveMoved(inTicks ticks: UInt64) -> Bool { ticks >= 160 }

  /// Whether all is looked at, while nobody but the next task could wait for it.
  private static func isLong(_ ticks: UInt64) -> Bool { ticks >= 4096 }

  /// Schedules the calling thread, which is new, as its registry's threads are, and notes how it begins.
  ///
  /// - Returns: false if the system refuses, as it may to give a nice value back: then the thread is as its
  ///   creator was, and is to serve that one task only.
  @inline(never)
  mutating func begin(in home: some ThreadHome) -> Bool {
    var now = cp_get_scheduling(0)
    var wanted = home.scheduling
    let before = cp_scheduling_digest(&now)
    var changes = false
    let isRight = cp_schedule(&now, &wanted, &changes)
    // As a rule nothing had to be changed, and a second reading would be two more system calls.
    if changes && isRight { now = cp_get_scheduling(0) }
    scheduling = isRight ? cp_scheduling_digest(&now) : before
    let stack = cp_alternate_stack()
    signalStack = stack.ss_sp
    signalStackSize = stack.ss_size
    if stack.ss_flags & Int32(SS_DISABLE) != 0 { signalStackSize = 0 }
    return isRight
  }

  /// Puts back what can be put back, and looks at the rest, after a body of `ticks`.
  ///
  /// - Parameters:
  ///   - home: the registry whose thread it is.
  ///   - ticks: how long its body ran, or its `drop`.
  /// - Returns: false if the thread is not to be kept.
  @inline(never)
  mutating func restore(in home: some ThreadHome, afterTicks ticks: UInt64) -> Bool {
    ThreadState.restoreMask(in: home)
    var stack = stack_t()
    stack.ss_sp = signalStack
    stack.ss_size = signalStackSize
    stack.ss_flags = signalStackSize == 0 ? Int32(SS_DISABLE) : 0
    guard cp_set_alternate_stack(stack) else { return false }
    if !isNew && !Self.mayHaveMoved(inTicks: ticks) { return true }
    owesCheck = true
    var now = cp_get_scheduling(0)
    guard cp_scheduling_digest(&now) == scheduling else { return false }
    return isNew || Self.isLong(ticks) ? checkEverything(in: home) : true
  }

  /// Looks at what `restore` may have left.
  ///
  /// - Returns: false if the thread is not to be kept.
  @inline(never)
  mutating func checkEverything(in home: some ThreadHome) -> Bool {
    owesCheck = false
    isNew = false
    return home.restoreSurroundings()
  }

  /// Gives the calling thread the mask that tasks of its registry begin with: the registry's, but for the
  /// signal that asks for backtraces, once there is one (S7, E12).
  ///
  /// - Returns: that signal, or 0.
  @discardableResult
  static func restoreMask(in home: some ThreadHome) -> Int32 {
    let signal = home.backtraceSignal
    home.taskMask.without(signal).apply()
    return signal
  }
}

/// What a registry says of its threads; `RegistryReference` is the one.
protocol ThreadHome {
  /// How its threads are scheduled.
  var scheduling: cp_scheduling { get }
  /// The mask that its tasks begin with.
  var taskMask: SignalMask { get }
  /// The signal that asks for backtraces, which no mask blocks; 0 is none.
  var backtraceSignal: Int32 { get }
  /// Puts the calling thread's surroundings back.
  ///
  /// - Returns: false if the thread is not to be kept.
  func restoreSurroundings() -> Bool
}
