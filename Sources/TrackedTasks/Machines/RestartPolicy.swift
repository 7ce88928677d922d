/// When a task starts again after its body has ended, after which delay, and how often (B1).
///
/// Durations are in nanoseconds.
struct RestartPolicy {
  var when = When.never
  /// The delay before the first restart.
  var shortestDelay: Int64 = 100_000_000
  /// No delay becomes longer than this.
  var longestDelay: Int64 = 30_000_000_000
  /// How much longer each delay is than the one before, in percent: 200 doubles it.
  var factor: UInt32 = 200
  /// By how much a delay is shortened at most, at random, in percent of it.
  var jitter: UInt32 = 0
  /// After a run that lasted so long, the delay is the shortest again.
  var healthyAfter: Int64 = 60_000_000_000
  /// How many restarts there are at most within `window`; 0: any number.
  var mostRestarts: UInt32 = 0
  var window: Int64 = 60_000_000_000

  /// After which ends of its body a task starts again; the numbers are those of `TR_RESTART_…`.
  enum When: UInt32 {
    case never = 0
    /// After any end but returning 0.
    case onFailure = 1
    case always = 2
  }

  /// The largest `mostRestarts`: so many times are remembered.
  static var mostRemembered: UInt32 { 64 }

  /// Whether the numbers make sense.
  var isValid: Bool {
    shortestDelay >= 0 && longestDelay >= shortestDelay && factor >= 100 && jitter <= 100
      && healthyAfter >= 0 && mostRestarts <= Self.mostRemembered && window >= 0
  }
}
