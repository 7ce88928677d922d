import CPlatform
import Synchronization

// LOCKING
// None. What can change, as the process drops privileges, is two atomics that mean nothing together.

/// How the threads of a registry are when a task begins: as the thread was that created the registry, whoever
/// makes them later (S1).
///
/// Processes change their privileges as a whole, in all threads: then the threads are no longer as the creator
/// was, and yet as they should be. So a thread that differs is compared with the main thread as well, by what
/// /proc says of both; if they are alike, that is from now on what the others are compared with.
struct ThreadOrigin: ~Copyable {
  // immutable after init
  /// Policy, priority, nice value and affinity.
  let scheduling: cp_scheduling
  private let process: Int32
  private let timerSlack: UInt64
  private let ioPriority: Int32
  private let hasDefaultMemoryPolicy: Bool
  /// Not in /proc, and set by single threads only.
  private let securebits: UInt64
  /// Whether a thread can change the ids its files are looked at by.
  ///
  /// One with more capabilities than the creator is found by those.
  private let mayChangeIDs: Bool
  /// Whether it can enter namespaces; likewise.
  private let mayChangeNamespaces: Bool
  // atomic: relaxed; digests of `identity` and of `surroundings`.
  private let usualIdentity = Atomic<UInt64>(0)
  private let usualSurroundings = Atomic<UInt64>(0)

  /// Of the calling thread, if it `isCaptured`; else of nobody.
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

  /// Whom the calling thread acts for and where: capabilities, ids, directories and umask.
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

  /// What else surrounds the calling thread: confinement, descriptors, namespaces.
  private var surroundings: UInt64 {
    var words = InlineArray<3, UInt64>(repeating: 0)
    words[0] = cp_confinement()
    words[1] = cp_shares_descriptors(cp_gettid(), process)
    words[2] = mayChangeNamespaces ? cp_namespaces(false) : 0
    return withUnsafeBytes(of: words) { cp_hash(cp_hash_start(), $0.baseAddress, 3) }
  }

  /// Puts back timer slack, I/O priority and memory policy of the calling thread.
  ///
  /// - Returns: false if that failed, or the thread is not what or where it should be.
  @inline(never)
  func restore() -> Bool {
    cp_set_timer_slack(timerSlack)
    if hasDefaultMemoryPolicy { cp_set_default_memory_policy() }
    guard cp_restore_io_priority(ioPriority), cp_securebits() == securebits else { return false }
    return identityIsUsual() && surroundingsAreUsual()
  }

  /// Whether the calling thread acts for whom it should.
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

  /// Whether the calling thread is where it should be.
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
  /// When that has ended nobody can tell: then what the thread has passes.
  private func sharesWithMain(_ order: UInt64) -> Bool {
    order == 0 || ThreadProbe.hasEnded(threadID: process)
  }

  /// Whether the calling thread has the main thread's privileges.
  private var isLikeMain: Bool {
    let own = ThreadProbe.privileges(threadID: cp_gettid())
    return own != 0 && own == ThreadProbe.privileges(threadID: process)
  }
}
