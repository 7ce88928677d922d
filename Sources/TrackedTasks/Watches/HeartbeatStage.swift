/// What was reported of a task, or of a thread, that has a heartbeat interval; stored in its
/// `HeartbeatState`.
///
///     quiet → reporting → reported → recovering → quiet
///               ↓   ↑______|  ↓
///          beatMeanwhile → quiet              idle ⇄ quiet
///
///     quiet → reporting         [finds]: a heartbeat is overdue
///     reporting → quiet         [finds], [climb]: it came after all, before anything was reported;
///                               [end], [retire]: what is posted is withdrawn
///     reporting → reported      [goOnReporting]: the step is delivered; [climb]: nobody wants it
///     reported → reporting      [deliver]: a later step is due
///     reporting → beatMeanwhile [hasRecovered]: a heartbeat, on the task's own thread
///     beatMeanwhile → quiet     [goOnReporting]: the end of the stall is reported;
///                               [end], [retire]: what is posted is withdrawn
///     reported → recovering     [hasRecovered]: a heartbeat
///     recovering → quiet        [hasRecovered]: the end of the stall is reported
///     quiet → idle              [arm]: no interval is set, or it rests in a wait
///     idle → quiet              [arm]: one was set at that moment; [armAgain], [hasRecovered]
///
/// Each is entered under the timer thread's Monitor, and read without it by the thread that has the
/// interval. While `reporting` or `beatMeanwhile`, an event thread may use the watch, and the task
/// does not end. While `recovering`, the task's own thread does.
enum HeartbeatStage: UInt32 {
  /// No stall was reported, or its end was.
  case quiet = 0
  /// The stall, or a later step, is being reported.
  case reporting = 1
  /// The stall was reported; later steps may follow.
  case reported = 2
  /// A heartbeat came while something was being reported: the end of the stall is reported right
  /// afterwards.
  case beatMeanwhile = 3
  /// The task's own thread is reporting the end of the stall.
  case recovering = 4
  /// The timer thread does not check, as no interval is set: a heartbeat makes it check again.
  case idle = 5
}
