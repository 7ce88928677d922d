import CPlatform
import Synchronization

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
