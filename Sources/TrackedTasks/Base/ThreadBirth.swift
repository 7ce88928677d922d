import CPlatform
import Synchronization

/// Whether a thread has an id that an earlier thread of the same process may have had (Q1).
///
/// Linux gives ids in order, and begins anew at the end. The numbers that it gives to all processes
/// and threads that it makes are those of a counter that never comes round, so the number of a
/// thread less that of the main thread is how many were made while the process existed before the
/// thread.
enum ThreadBirth {
  /// The main thread's number and how many make a round, for the process with the id in `knownOf`.
  ///
  /// atomic: relaxed; whoever stores them stores the same. In a child of fork they are the
  /// parent's, until they are read again: then more seem to have been made than were.
  private static let main = Atomic<UInt64>(0)
  private static let round = Atomic<UInt64>(0)
  private static let knownOf = Atomic<Int32>(0)

  /// Whether no earlier thread of the process had the thread's id; false if that is not known.
  static func isFirst(ofItsID thread: Int32) -> Bool {
    let process = ProbedProcess.id
    if thread == process { return true }
    if knownOf.load(ordering: .relaxed) != process {
      round.store(ProbedProcess.birthsOfARound, ordering: .relaxed)
      main.store(ProbedProcess.birth(ofThread: process), ordering: .relaxed)
      knownOf.store(process, ordering: .relaxed)
    }
    let most = round.load(ordering: .relaxed)
    if most == 0 { return false }
    let first = main.load(ordering: .relaxed)
    let own = first == 0 ? 0 : ProbedProcess.birth(ofThread: thread)
    // Where pidfds are of another kind, all have one number.
    if own == 0 || own == first { return cp_births_since_boot() <= most }
    return (own > first ? own - first : first - own) <= most
  }
}
