/// The runs of a periodic task: a pure value, to which time and chance are arguments (B5, B6).
///
/// A tick is a moment at which a run is to begin. Times are nanoseconds on one clock, which may stand
/// still, leap, or run backwards; sums are limited to what 64 bits hold.
///
///     waiting ⇄ running            [runBegins], [runHasEnded]
///     paused  ⇄ waiting, running   [pause], [resume]
///
/// SC1: while a run is under way, and while it is paused and not triggered, nothing is due.
/// SC2: ticks that do not move are the first one plus whole periods, as long as the period stays.
/// SC3: each tick has one run, or is counted as missed; any number of triggers before a run begins
///      have that one run.
struct Schedule {
  private(set) var rule: ScheduleRule
  /// The next tick.
  private(set) var tick: Int64
  /// How long after it the run begins: the jitter.
  private var late: Int64 = 0
  /// The last tick that had a run or was missed; before, the spawn.
  private var lastTick: Int64
  /// When the run that is under way began, or the last one.
  private var begunAt: Int64 = 0
  private(set) var isRunning = false
  private(set) var isPaused = false
  /// Whether a run is to begin at once, or after the one that is under way.
  private var isTriggered = false
  /// How many ticks were left out.
  private(set) var missed: UInt64 = 0
  /// How many runs took longer than the period.
  private(set) var overruns: UInt64 = 0

  init(_ rule: ScheduleRule, at now: Int64, chance: UInt32) {
    self.rule = rule
    tick = Self.sum(now, rule.firstDelay)
    lastTick = now
    drawJitter(chance)
  }

  /// When the next run is due; `.max`: not before something changes.
  var due: Int64 {
    if isRunning { return .max }
    if isTriggered { return .min }
    return isPaused ? .max : Self.sum(tick, late)
  }

  /// A run begins: that of a tick if one has come, or that of a trigger, or of both.
  mutating func runBegins(at now: Int64, chance: UInt32) {
    isRunning = true
    isTriggered = false
    begunAt = now
    if isPaused || tick > now { return }
    switch rule.missed {
    case .skip:
      // The run is that of the last of them.
      missed &+= moveTicks(beyond: now) &- 1
    case .burst:
      lastTick = tick
      tick = Self.sum(tick, rule.period)
    case .delay:
      // A little late is what every run is.
      let isLate = Self.elapsed(from: tick, to: now) >= rule.period
      if isLate { missed &+= Self.periods(from: tick, to: now, rule.period) }
      lastTick = isLate ? now : tick
      tick = Self.sum(lastTick, rule.period)
    }
    drawJitter(chance)
  }

  /// The run has ended.
  ///
  /// - Returns: for how long it ran, if that was longer than the period; else 0.
  mutating func runHasEnded(at now: Int64, chance: UInt32) -> Int64 {
    isRunning = false
    let ran = Self.elapsed(from: begunAt, to: now)
    if rule.countsFromEnd {
      lastTick = now
      tick = Self.sum(now, rule.period)
      drawJitter(chance)
    } else if !isPaused && tick < now {
      switch rule.missed {
      case .skip:
        missed &+= moveTicks(beyond: now)
        drawJitter(chance)
      case .burst: late = 0
      case .delay:
        missed &+= Self.periods(from: tick, to: now, rule.period)
        tick = now
        late = 0
      }
    }
    if ran <= rule.period { return 0 }
    overruns &+= 1
    return ran
  }

  /// Makes a run begin at once, or after the one that is under way.
  mutating func trigger() { isTriggered = true }

  /// Nothing is due until `resume`, except what is triggered.
  mutating func pause() { isPaused = true }

  /// Ends a pause; the ticks that came in it were not missed.
  mutating func resume(at now: Int64, chance: UInt32) {
    if !isPaused { return }
    isPaused = false
    if tick > now { return }
    if rule.countsFromEnd || rule.missed == .delay {
      tick = Self.sum(now, rule.period)
    } else {
      _ = moveTicks(beyond: now)
    }
    drawJitter(chance)
  }

  /// Sets another period: the next tick is so long after the last, or at once if that is over.
  mutating func setPeriod(_ period: Int64, at now: Int64, chance: UInt32) {
    rule.period = period
    tick = max(now, Self.sum(lastTick, period))
    drawJitter(chance)
  }

  // MARK: Arithmetic

  /// Moves the next tick to the first one after `now`.
  ///
  /// - Returns: by how many ticks.
  private mutating func moveTicks(beyond now: Int64) -> UInt64 {
    let whole = Self.periods(from: tick, to: now, rule.period)
    // At most `now` - `tick`, so neither the product nor the first sum is too large.
    lastTick = tick &+ Int64(bitPattern: whole &* UInt64(rule.period))
    tick = Self.sum(lastTick, rule.period)
    return whole &+ 1
  }

  /// How many whole periods there are between two moments, the first of which is not later.
  private static func periods(from start: Int64, to end: Int64, _ period: Int64) -> UInt64 {
    UInt64(bitPattern: end &- start) / UInt64(period)
  }

  private mutating func drawJitter(_ chance: UInt32) {
    late = RestartPlan.part(of: rule.period, percent: rule.jitter, chance: chance)
  }

  private static func elapsed(from start: Int64, to end: Int64) -> Int64 {
    RestartPlan.elapsed(from: start, to: end)
  }

  /// The sum of a moment and a duration, or the end of time.
  private static func sum(_ moment: Int64, _ duration: Int64) -> Int64 {
    let (sum, overflow) = moment.addingReportingOverflow(duration)
    return overflow ? .max : sum
  }
}
