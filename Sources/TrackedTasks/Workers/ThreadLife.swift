import CPlatform
import Synchronization

/// Whether a thread has ended, as reported by the kernel.
///
/// Threads that run tasks are created detached, and nobody joins them: a body may do what it likes
/// with its thread, including `pthread_detach` and `pthread_join`, which fail with EINVAL there.
/// The kernel writes 0 here as the very last thing a thread does to its memory
/// (set_tid_address(2)): from then on its stack may be reused. glibc uses the same mechanism for
/// the threads that it joins.
///
///     ended → alive → ended
///               └──→ leaving → ended
///
///     ended → alive    [start], by the creator, before the thread exists
///     alive → ended    the kernel; or [cancel], if the thread could not be created
///     alive → leaving  [willEnd], by the thread, if a filter of system calls forbids that request
///     leaving → ended  not stored: each `hasEnded` asks the kernel whether the thread exists
struct ThreadLife: ~Copyable {
  // atomic: as above. Acquired by a thread that is to reuse the stack. The first field, so that its
  // address is known.
  private let word = Atomic<Int32>(ended)
  // atomic: relaxed; the kernel's id of the thread, written before the word says leaving.
  private let threadID = Atomic<Int32>(0)

  typealias Pointer = UnsafeMutablePointer<ThreadLife>

  private static var ended: Int32 { 0 }
  private static var alive: Int32 { 1 }
  private static var leaving: Int32 { 2 }

  init() {}

  /// Marks the thread, which is about to be created, as alive.
  func start() { word.store(Self.alive, ordering: .relaxed) }

  /// The thread could not be created.
  func cancel() { word.store(Self.ended, ordering: .relaxed) }

  /// Whether there is no thread, or none any more.
  var hasEnded: Bool {
    let word = word.load(ordering: .acquiring)
    if word != Self.leaving { return word == Self.ended }
    return !cp_thread_exists(threadID.load(ordering: .relaxed))
  }

  /// Marks the calling thread as leaving: it ends, and the kernel will not write the word.
  fileprivate func leave() {
    threadID.store(cp_gettid(), ordering: .relaxed)
    word.store(Self.leaving, ordering: .releasing)
  }
}

extension UnsafeMutablePointer<ThreadLife> {
  /// Asks the kernel to write the word when the calling thread has ended.
  func willEnd() {
    if !cp_clear_at_end(self) { pointee.leave() }
  }
}
