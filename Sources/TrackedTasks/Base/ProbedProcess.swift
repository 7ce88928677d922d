import CPlatform

// The tool `taskreg` has the same functions for another process (ProbedTarget.swift).
#if !TASKREG_TOOL
  /// The process whose threads, locks and descriptors are examined: this one.
  ///
  /// All that the examination asks of it goes through here, so that the same code examines another
  /// process when it is compiled into the tool.
  enum ProbedProcess {
    /// Its id.
    static var id: Int32 { getpid() }

    /// The thread that examines, if it is one of the process's; else 0.
    static var examiner: Int32 { cp_gettid() }

    /// How many threads of it that run no task are listed at the most.
    static var mostThreads: Int { 256 }

    /// Appends the path of a thread's directory in proc(5).
    static func append(thread: Int32, to path: inout FixedText) {
      path.append("/proc/self/task/")
      path.append(thread)
    }

    /// Reads the first bytes of a file in that directory; how many, or a negative error number.
    static func read(
      _ name: StaticString, ofThread thread: Int32, into bytes: UnsafeMutableBufferPointer<UInt8>
    ) -> Int { readFile(name, ofThread: thread, into: bytes) }

    /// Appends the path of the directory whose `fd` has the descriptors of the examiner's table.
    static func appendTable(to path: inout FixedText) { path.append("/proc/thread-self") }

    /// Opens the list of its threads; 0, or the error number.
    static func open(_ list: inout cp_thread_list) -> Int32 {
      cp_thread_list_open(&list, "/proc/self/task")
    }

    /// The id of the next thread; as `cp_thread_list_next`.
    static func next(of list: inout cp_thread_list) -> Int32 { cp_thread_list_next(&list) }

    /// Copies memory; how many bytes, or a negative error number: EFAULT if it is not mapped.
    static func read(_ address: UInt64, _ bytes: UnsafeMutableRawPointer?, _ size: Int) -> Int {
      cp_read_own_memory(address, bytes, size)
    }

    /// Whether it has a thread, which may be a main thread that has ended.
    static func has(thread: Int32) -> Bool { cp_thread_exists(thread) }

    /// The number that Linux gave to a thread when it made it; 0: not known.
    static func birth(ofThread thread: Int32) -> UInt64 { cp_birth(thread) }

    /// The limit of thread ids in its namespace; 0: not known.
    static var largestID: UInt64 { cp_largest_id() }

    /// Whether texts say of each holder that it is in doubt.
    static var showsDoubt: Bool { true }

    /// The CPU time of a thread, in nanoseconds; -1: not known.
    static func processorTime(ofThread thread: Int32) -> Int64 {
      ThreadClock.read(ofThread: thread)
    }

    /// Whether it has ended, so that no thread runs any more.
    static var isOver: Bool { false }

    /// A thread of it that has not ended, with the address of its list of robust mutexes; 0: not
    /// known.
    static var reference: (thread: Int32, robustList: UInt64) {
      (cp_gettid(), cp_robust_list(0))
    }

    /// The address of a thread's list of robust mutexes; 0: not known.
    static func robustList(ofThread thread: Int32) -> UInt64 { cp_robust_list(thread) }

    /// Where its C library's locks wait; or why that is not known.
    static var lockPlaces: (places: WaitPlaces, gap: WaitEdge.Gap) { LockTrial.places() }

    /// Passes a descriptor of the calling thread that is the same open file as a number in the
    /// examiner's table; -1 if there is none.
    static func with<Result>(descriptor number: Int32, _ body: (Int32) -> Result) -> Result {
      body(number)
    }
  }
#endif

extension ProbedProcess {
  /// Reads the first bytes of a file of a thread in proc(5); as `read`.
  ///
  /// The kernel writes each of these files whole for one call of read(2).
  static func readFile(
    _ name: StaticString, ofThread thread: Int32, into bytes: UnsafeMutableBufferPointer<UInt8>
  ) -> Int {
    var count = 0
    withFixedText { path in
      append(thread: thread, to: &path)
      path.append("/")
      path.append(name)
    } _: { path in
      // SAFETY: CChar and UInt8 have the same layout.
      let path = UnsafeRawPointer(path).assumingMemoryBound(to: CChar.self)
      count = cp_read_at_once(path, bytes.baseAddress, bytes.count)
    }
    return count
  }
}
