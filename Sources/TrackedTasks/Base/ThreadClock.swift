import CPlatform
import Synchronization

/// CPU time of threads in nanoseconds, by their own clocks (E1).
enum ThreadClock {
  /// The CPU time of the calling thread.
  @inline(__always)
  static var own: Int64 { max(0, read(cp_clock_thread())) }

  /// The CPU time of a thread of this process; -1 if the kernel has no such thread.
  static func read(ofThread threadID: Int32) -> Int64 {
    // A clock's number has 29 bits for the complement of the id. Linux has no more than 4 million
    // ids.
    threadID > 0 && threadID < 1 << 28 ? read(cp_clock_of_thread(threadID)) : -1
  }

  private static func read(_ clock: clockid_t) -> Int64 {
    let before = cp_errno()
    var used = timespec()
    if clock_gettime(clock, &used) != 0 {
      cp_set_errno(before)
      return -1
    }
    return Int64(used.tv_sec) &* 1_000_000_000 &+ Int64(used.tv_nsec)
  }
}
