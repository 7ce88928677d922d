/// What a join or a shutdown is to do when, and how far its deadline moves: a pure value, like `TaskWord`.
///
/// GC1: the deadline only moves on, and never beyond `limit`.
/// GC2: the step `warn` comes once at the most, and `sample` once, and once more for each `sampleSoon`.
/// GC3: a phase that is not the last ends before the deadline, or with it; what lies between them is what the
///      later phases have left, and stays so when progress moves the phase's end.
struct GraceClock {
  /// When the call began, on `CLOCK_MONOTONIC`.
  let start: Int64
  private(set) var deadline: Deadline
  /// When the time of the phase that was asked last is over; never for the last phase (E5).
  private(set) var phaseEnd = Deadline.never
  /// Whether progress moves it.
  private var phaseMoves = false
  /// How far the deadline may move on; one before it is no leave to move.
  let limit: Deadline
  /// A task makes progress if it told of any in the last so many nanoseconds (E4).
  let window: Int64
  private var warnAt: Deadline
  private var sampleAt: Deadline
  private let samples: Bool
  /// How far the deadline has moved on, in nanoseconds.
  private(set) var movedBy: Int64 = 0

  /// What is to be done next.
  enum Step: Equatable {
    /// To wait, until then at the most.
    case wait(until: Deadline)
    /// To note how much processor time those have used that are alive.
    case sample
    /// To say that the deadline is near (E6).
    case warn
    /// To say that the deadline has moved on by so many nanoseconds (E4).
    case moved(by: Int64)
    /// To ask the next phase: the time of this one is over (E5).
    case phaseOver
    /// To give up: the deadline has passed.
    case expired
  }

  /// A clock that starts now.
  ///
  /// - Parameters:
  ///   - start: now, on `CLOCK_MONOTONIC`.
  ///   - grace: nanoseconds to the deadline; negative is for ever.
  ///   - maxGrace: nanoseconds to the limit; 0 is none.
  ///   - window: as in the property.
  ///   - warnPercent: how much of the grace passes before the warning; 0 is none.
  ///   - samples: whether processor times are wanted.
  init(
    start: Int64, grace: Int64, maxGrace: Int64 = 0, window: Int64 = 0, warnPercent: UInt32 = 0,
    samples: Bool = false
  ) {
    self.start = start
    self.window = window
    let beginning = Deadline(nanoseconds: start)
    deadline = grace < 0 ? .never : beginning.extended(by: grace)
    limit = grace < 0 ? .never : beginning.extended(by: maxGrace)
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

  /// A phase was asked, or all that are left.
  ///
  /// - Parameters:
  ///   - end: when its time is over, at the deadline at the latest; never if it is the last.
  ///   - moves: whether progress moves that, as it moves the deadline.
  mutating func beginPhase(until end: Deadline = .never, moves: Bool = false) {
    phaseEnd = end.nanoseconds < deadline.nanoseconds || end.isNever ? end : deadline
    phaseMoves = moves
  }

  /// More tasks were asked to stop: their processor times are to be noted, if any are.
  ///
  /// - Parameters:
  ///   - now: on `CLOCK_MONOTONIC`.
  ///   - time: nanoseconds that they have; negative is for ever.
  mutating func sampleSoon(after now: Int64, within time: Int64) {
    if !samples { return }
    let pause = time < 0 ? 10_000_000 : min(time / 10, 10_000_000)
    sampleAt = Deadline(nanoseconds: now).extended(by: pause)
  }

  /// The next step.
  ///
  /// - Parameters:
  ///   - now: on `CLOCK_MONOTONIC`.
  ///   - lastProgress: when a task that is alive last told of progress, of the phases asked so far alone if
  ///     it is the time of a phase that is over; 0 is never. Asked at these two moments alone.
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
    if limit.nanoseconds > deadline.nanoseconds && (phaseMoves || !isPhase) {
      let told = lastProgress(isPhase)
      let wanted = told == 0 ? 0 : Deadline(nanoseconds: told).extended(by: window).nanoseconds
      let reserved = deadline.nanoseconds - end.nanoseconds
      let moved = min(wanted, limit.nanoseconds - reserved)
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
