import CPlatform

/// How long the library may spin in the place of sleeping, and whether at all.
///
/// A short spin saves the 25 µs that waking a thread on another core costs; it never yields
/// (`sched_yield` hands whole time slices to any busy process) and ends at once when the thread
/// waited for runs on the spinner's own core, where it cannot make progress meanwhile.
struct SpinPolicy {
  /// How long a worker without a task looks for the next one, in nanoseconds; 0 is not at all.
  let worker: Int64
  /// How long a joiner looks before it parks, in nanoseconds; 0 is not at all.
  let joiner: Int64
  /// How long a spawner waits for the hot worker to end a short task, in nanoseconds.
  let spawner: Int64

  /// The policy for an application that allows `nanoseconds` of spinning on this machine.
  init(nanoseconds: Int64) {
    let allowed = cp_usable_cpus() > 1 ? nanoseconds : 0
    worker = allowed
    joiner = allowed &* 5
    spawner = allowed &* 2 / 5
  }
}

/// Spins until `isReady`, for `nanoseconds`, or until `deadline`, whichever is first.
///
/// - Parameters:
///   - nanoseconds: how long at the most; 0 or less is one look.
///   - deadline: when to give up; one that has passed is one look.
///   - isFutile: asked between rounds; true ends the spin.
///   - isReady: what is waited for.
/// - Returns: whether `isReady` was seen true.
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
