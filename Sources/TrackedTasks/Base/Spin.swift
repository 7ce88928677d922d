import CPlatform

/// How long the library may spin instead of sleeping, and whether it spins at all.
///
/// A short spin saves the 25 µs that waking a thread on another core costs. It never yields
/// (`sched_yield` gives whole time slices to any busy process). It ends at once when the thread
/// waited for runs on the spinner's own core, where it cannot make progress meanwhile.
struct SpinPolicy {
  /// How long a worker without a task polls for the next one, in nanoseconds; 0: not at all.
  let worker: Int64
  /// How long a joiner polls before it parks, in nanoseconds; 0: not at all.
  let joiner: Int64
  /// How long `async` code polls for the end of a task before it suspends, in nanoseconds.
  ///
  /// 0: not at all. It is shorter than a joiner's, as the thread is one of the few of the cooperative pool.
  let awaiter: Int64
  /// How long a spawner waits for the spinning worker to end a short task, in nanoseconds.
  let spawner: Int64

  /// The policy for an application that allows `nanoseconds` of spinning on this machine.
  init(nanoseconds: Int64) {
    let allowed = cp_usable_cpus() > 1 ? nanoseconds : 0
    worker = allowed
    joiner = allowed &* 5
    awaiter = allowed
    spawner = allowed &* 2 / 5
  }
}

/// Spins until `isReady`, for `nanoseconds`, or until `deadline`, whichever is first.
///
/// - Parameters:
///   - nanoseconds: the longest time; 0 or less: `isReady` is called once.
///   - deadline: when to stop; if it has passed, `isReady` is called once.
///   - isFutile: called between rounds; true ends the spin.
///   - isReady: the condition that is waited for.
/// - Returns: whether `isReady` has returned true.
@inline(__always)
func spin(
  for nanoseconds: Int64, until deadline: Deadline = .never, unless isFutile: () -> Bool,
  until isReady: () -> Bool
) -> Bool {
  if nanoseconds <= 0 || deadline.nanoseconds <= 0 { return isReady() }
  var end: Int64 = 0
  while true {
    for _ in 0..<32 {
      if isReady() { return true }
      cp_spin_hint()
    }
    let now = monotonicNow()
    if end == 0 { end = min(now &+ nanoseconds, deadline.nanoseconds) }
    if now >= end || isFutile() { return isReady() }
  }
}
