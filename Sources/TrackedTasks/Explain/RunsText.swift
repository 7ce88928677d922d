/// What lists and reports say of the runs of a task that starts again (B3).
extension TextWriter {
  /// Writes " run 4; the last failed with code 7; starts again in 3.20 s", or nothing.
  ///
  /// - Parameters:
  ///   - activity: of the task.
  ///   - state: its state.
  ///   - now: on `CLOCK_MONOTONIC`.
  @inline(never)
  mutating func write(runsOf activity: ActivityFacts, _ state: TaskFacts.State, at now: Int64) {
    if activity.isWithoutRuns { return }
    write(" run ")
    write(activity.runs)
    write(lastRunOf: activity)
    switch activity.startsIn(state, at: now) {
    case -1: break
    case .max: write("; paused")
    case let startsIn:
      write(activity.runs == 0 ? "; starts in " : "; starts again in ")
      write(duration: startsIn)
    }
  }

  /// Writes "; the last failed with code 7", or nothing.
  @inline(never)
  mutating func write(lastRunOf activity: ActivityFacts) {
    switch activity.lastEnding {
    case 1: write("; the last returned")
    case 2:
      write("; the last failed with code ")
      write(activity.lastCode)
    case 3: write("; the last exited")
    default: break
    }
  }

  /// Writes the member that says what is known of its runs; null for a task that does not start
  /// again.
  @inline(never)
  mutating func write(
    jsonRunsOf activity: ActivityFacts, _ state: TaskFacts.State, at now: Int64
  ) {
    write(",\"runs\":")
    if activity.isWithoutRuns { return write("null") }
    write("{\"begun\":", activity.runs)
    write(",\"last_how\":")
    if activity.lastEnding == 0 {
      write("null")
    } else {
      write("\"")
      write(Names.ending(activity.lastEnding))
      write("\"")
    }
    write(",\"last_code\":", activity.lastCode)
    let startsIn = activity.startsIn(state, at: now)
    write(",\"paused\":", startsIn == .max)
    write(",\"starts_in_ns\":", orNull: startsIn == .max ? -1 : startsIn)
    write("}")
  }
}
