import CPlatform
import Synchronization

// LOCKING
// None. The parts that can change, when the process drops privileges, are two atomics that are
// independent of each other.

/// The state of a registry's threads when a task starts: that of the thread that created the
/// registry, whichever thread creates them later (S1).
///
/// Processes change their privileges as a whole, in all threads. The threads then differ from the
/// creator, and yet are in the right state. So a thread that differs is also compared with the main
/// thread, by what /proc says about both; if they are equal, that is from now on what the others
/// are compared with.
struct ThreadOrigin: ~Copyable {
  // immutable after init
  /// Policy, priority, nice value and affinity.
  let scheduling: cp_scheduling
  private let process: Int32
  private let timerSlack: UInt64
  private let ioPriority: Int32
  private let hasDefaultMemoryPolicy: Bool
  /// Not in /proc, and set only by single threads.
  private let securebits: UInt64
  /// Whether a thread can change the ids that are used for file access.
  ///
  /// A thread with more capabilities than the creator is detected by its capabilities.
  private let mayChangeIDs: Bool
  /// Whether it can enter namespaces; likewise.
  private let mayChangeNamespaces: Bool
  // atomic: relaxed; digests of `identity` and of `surroundings`.
  private let usualIdentity = Atomic<UInt64>(0)
  private let usualSurroundings = Atomic<UInt64>(0)

  /// Captures the state of the calling thread if `isCaptured`, else none.
  init(isCaptured: Bool) {
    guard isCaptured else {
      scheduling = cp_scheduling()
      (process, timerSlack, ioPriority, securebits) = (0, 0, -1, 0)
      (hasDefaultMemoryPolicy, mayChangeIDs, mayChangeNamespaces) = (false, false, false)
      return
    }
    scheduling = cp_inherited(cp_get_scheduling(0))
    process = getpid()
    timerSlack = cp_timer_slack()
    ioPriority = cp_io_priority()
    hasDefaultMemoryPolicy = cp_has_default_memory_policy()
    securebits = cp_securebits()
    let permitted = cp_get_capabilities().permitted
    mayChangeIDs = cp_may_change_ids(permitted)
    mayChangeNamespaces = cp_may_enter_namespaces(permitted)
    usualIdentity.store(identity, ordering: .relaxed)
    usualSurroundings.store(surroundings, ordering: .relaxed)
  }

  /// The identity of the calling thread: capabilities, ids, directories and umask.
  private var identity: UInt64 {
    var words = InlineArray<5, UInt64>(repeating: 0)
    let capabilities = cp_get_capabilities()
    words[0] = capabilities.effective
    words[1] = capabilities.permitted
    words[2] = capabilities.inheritable
    words[3] = mayChangeIDs ? cp_filesystem_ids() : 0
    words[4] = cp_shares_directories(cp_gettid(), process)
    return withUnsafeBytes(of: words) { cp_hash(cp_hash_start(), $0.baseAddress, 5) }
  }

  /// The other surroundings of the calling thread: confinement, descriptors, namespaces.
  private var surroundings: UInt64 {
    var words = InlineArray<3, UInt64>(repeating: 0)
    words[0] = cp_confinement()
    words[1] = cp_shares_descriptors(cp_gettid(), process)
    words[2] = mayChangeNamespaces ? cp_namespaces(false) : 0
    return withUnsafeBytes(of: words) { cp_hash(cp_hash_start(), $0.baseAddress, 3) }
  }

  /// Restores timer slack, I/O priority and memory policy of the calling thread.
  ///
  /// - Returns: false if that failed, or the thread's identity or surroundings are wrong.
  @inline(never)
  func restore() -> Bool {
    cp_set_timer_slack(timerSlack)
    if hasDefaultMemoryPolicy { cp_set_default_memory_policy() }
    guard cp_restore_io_priority(ioPriority), cp_securebits() == securebits else { return false }
    return identityIsUsual() && surroundingsAreUsual()
  }

  /// Whether the calling thread's identity is right.
  @inline(never)
  private func identityIsUsual() -> Bool {
    let now = identity
    if now == usualIdentity.load(ordering: .relaxed) { return true }
    guard sharesWithMain(cp_shares_directories(cp_gettid(), process)), isLikeMain else {
      return false
    }
    usualIdentity.store(now, ordering: .relaxed)
    return true
  }

  /// Whether the calling thread's surroundings are right.
  @inline(never)
  private func surroundingsAreUsual() -> Bool {
    let now = surroundings
    if now == usualSurroundings.load(ordering: .relaxed) { return true }
    guard sharesWithMain(cp_shares_descriptors(cp_gettid(), process)), isLikeMain,
      !mayChangeNamespaces || cp_namespaces(false) == cp_namespaces(true)
    else { return false }
    usualSurroundings.store(now, ordering: .relaxed)
    return true
  }

  /// Whether something is shared with the main thread, by the result of kcmp(2).
  ///
  /// If the main thread has ended, that is not known, and the thread's state is accepted.
  private func sharesWithMain(_ order: UInt64) -> Bool {
    order == 0 || ThreadProbe.hasEnded(threadID: process)
  }

  /// Whether the calling thread has the main thread's privileges.
  private var isLikeMain: Bool {
    let own = ThreadProbe.privileges(threadID: cp_gettid())
    return own != 0 && own == ThreadProbe.privileges(threadID: process)
  }
}
