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

  static func append(thread: Int32, to path: inout FixedText) {
    guard let target else {
      path.append("/proc/self/task/")
      return path.append(thread)
    }
    target.append("/task/", to: &path)
    path.append(target.threads.outer(of: thread))
  }

  static func appendTable(to path: inout FixedText) {
    guard let target else { return path.append("/proc/thread-self") }
    target.append("", to: &path)
  }

  static func open(_ list: inout cp_thread_list) -> Int32 {
    guard let target else { return cp_thread_list_open(&list, "/proc/self/task") }
    return target.openThreads(&list)
  }

  static func next(of list: inout cp_thread_list) -> Int32 {
    let thread = cp_thread_list_next(&list)
    guard let target, thread > 0 else { return thread }
    return target.threads.inner(of: thread)
  }

  static func read(_ address: UInt64, _ bytes: UnsafeMutableRawPointer?, _ size: Int) -> Int {
    guard let target else { return cp_read_own_memory(address, bytes, size) }
    return cp_read_memory(target.process, address, bytes, size, 1)
  }

  static func has(thread: Int32) -> Bool {
    guard target != nil else { return cp_thread_exists(thread) }
    var exists = false
    withFixedText {
      append(thread: thread, to: &$0)
      $0.append("/stat")
    } _: {
      exists = File.exists($0)
    }
    return exists
  }

  /// The CPU clock of a thread can be read by its own process alone; its file `schedstat` has the
  /// same number.
  static func processorTime(ofThread thread: Int32) -> Int64 {
    guard target != nil else { return ThreadClock.read(ofThread: thread) }
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
  static var reference: (thread: Int32, robustList: UInt64) {
    guard let target else { return (cp_gettid(), cp_robust_list(0)) }
    return (target.ownID, cp_robust_list(target.process))
  }

  static func robustList(ofThread thread: Int32) -> UInt64 {
    cp_robust_list(target?.threads.outer(of: thread) ?? thread)
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
