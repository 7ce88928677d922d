import CPlatform
import Synchronization

/// Nanoseconds of processor time that threads have used, by their own clocks (E1).
enum ThreadClock {
  /// What the calling thread has used.
  @inline(__always)
  static var own: Int64 { max(0, read(cp_clock_thread())) }

  /// What a thread of this process has used; -1 if the kernel knows no such thread.
  static func read(ofThread threadID: Int32) -> Int64 {
    // A clock's number has 29 bits for the id's complement. Linux has no more than 4 million ids.
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

/// How a worker knows what its thread had used when a task begins, so that a report can tell what the task has.
///
/// To look costs half a microsecond, twice an empty task. So a worker looks when it goes to sleep, where
/// nobody waits for it, and then only if the tasks since the last look may have used a millisecond: 2²¹
/// ticks of bodies, each counted as 4096 more for what the worker does between them. From then until it
/// sleeps, what a task finds is not known. A new thread has used nothing.
extension UnsafeMutablePointer<Worker> {
  private static var most: UInt64 { 1 << 21 }

  /// A body has run for so long, as `cp_ticks` counts.
  @inline(__always)
  func recordTicks(_ ticks: UInt64) {
    let sum = pointee.ticksSinceBase &+ min(ticks, Self.most) &+ 4096
    pointee.ticksSinceBase = sum
    if sum >= Self.most { pointee.cpuBase.store(-1, ordering: .relaxed) }
  }

  /// The worker is going to sleep.
  @inline(__always)
  func recordCPUTime() {
    if pointee.ticksSinceBase < Self.most { return }
    pointee.cpuBase.store(ThreadClock.own, ordering: .relaxed)
    pointee.ticksSinceBase = 0
  }
}
