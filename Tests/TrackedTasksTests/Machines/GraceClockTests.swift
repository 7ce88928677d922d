import Testing

@testable import TrackedTasks

/// When a join's or a shutdown's clock says what, without threads and without waiting.
@Suite struct GraceClockTests {
  /// One way in which a call may go.
  private struct Setting {
    var grace: Int64
    var maxGrace: Int64 = 0
    var window: Int64 = 0
    var warnPercent: UInt32 = 0
    var samples = false

    var clock: GraceClock {
      GraceClock(
        start: GraceClockTests.start, grace: grace, maxGrace: maxGrace, window: window,
        warnPercent: warnPercent, samples: samples)
    }
  }

  private static let start: Int64 = 1_000

  /// Steps the clock of a call at each of `moments`.
  ///
  /// - Parameters:
  ///   - setting: the call.
  ///   - moments: after the start, ascending.
  ///   - reported: the bit of each moment at which a task reports progress, before the step.
  /// - Returns: what went wrong; nil if nothing.
  private static func defect(
    of setting: Setting, at moments: some Sequence<Int64>, reported: UInt64
  ) -> String? {
    var clock = setting.clock
    let first = clock.deadline
    let limit = max(first.nanoseconds, clock.limit.nanoseconds)
    var samples = 0
    var warnings = 0
    var last: Int64 = 0
    var before: Int64 = 0
    for moment in moments {
      let now = start + moment
      for tick in before...moment where reported >> UInt64(tick) & 1 != 0 { last = start + tick }
      before = moment
      var hasSettled = false
      for _ in 0..<4 {
        let deadline = clock.deadline
        var asked = false
        let step = clock.step(at: now) { _ in
          asked = true
          return last
        }
        if asked && (now < deadline.nanoseconds || clock.limit.nanoseconds <= deadline.nanoseconds)
        {
          return "asked for progress before the deadline, or where it cannot move"
        }
        switch step {
        case .sample: samples += 1
        case .warn:
          warnings += 1
          // grace 10 and 50 %: at 5, and never before.
          if moment * 100 < setting.grace * Int64(setting.warnPercent) - 99 {
            return "warned early"
          }
        case .moved(let by):
          if by <= 0 || clock.deadline.nanoseconds - deadline.nanoseconds != by {
            return "moved by \(by)"
          }
          if clock.deadline.nanoseconds <= now { return "moved, and is over" }
          if last == 0 { return "moved without progress" }
          let wanted = min(last + setting.window, limit)
          if clock.deadline.nanoseconds != wanted {
            return "moved to \(clock.deadline), not \(wanted)"
          }
        case .wait(let until):
          if until.nanoseconds <= now { return "waits for what is over" }
          if until.nanoseconds > clock.deadline.nanoseconds { return "waits beyond the deadline" }
          hasSettled = true
        case .phaseOver: return "a phase that was never begun is over"
        case .expired:
          if clock.deadline.isNever || now < clock.deadline.nanoseconds { return "expired early" }
          if last != 0 && min(last + setting.window, limit) > now {
            return "expired beside progress"
          }
          hasSettled = true
        }
        if case .moved = step {
        } else if clock.deadline != deadline {
          return "moved without a word"
        }
        if clock.deadline.nanoseconds < deadline.nanoseconds { return "moved back" }
        if clock.deadline.nanoseconds > limit { return "moved beyond the limit" }
        if hasSettled { break }
      }
      if !hasSettled { return "does not settle" }
      if samples > 1 || warnings > 1 { return "\(samples) samples, \(warnings) warnings" }
      if !first.isNever && clock.movedBy != clock.deadline.nanoseconds - first.nanoseconds {
        return "says it moved by \(clock.movedBy)"
      }
    }
    let isTimed = setting.grace > 0
    if samples != (setting.samples && isTimed ? 1 : 0) { return "\(samples) samples" }
    let warns = setting.warnPercent > 0 && isTimed
    if warnings != (warns ? 1 : 0) { return "\(warnings) warnings" }
    return nil
  }

