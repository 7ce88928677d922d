import CPlatform
import Synchronization

/// Whether a thread has an id that an earlier thread of the same process may have had (Q1).
///
/// Linux gives ids in order up to a limit, and then begins anew; those in use it skips. So as long
/// as fewer processes and threads are made than half of a round has ids, none comes twice. How many
/// were made between the main thread and a later one follows from the numbers of their pidfds where
/// these are given in order; else it is known how many were made since the machine was started.
enum ThreadBirth {
  /// The smallest limit of ids that was seen; 0: none.
  ///
  /// It may be raised when ids have come round.
  ///
  /// atomic: relaxed, a number by itself.
  private static let limit = Atomic<UInt64>(0)

  /// The process whose main thread is described by `mainBirth`.
  ///
  /// atomic: stored with release, loaded with acquire.
  private static let knownOf = Atomic<Int32>(0)

  /// The main thread's number; 0: the numbers are not in order.
  ///
  /// atomic: relaxed, see `knownOf`.
  private static let mainBirth = Atomic<UInt64>(0)

  /// Whether the machine has made more threads than half of a round has ids; it has for good then.
  ///
  /// atomic: relaxed, a fact by itself.
  private static let hasMadeMany = Atomic<Bool>(false)

  /// Reads the limit of ids before it is raised: when the first registry is made.
  static func begin() { if limit.load(ordering: .relaxed) == 0 { _ = readLimit() } }

  /// Whether no earlier thread of the process had the thread's id; false if that is not known.
  static func isFirst(ofItsID thread: Int32) -> Bool {
    let limit = readLimit()
    if limit < 600 { return false }
    let most = (limit - 300) / 2
    // In a child of fork(2) that has executed no program, locks may have owners in its parent.
    let process = ProbedProcess.id
    if hasExecuted(process) {
      if thread == process { return true }
      let first = mainBirth.load(ordering: .relaxed)
      let own = first == 0 ? 0 : ProbedProcess.birth(ofThread: thread)
      if own > first { return own - first <= most }
    }
    return isYoungMachine(most)
  }

  /// The smallest limit that was seen; 0 if it is not known now.
  private static func readLimit() -> UInt64 {
    let now = ProbedProcess.largestID
    var seen = limit.load(ordering: .relaxed)
    while now != 0 && (seen == 0 || now < seen) {
      let (done, other) = limit.compareExchange(expected: seen, desired: now, ordering: .relaxed)
      if done { return now }
      seen = other
    }
    return now == 0 ? 0 : seen
  }

  /// Whether the process has executed its program itself; if so, its main thread's number is known.
  private static func hasExecuted(_ process: Int32) -> Bool {
    if knownOf.load(ordering: .acquiring) == process { return true }
    var hasExecuted = false
    var bytes = InlineArray<128, UInt64>(repeating: 0)
    withUnsafeMutableBytes(of: &bytes) { bytes in
      bytes.withMemoryRebound(to: UInt8.self) {
        let count = ProbedProcess.read("stat", ofThread: process, into: $0)
        let text = UnsafeBufferPointer(rebasing: $0[0..<max(0, count)])
        // PF_FORKNOEXEC, as in the kernel's sched.h since Linux 2.5.
        hasExecuted = ThreadProbe.flags(in: text).map { $0 & 0x40 == 0 } ?? false
      }
    }
    if !hasExecuted { return false }
    let birth = cp_births_are_in_order() ? ProbedProcess.birth(ofThread: process) : 0
    mainBirth.store(birth, ordering: .relaxed)
    // Without a descriptor at this moment there may be one later.
    if birth != 0 { knownOf.store(process, ordering: .releasing) }
    return true
  }

  private static func isYoungMachine(_ most: UInt64) -> Bool {
    if hasMadeMany.load(ordering: .relaxed) { return false }
    let isYoung = cp_births_since_boot() <= most
    if !isYoung { hasMadeMany.store(true, ordering: .relaxed) }
    return isYoung
  }
}
