/// When a task runs that runs again and again (B5).
///
/// Durations are in nanoseconds.
struct ScheduleRule {
  /// From one tick to the next; positive.
  var period: Int64 = 0
  /// From the spawn to the first tick.
  var firstDelay: Int64 = 0
  /// By how much each run begins after its tick at most, at random, in percent of the period.
  var jitter: UInt32 = 0
  /// Whether the next tick is one period after the end of a run, and not after the last tick.
  var countsFromEnd = false
  /// What becomes of ticks at which no run could begin.
  var missed = Missed.skip

  /// What becomes of the ticks that came while a run was under way, or while the process did not
  /// run; the numbers are those of `TR_MISSED_…`.
  enum Missed: UInt32 {
    /// They are left out: the next run begins at the next tick.
    case skip = 0
    /// Each is made up for: runs follow one another until none is left.
    case burst = 1
    /// One run begins at once, and the ticks move: they are counted from there.
    case delay = 2
  }

  /// Whether the numbers make sense.
  var isValid: Bool { period > 0 && firstDelay >= 0 && jitter <= 100 }
}