  /// **Proves:** whatever tasks report and whenever the clock is stepped, the deadline is only
  /// extended, to the window after the last progress and never beyond the limit; a sample and a
  /// warning come once if they are requested; it expires at the deadline and not before, unless
  /// there is progress in the window (GC1, GC2, E4, E6).
  ///
  /// **Why it matters:** a deadline that runs away never ends a shutdown, one that moves back kills
  /// work.
  /// **Catches:** a limit not applied; the window counted from now; a warning each time round.
  @Test func everySmallCallKeepsItsPromises() {
    var defects: [String] = []
    for grace: Int64 in -1...3 {
      for maxGrace: Int64 in [0, 1, 2, 4, 6] {
        for window: Int64 in [0, 1, 3] {
          for percent: UInt32 in [0, 1, 50, 99] {
            for reported: UInt64 in 0..<256 {
              let setting = Setting(
                grace: grace, maxGrace: maxGrace, window: window, warnPercent: percent,
                samples: reported & 1 == 0)
              for stride in [1, 3] {
                let moments = Swift.stride(from: Int64(0), through: 9, by: stride)
                if let defect = Self.defect(of: setting, at: moments, reported: reported) {
                  defects.append("\(setting), reported \(reported), every \(stride): \(defect)")
                }
              }
            }
          }
        }
      }
    }
    #expect(defects.isEmpty, "\(defects.count) defects, as \(defects.first ?? "")")
  }

