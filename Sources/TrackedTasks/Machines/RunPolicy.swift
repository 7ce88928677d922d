/// Why and when the body of a task runs again after it has ended.
enum RunPolicy {
  /// It starts again after a failure, or always (B1).
  case restart(RestartPolicy)
  /// It is periodic (B5).
  case schedule(ScheduleRule)
}
