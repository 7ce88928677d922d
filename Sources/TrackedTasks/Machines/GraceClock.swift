/// The steps of a join or a shutdown, and the extensions of its deadline: a pure value, like
/// `TaskWord`.
///
/// GC1: the deadline is only ever extended, and never beyond `limit`, if there is one; for progress
///      in a phase that has a limit of its own, that phase ends no later than that.
/// GC2: the step `warn` comes at most once, and `sample` once, and once more for each `sampleSoon`.
/// GC3: a phase that is not the last ends before the deadline, or with it; the time between them is
///      left for the later phases, and stays the same when progress moves the phase's end.
struct GraceClock {
  /// When the call began, on `CLOCK_MONOTONIC`.
  let start: Int64
  private(set) var deadline: Deadline
  /// When the time of the phase that was asked last is over; never, for the last phase (E5).
  private(set) var phaseEnd = Deadline.never
  /// Whether progress moves it.
  private var phaseMoves = false
  /// The latest end of the phase that was asked last, after extensions; nil: only `limit` counts.
  ///
  /// If there is no `limit`, only phases that have one of these are extended.
  private(set) var phaseLimit: Deadline?
  /// Whether there is a `limit`.
  private let hasLimit: Bool
  /// The latest deadline after extensions; if it is before the deadline, there are no extensions.
  let limit: Deadline
  /// A task makes progress if it reported any within the last `window` nanoseconds (E4).
  let window: Int64
  private var warnAt: Deadline
  private var sampleAt: Deadline
  private let samples: Bool
  /// How far the deadline was extended, in nanoseconds.
  private(set) var movedBy: Int64 = 0

  /// The next step.
  enum Step: Equatable {
    /// Wait, at most until then.
    case wait(until: Deadline)
    /// Sample the CPU time of the live tasks.
    case sample
    /// Report that the deadline is near (E6).
    case warn
    /// Report that the deadline was extended by this many nanoseconds (E4).
    case moved(by: Int64)
    /// Ask the next phase: the time of this one is over (E5).
    case phaseOver
    /// Stop waiting: the deadline has passed.
    case expired
  }

  /// Makes a clock that starts now.
  ///
  /// - Parameters:
  ///   - start: now, on `CLOCK_MONOTONIC`.
  ///   - grace: nanoseconds to the deadline; negative: no deadline.
  ///   - maxGrace: nanoseconds to the limit; 0: no extensions.
  ///   - window: as in the property.
  ///   - warnPercent: how much of the grace passes before the warning; 0: no warning.
  ///   - samples: whether CPU times are needed.
  init(
    start: Int64, grace: Int64, maxGrace: Int64 = 0, window: Int64 = 0, warnPercent: UInt32 = 0,
    samples: Bool = false
  ) {
    self.start = start
    self.window = window
    let beginning = Deadline(nanoseconds: start)
    deadline = grace < 0 ? .never : beginning.extended(by: grace)
    limit = grace < 0 ? .never : beginning.extended(by: maxGrace)
    hasLimit = maxGrace > 0
    warnAt = .never
    sampleAt = .never
    self.samples = samples
    if grace == 0 { return }
    sampleSoon(after: start, within: grace)
    if grace > 0 && warnPercent > 0 {
      let percent = Int64(warnPercent)
      warnAt = beginning.extended(by: grace / 100 * percent + grace % 100 * percent / 100)
    }
  }

  /// Starts the time of a phase that was asked, or of all that are left.
  ///
  /// - Parameters:
  ///   - end: when its time is over, at the deadline at the latest; never, if it is the last.
  ///   - moves: whether progress moves the end, as it moves the deadline.
  ///   - limit: the latest end of its own; nil: none.
  mutating func beginPhase(
    until end: Deadline = .never, moves: Bool = false, limit: Deadline? = nil
  ) {
    phaseEnd = end.nanoseconds < deadline.nanoseconds || end.isNever ? end : deadline
    phaseMoves = moves
    phaseLimit = limit
  }

  /// The latest moment to which progress moves the end of what is waited for; nil: it stays.
  ///
  /// - Parameters:
  ///   - end: the end.
  ///   - reserved: nanoseconds between it and the deadline.
  /// - Returns: on `CLOCK_MONOTONIC`.
  private func latest(for end: Deadline, reserved: Int64) -> Int64? {
    var latest = hasLimit ? limit.nanoseconds - reserved : .max
    if let phaseLimit {
      // A deadline that is never moves nothing.
      latest = min(latest, phaseLimit.nanoseconds, .max - 1 - reserved)
    } else if !hasLimit {
      return nil
    }
    return latest > end.nanoseconds ? latest : nil
  }

  /// Schedules another sample of CPU times, because more tasks were asked to stop.
  ///
  /// - Parameters:
  ///   - now: on `CLOCK_MONOTONIC`.
  ///   - time: nanoseconds that they have; negative: no limit.
  mutating func sampleSoon(after now: Int64, within time: Int64) {
    if !samples { return }
    let pause = time < 0 ? 10_000_000 : min(time / 10, 10_000_000)
    sampleAt = Deadline(nanoseconds: now).extended(by: pause)
  }

  /// Returns the next step.
  ///
  /// - Parameters:
  ///   - now: on `CLOCK_MONOTONIC`.
  ///   - lastProgress: when a live task last reported progress; 0 if never. When a phase's time is
  ///     over, it counts only the phases asked so far. It is called only when that time or the
  ///     deadline is over.
  /// - Returns: what is to be done now.
  mutating func step(at now: Int64, lastProgress: (_ ofPhase: Bool) -> Int64) -> Step {
    if now >= sampleAt.nanoseconds {
      sampleAt = .never
      return .sample
    }
    if now >= warnAt.nanoseconds {
      warnAt = .never
      return .warn
    }
    let isPhase = !phaseEnd.isNever
    let end = isPhase ? phaseEnd : deadline
    if end.isNever || now < end.nanoseconds {
      let first = min(sampleAt.nanoseconds, warnAt.nanoseconds, end.nanoseconds)
      return .wait(until: Deadline(nanoseconds: first))
    }
    let reserved = deadline.nanoseconds - end.nanoseconds
    if phaseMoves || !isPhase, let latest = latest(for: end, reserved: reserved) {
      let reported = lastProgress(isPhase)
      let wanted =
        reported == 0 ? 0 : Deadline(nanoseconds: reported).extended(by: window).nanoseconds
      let moved = min(wanted, latest)
      if moved > now {
        let by = moved - end.nanoseconds
        movedBy += by
        deadline = Deadline(nanoseconds: moved + reserved)
        if isPhase { phaseEnd = Deadline(nanoseconds: moved) }
        return .moved(by: by)
      }
    }
    return isPhase ? .phaseOver : .expired
  }
}
