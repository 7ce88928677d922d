import CPlatform

/// The process whose threads, locks and descriptors are examined: the target of the command, or this
/// one before there is a target.
///
/// The core's own (ProbedProcess.swift) has the same for the process that it is part of.
enum ProbedProcess {
  /// The process; nil: this one, in which the locks of the C library are tried out.
  ///
  /// SAFETY: written before a thread is examined, by the only thread that does that.
  nonisolated(unsafe) static var target: Target?

  static var id: Int32 { target?.ownID ?? getpid() }

  static var examiner: Int32 { target == nil ? cp_gettid() : 0 }

  static var mostThreads: Int { 4096 }

  /// How many threads of a core file have been listed.
  ///
  /// SAFETY: the tool has one thread that examines.
  nonisolated(unsafe) private static var nextOfCore = 0

  /// Whether it has ended, and all that is known is in a core file.
  static var isDead: Bool { target?.core != nil }

  static var isOver: Bool { isDead }

  /// What its clocks show; see `Target.clocks`.
  static var clocks: ClockPair { target?.clocks ?? .now }

  static func append(thread: Int32, to path: inout FixedText) {
    guard let target else {
      path.append("/proc/self/task/")
      return path.append(thread)
    }
    target.append("/task/", to: &path)
    path.append(target.threads.outer(of: thread))
  }

  static func read(
    _ name: StaticString, ofThread thread: Int32, into bytes: UnsafeMutableBufferPointer<UInt8>
  ) -> Int {
    if let core = target?.core {
      return core.notes.thread(thread)?.write(name, of: core, to: bytes) ?? Int(-ESRCH)
    }
    return readFile(name, ofThread: thread, into: bytes)
  }

  static func appendTable(to path: inout FixedText) {
    guard let target else { return path.append("/proc/thread-self") }
    target.append("", to: &path)
  }

  static func open(_ list: inout cp_thread_list) -> Int32 {
    guard let target else { return cp_thread_list_open(&list, "/proc/self/task") }
    nextOfCore = 0
    return target.openThreads(&list)
  }

  static func next(of list: inout cp_thread_list) -> Int32 {
    if let core = target?.core {
      if nextOfCore >= core.notes.threads.count { return 0 }
      nextOfCore += 1
      return core.notes.threads[nextOfCore - 1].id
    }
    let thread = cp_thread_list_next(&list)
    guard let target, thread > 0 else { return thread }
    return target.threads.inner(of: thread)
  }

  static func read(_ address: UInt64, _ bytes: UnsafeMutableRawPointer?, _ size: Int) -> Int {
    guard let target else { return cp_read_own_memory(address, bytes, size) }
    return target.read(address, bytes, size)
  }

  static func has(thread: Int32) -> Bool {
    guard let target else { return cp_thread_exists(thread) }
    if let core = target.core { return core.notes.thread(thread) != nil }
    var exists = false
    withFixedText {
      append(thread: thread, to: &$0)
      $0.append("/stat")
    } _: {
      exists = File.exists($0)
    }
    return exists
  }

  static func birth(ofThread thread: Int32) -> UInt64 {
    cp_birth(target?.threads.outer(of: thread) ?? thread)
  }

  /// The limit of thread ids, which may have been raised while a process ran.
  ///
  /// So it is taken for the smallest that Linux begins with. A core file does not tell, nor does the limit of this
  /// process's namespace tell that of another.
  static var largestID: UInt64 {
    guard let target else { return 0 }
    return isDead || target.isInOtherNamespace ? 0 : min(cp_largest_id(), 32768)
  }

  /// Of a core file all holders are, which is said once.
  static var showsDoubt: Bool { !isDead }

  /// The CPU clock of a thread can be read by its own process alone; its file `schedstat` has the
  /// same number.
  static func processorTime(ofThread thread: Int32) -> Int64 {
    guard let target else { return ThreadClock.read(ofThread: thread) }
    if let core = target.core { return core.notes.thread(thread)?.processorTime ?? -1 }
    var time: Int64 = -1
    withFixedText {
      append(thread: thread, to: &$0)
      $0.append("/schedstat")
    } _: {
      time = Int64(clamping: File.read($0, most: 128).number(at: 0) ?? .max)
    }
    return time == .max ? -1 : time
  }

  /// A thread with the address of its list of robust mutexes: the main thread.
  ///
  /// Of a core file the thread pointer, which is as far from glibc's descriptor of the thread in each.
  static var reference: (thread: Int32, robustList: UInt64) {
    guard let target else { return (cp_gettid(), cp_robust_list(0)) }
    if let core = target.core {
      let first = core.notes.thread(target.ownID) ?? core.notes.threads[0]
      return (first.id, first.facts.pointer)
    }
    return (target.ownID, cp_robust_list(target.process))
  }

  static func robustList(ofThread thread: Int32) -> UInt64 {
    if let core = target?.core { return core.notes.thread(thread)?.facts.pointer ?? 0 }
    return cp_robust_list(target?.threads.outer(of: thread) ?? thread)
  }

  static var lockPlaces: (places: WaitPlaces, gap: WaitEdge.Gap) {
    target?.lockPlaces ?? LockTrial.places()
  }

  /// Borrows the file for the time of the call (pidfd_getfd(2)); -1 if the system does not lend it.
  static func with<Result>(descriptor number: Int32, _ body: (Int32) -> Result) -> Result {
    guard let target else { return body(number) }
    let lent = target.handle < 0 ? -1 : cp_lend_descriptor(target.handle, number)
    let result = body(max(-1, lent))
    if lent >= 0 { cp_close(lent) }
    return result
  }
}
