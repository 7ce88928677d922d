import CPlatform
import Synchronization

/// How a worker knows the CPU time that its thread had used when a task started, so that a report
/// can state the task's own.
///
/// Reading the clock costs half a microsecond, twice as much as an empty task. So a worker reads it
/// when it goes to sleep, where nobody waits for it, and only if the tasks since the last reading
/// may have used a millisecond: 2²¹ ticks of bodies, where each body counts as 4096 more for the
/// worker's own steps. From that point until it sleeps, the value for its tasks is unknown. A new
/// thread has used nothing.
extension UnsafeMutablePointer<Worker> {
  private static var most: UInt64 { 1 << 21 }

  /// Adds the duration of a body, in the unit of `cp_ticks`.
  @inline(__always)
  func recordTicks(_ ticks: UInt64) {
    let sum = pointee.ticksSinceBase &+ min(ticks, Self.most) &+ 4096
    pointee.ticksSinceBase = sum
    if sum >= Self.most { pointee.cpuBase.store(-1, ordering: .relaxed) }
  }

  /// Reads the clock if necessary; the worker is going to sleep.
  @inline(__always)
  func recordCPUTime() {
    if pointee.ticksSinceBase < Self.most { return }
    pointee.cpuBase.store(ThreadClock.own, ordering: .relaxed)
    pointee.ticksSinceBase = 0
  }
}