  /// **Proves:** the same at random, with larger numbers (GC1, GC2, E4, E6).
  ///
  /// **Why it matters:** percents and tenths are rounded to nothing where numbers are small.
  /// **Catches:** a warning after the deadline.
  @Test(arguments: 0..<20) func largerCallsDo(seed: UInt64) {
    var random = SplitMix(state: seed)
    for _ in 0..<500 {
      let setting = Setting(
        grace: Int64(random.below(50)) - 1, maxGrace: Int64(random.below(60)),
        window: Int64(random.below(20)), warnPercent: UInt32(random.below(100)),
        samples: Bool.random(using: &random))
      let moments = (0...63).filter { $0 == 63 || random.below(3) == 0 }.map { Int64($0) }
      let reported = random.next() & random.next()
      #expect(
        Self.defect(of: setting, at: moments, reported: reported) == nil,
        "\(setting), \(moments), \(reported)")
    }
  }

  /// **Proves:** the warning comes at the percentage of the grace, the sample after a tenth of it,
  /// at most 10 ms; both before the deadline, the sample first (E1, E6).
  ///
  /// **Why it matters:** a warning is useful while there is time left.
  /// **Catches:** the percentage of the limit; a sample at the start.
  @Test func stepsComeInTheirOrder() {
    let second: Int64 = 1_000_000_000
    var clock = GraceClock(start: 7, grace: second, warnPercent: 80, samples: true)
    #expect(clock.step(at: 7) { _ in 0 } == .wait(until: Deadline(nanoseconds: 7 + second / 100)))
    #expect(clock.step(at: 6 + second / 100) { _ in 0 } != .sample)
    #expect(clock.step(at: 7 + second / 100) { _ in 0 } == .sample)
    #expect(
      clock.step(at: 7 + second / 100) { _ in 0 }
        == .wait(until: Deadline(nanoseconds: 7 + second / 5 * 4)))
    #expect(clock.step(at: 7 + second / 5 * 4) { _ in 0 } == .warn)
    #expect(
      clock.step(at: 7 + second / 5 * 4) { _ in 0 }
        == .wait(until: Deadline(nanoseconds: 7 + second)))
    #expect(clock.step(at: 7 + second) { _ in 0 } == .expired)
    // Stepped late, one step after the other.
    clock = GraceClock(start: 7, grace: 100, warnPercent: 80, samples: true)
    var steps: [GraceClock.Step] = []
    for _ in 0..<3 { steps.append(clock.step(at: 500) { _ in 0 }) }
    #expect(steps == [.sample, .warn, .expired])
  }

  /// **Proves:** whatever its tasks report and whenever the clock is stepped, the time of a phase
  /// is over at its end and not before, unless there is progress in the window; when that moves the
  /// end, the deadline moves with it, so that the later phases keep what they had; neither moves
  /// beyond the limit of the call, nor beyond that of the phase, nor if the phase must not move (GC1,
  /// GC3, E4, E5).
  ///
  /// **Why it matters:** a task that others depend on must not be stopped while they still drain,
  /// and the last phase needs its time.
  /// **Catches:** an end that is fixed when the phase begins; one that moves into the time of the
  /// later phases; a limit of the phase that counts only beside one of the call.
  @Test func theTimeOfAPhaseMovesWithProgress() {
    var defects: [String] = []
    for grace: Int64 in 0...4 {
      for share: Int64 in 0...grace {
        for maxGrace: Int64 in [0, 3, 6, 9] {
          for window: Int64 in 0...3 {
            for moves in [false, true] {
              for own: Int64? in [nil, 1, 5] {
                for reported: UInt64 in 0..<512 {
                  let call =
                    "\(grace), \(share), \(maxGrace), \(window), \(moves), \(own ?? 0), \(reported)"
                  var clock = GraceClock(
                    start: Self.start, grace: grace, maxGrace: maxGrace, window: window)
                  clock.beginPhase(
                    until: Deadline(nanoseconds: Self.start + share), moves: moves,
                    limit: own.map { Deadline(nanoseconds: Self.start + $0) })
                  let most = [own, maxGrace == 0 ? nil : maxGrace - (grace - share)]
                    .compactMap { $0 }.min()
                  if let defect = Self.defect(
                    ofPhaseOf: &clock, window, moves ? most : nil, reported)
                  {
                    defects.append("\(call): \(defect)")
                  }
                }
              }
            }
          }
        }
      }
    }
    #expect(defects.isEmpty, "\(defects.count) defects, as \(defects.first ?? "")")
  }

  /// Asks the clock of a phase each nanosecond until it is over; `most` is its longest time after
  /// extensions, nil if there are none.
  private static func defect(
    ofPhaseOf clock: inout GraceClock, _ window: Int64, _ most: Int64?, _ reported: UInt64
  ) -> String? {
    let reserved = clock.deadline.nanoseconds - clock.phaseEnd.nanoseconds
    let first = clock.phaseEnd.nanoseconds
    let latest = max(first, start + (most ?? 0))
    let mayMove = latest > first
    var last: Int64 = 0
    for tick: Int64 in 0..<16 {
      let now = start + tick
      if reported >> UInt64(tick) & 1 != 0 { last = now }
      var step = GraceClock.Step.expired
      repeat {
        let end = clock.phaseEnd
        var asked = false
        step = clock.step(at: now) { isPhase in
          asked = isPhase
          return last
        }
        if asked && (now < end.nanoseconds || !mayMove) { return "asked for progress too early" }
        if case .moved(let by) = step, clock.phaseEnd.nanoseconds - end.nanoseconds != by {
          return "moved by \(by)"
        }
      } while step.hasMoved
      if clock.deadline.nanoseconds - clock.phaseEnd.nanoseconds != reserved {
        return "the later phases had \(reserved)"
      }
      if clock.phaseEnd.nanoseconds > latest { return "moved beyond the limit" }
      let isDue = now >= clock.phaseEnd.nanoseconds
      switch step {
      case .wait(let until):
        if isDue || until.nanoseconds <= now { return "waits for what is over" }
      case .phaseOver:
        if !isDue { return "over too early" }
        if mayMove && last != 0 && min(last + window, latest) > now {
          return "over beside progress"
        }
        return nil
      default: return "\(step) in a phase"
      }
    }
    return "never over"
  }

  /// **Proves:** after the last phase the deadline counts again, and a phase never ends beyond it
  /// (GC3, E5).
  ///
  /// **Why it matters:** the last phase has all that is left.
  /// **Catches:** the end of an earlier phase that is kept.
  @Test func theLastPhaseEndsWithTheDeadline() {
    var clock = GraceClock(start: 0, grace: 10, maxGrace: 30, window: 5)
    clock.beginPhase(until: Deadline(nanoseconds: 12), moves: true)
    #expect(clock.phaseEnd == Deadline(nanoseconds: 10))
    #expect(clock.step(at: 10) { $0 ? 9 : 0 } == .moved(by: 4))
    #expect(clock.deadline == Deadline(nanoseconds: 14))
    #expect(clock.step(at: 14) { _ in 0 } == .phaseOver)
    clock.beginPhase()
    #expect(clock.step(at: 13) { _ in 13 } == .wait(until: Deadline(nanoseconds: 14)))
    #expect(clock.step(at: 14) { $0 ? 0 : 13 } == .moved(by: 4))
    #expect(clock.step(at: 18) { _ in 0 } == .expired)
    // A limit of the last phase's own is one of the deadline.
    var last = GraceClock(start: 0, grace: 10, window: 50)
    last.beginPhase(limit: Deadline(nanoseconds: 25))
    #expect(last.step(at: 10) { _ in 9 } == .moved(by: 15))
    #expect(last.step(at: 25) { _ in 24 } == .expired)
    // One that is never reached is not a deadline that never comes.
    last = GraceClock(start: 0, grace: 10, window: .max)
    last.beginPhase(limit: .never)
    #expect(last.step(at: 10) { _ in 9 } != .expired)
    #expect(!last.deadline.isNever)
    var endless = GraceClock(start: 0, grace: -1, maxGrace: 5, window: 5)
    endless.beginPhase(until: .never, moves: true)
    #expect(endless.step(at: 5) { _ in 5 } == .wait(until: .never))
  }

  /// **Proves:** without a grace there is neither a wait nor an event; an unlimited grace, or one
  /// beyond the clock's range, never ends (J1, E6).
  ///
  /// **Why it matters:** `0` means "check, do not wait", and INT64_MAX is what people write for
  /// "indefinitely".
  /// **Catches:** a sum that overflows into the past.
  @Test func theEndsOfTheScale() {
    var none = GraceClock(start: 50, grace: 0, warnPercent: 50, samples: true)
    #expect(none.step(at: 50) { _ in 0 } == .expired)
    for grace in [-1, Int64.min, Int64.max, Int64.max - 50] {
      var clock = GraceClock(
        start: 51, grace: grace, maxGrace: .max, window: .max, warnPercent: 0, samples: false)
      #expect(
        clock.step(at: Int64.max - 1) { _ in Int64.max - 2 } == .wait(until: .never),
        "grace \(grace)")
    }
    // The largest grace with a warning: the percentage of it does not overflow.
    var long = GraceClock(start: 0, grace: .max - 1, warnPercent: 99)
    let at = Int64.max / 100 * 99 + 6 * 99 / 100
    #expect(long.step(at: 0) { _ in 0 } == .wait(until: Deadline(nanoseconds: at)))
    // A window that overflows moves the deadline to the limit.
    var wide = GraceClock(start: 0, grace: 10, maxGrace: 30, window: .max)
    #expect(wide.step(at: 10) { _ in 9 } == .moved(by: 20))
    #expect(wide.step(at: 30) { _ in 29 } == .expired)
    // Extensions are off: progress is not read.
    var fixed = GraceClock(start: 0, grace: 10, maxGrace: 10, window: 5)
    #expect(
      fixed.step(at: 10) { _ in
        Issue.record("asked for progress")
        return 9
      } == .expired)
  }
}

extension GraceClock.Step {
  fileprivate var hasMoved: Bool { if case .moved = self { true } else { false } }
}
