import CPlatform
import Synchronization

/// Whether a thread has ended, told by the kernel.
///
/// Threads that run tasks are made detached, and nobody joins them: a body may do with the thread it runs in what
/// it likes, `pthread_detach` and `pthread_join` included, which are EINVAL there. The kernel writes 0 here
/// as the very last thing a thread does to its memory (set_tid_address(2)): from then on its stack may
/// be used again. This is how glibc knows of the threads that it joins.
///
///     ended → alive → ended
///               └──→ leaving → ended
///
/// [start: the creator, before there is a thread] [the kernel; where a filter of system calls forbids it to be
/// asked for that, willEnd: the thread, and then the kernel has to be asked for each look]
struct ThreadLife: ~Copyable {
  // atomic: as above. Acquired by who wants its stack. The first field, so that its address is known.
  private let word = Atomic<Int32>(ended)
  // atomic: relaxed; the kernel's id of the thread, written before it is leaving.
  private let threadID = Atomic<Int32>(0)

  typealias Pointer = UnsafeMutablePointer<ThreadLife>

  private static var ended: Int32 { 0 }
  private static var alive: Int32 { 1 }
  private static var leaving: Int32 { 2 }

  init() {}

  /// A thread is about to be made.
  func start() { word.store(Self.alive, ordering: .relaxed) }

  /// The thread could not be made.
  func cancel() { word.store(Self.ended, ordering: .relaxed) }

  /// Whether there is no thread, or none any more.
  var hasEnded: Bool {
    let word = word.load(ordering: .acquiring)
    if word != Self.leaving { return word == Self.ended }
    return !cp_thread_exists(threadID.load(ordering: .relaxed))
  }

  /// The calling thread ends, and the kernel will not tell.
  fileprivate func leave() {
    threadID.store(cp_gettid(), ordering: .relaxed)
    word.store(Self.leaving, ordering: .releasing)
  }
}

extension UnsafeMutablePointer<ThreadLife> {
  /// Has the kernel tell when the calling thread has ended.
  func willEnd() {
    if !cp_clear_at_end(self) { pointee.leave() }
  }
}
