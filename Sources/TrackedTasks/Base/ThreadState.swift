import CPlatform
import Synchronization

/// The state of its thread that a body may change, and that is restored or checked before the
/// thread serves another task (S1); docs/contract.md has a table of it.
///
/// Each check costs system calls, of some 150 ns each, and stands between the end of one task and
/// the next. A change takes a system call as well, so no check follows a body that was too short
/// for one. Measured with a counter of 2 GHz, where an empty body took 34 ticks, the fastest of 20
/// 000 calls took, in ticks: mask, signal stack 300; nice value 1 500; affinity 2 000. The bounds
/// below leave room for faster machines.
///
/// The rest, `ThreadOrigin`, takes a dozen more calls, and some 9 µs if the process may enter
/// namespaces. It is checked after a thread's first task, after a body of 4096 ticks, 1 to 2 µs,
/// and before the thread goes to sleep if a body since then was long enough for a change (ids 660
/// ticks, directories 670, namespaces 880). So a shorter body that only changes one of these may
/// hand the change on to a task that starts at once; the contract says so.
struct ThreadState {
  /// The thread's scheduling when it started, hashed to eight bytes, because every worker keeps
  /// one.
  private var scheduling: UInt64 = 0
  /// The stack for signal handlers it started with; a sanitizer gives it one.
  private var signalStack: UnsafeMutableRawPointer?
  private var signalStackSize = 0
  /// Whether the thread is as its creator was, and has not been checked since.
  private(set) var isNew = true
  /// Whether the last full check was before a body that may have changed something.
  ///
  /// Then there is another before the thread sleeps.
  private(set) var owesCheck = false

  init() {}

  /// Whether a body of `ticks` can have changed more than cancel state, cancel type, errno and
  /// locale.
  ///
  /// The ticks are those of `cp_ticks`. Without such a counter a body always counts as long.
  @inline(__always)
  static func mayHaveChanged(inTicks ticks: UInt64) -> Bool {
    ticks >= shortestChange.load(ordering: .relaxed)
  }

  // atomic: relaxed; whoever reads the first value checks more often than need be.
  private static let shortestChange = Atomic<UInt64>(80)

  /// Measures how short a body can be that has changed something: half of what the fastest of some
  /// of the shortest system calls takes here, between 80 and 160 ticks.
  ///
  /// An empty system call took 294 ticks at 2 GHz, and 540 at another machine's 3 GHz. The bounds
  /// are for calls that are slow only while this measures, and for machines that are faster than
  /// these: at the 2 to 5 GHz of such counters, 80 ticks are 16 to 40 ns. An empty body takes 24 to
  /// 34, but one that writes a line of memory which another processor has takes 100 or more.
  static func measureShortestChange() {
    var shortest = UInt64.max
    for _ in 0..<16 {
      let start = cp_ticks()
      _ = cp_gettid()
      shortest = min(shortest, cp_ticks() &- start)
    }
    shortestChange.store(min(max(shortest / 2, 80), 160), ordering: .relaxed)
  }

  /// Whether it can have changed scheduling, affinity or the name.
  @inline(__always)
  static func mayHaveMoved(inTicks ticks: UInt64) -> Bool { ticks >= 160 }

  /// Whether everything is checked, when only the next task could be waiting for it.
  private static func isLong(_ ticks: UInt64) -> Bool { ticks >= 4096 }

  /// Gives the calling thread, which is new, the scheduling of its registry's threads, and records
  /// it.
  ///
  /// - Returns: false if the system refuses, as it may when a nice value is to be lowered; the
  ///   thread is then as its creator was, and must serve only that one task.
  @inline(never)
  mutating func begin(in home: some ThreadHome) -> Bool {
    var now = cp_get_scheduling(0)
    var wanted = home.scheduling
    let before = cp_scheduling_digest(&now)
    var changes = false
    let isRight = cp_schedule(&now, &wanted, &changes)
    // Usually nothing had to be changed, and a second reading would be two more system calls.
    if changes && isRight { now = cp_get_scheduling(0) }
    scheduling = isRight ? cp_scheduling_digest(&now) : before
    let stack = cp_alternate_stack()
    signalStack = stack.ss_sp
    signalStackSize = stack.ss_size
    if stack.ss_flags & Int32(SS_DISABLE) != 0 { signalStackSize = 0 }
    return isRight
  }

  /// Restores what can be restored, and checks the rest, after a body of `ticks`.
  ///
  /// - Parameters:
  ///   - home: the registry whose thread it is.
  ///   - ticks: how long its body ran, or its `drop`.
  /// - Returns: false if the thread must not be kept.
  @inline(never)
  mutating func restore(in home: some ThreadHome, afterTicks ticks: UInt64) -> Bool {
    ThreadState.restoreMask(in: home)
    guard restoreSignalStack() else { return false }
    if !isNew && !Self.mayHaveMoved(inTicks: ticks) { return true }
    owesCheck = true
    var now = cp_get_scheduling(0)
    guard cp_scheduling_digest(&now) == scheduling else { return false }
    return isNew || Self.isLong(ticks) ? checkEverything(in: home) : true
  }

  /// Restores the stack for signal handlers: the one that a body has installed may be freed now.
  ///
  /// - Returns: false if the thread runs on it.
  @inline(never)
  func restoreSignalStack() -> Bool {
    var stack = stack_t()
    stack.ss_sp = signalStack
    stack.ss_size = signalStackSize
    stack.ss_flags = signalStackSize == 0 ? Int32(SS_DISABLE) : 0
    return cp_set_alternate_stack(stack)
  }

  /// Checks what `restore` may have skipped.
  ///
  /// - Returns: false if the thread must not be kept.
  @inline(never)
  mutating func checkEverything(in home: some ThreadHome) -> Bool {
    owesCheck = false
    isNew = false
    return home.restoreSurroundings()
  }

  /// Sets the calling thread's mask to the one with which tasks of its registry start.
  ///
  /// It is the registry's mask without the backtrace signal, if there is one (S7, E12).
  ///
  /// - Returns: that signal, or 0.
  @discardableResult
  static func restoreMask(in home: some ThreadHome) -> Int32 {
    let signal = home.backtraceSignal
    home.taskMask.without(signal).apply()
    return signal
  }
}

/// The state of a registry's threads; implemented by `RegistryReference`.
protocol ThreadHome {
  /// The scheduling of its threads.
  var scheduling: cp_scheduling { get }
  /// The mask with which its tasks start.
  var taskMask: SignalMask { get }
  /// The backtrace signal, which no mask blocks; 0 for none.
  var backtraceSignal: Int32 { get }
  /// Restores the calling thread's surroundings.
  ///
  /// - Returns: false if the thread must not be kept.
  func restoreSurroundings() -> Bool
}
