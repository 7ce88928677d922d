import Testing

@testable import TrackedTasks

/// When a periodic task runs, over years of simulated time, without a thread and without waiting.
@Suite struct ScheduleTests {
  private static let second: Int64 = 1_000_000_000
  private static let year = 365 * 24 * 3600 * second

  private static func schedule(
    every period: Int64, at now: Int64 = 0, _ change: (inout ScheduleRule) -> Void = { _ in }
  ) -> Schedule {
    var rule = ScheduleRule()
    rule.period = period
    change(&rule)
    return Schedule(rule, at: now, chance: 0)
  }

  /// Numbers without an order, always the same.
  private struct Chance {
    var state: UInt64
    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state ^ (state >> 29)
    }
    mutating func below(_ most: Int64) -> Int64 { Int64(next() % UInt64(most)) }
  }

  /// Has the next runs begin when they are due, each of which takes so long.
  ///
  /// - Returns: when they began.
  private static func begins(_ schedule: inout Schedule, _ lengths: [Int64]) -> [Int64] {
    var now: Int64 = 0
    return lengths.map { length in
      now = max(now, schedule.due)
      let begin = now
      schedule.runBegins(at: begin, chance: 0)
      now += length
      _ = schedule.runHasEnded(at: now, chance: 0)
      return begin
    }
  }

  /// **Proves:** at a fixed rate runs begin at the first delay and every period, however long they
  /// take within it; with a fixed delay a period after each end (B5).
  ///
  /// **Why it matters:** "every 30 seconds" must not become "every 30 seconds and the time it takes".
  /// **Catches:** the next tick counted from the start of a late run.
  @Test func ticksAreCountedFromTicksOrFromEnds() {
    var rate = Self.schedule(every: 30) { $0.firstDelay = 5 }
    #expect(Self.begins(&rate, [1, 29, 7, 30, 0]) == [5, 35, 65, 95, 125])
    var delay = Self.schedule(every: 30) {
      $0.firstDelay = 5
      $0.countsFromEnd = true
    }
    #expect(Self.begins(&delay, [1, 29, 7, 41, 0]) == [5, 36, 95, 132, 203])
    #expect(rate.missed == 0 && delay.missed == 0 && rate.overruns == 0 && delay.overruns == 1)
  }

  /// **Proves:** of the ticks that come while a run takes too long, all are left out, each is made
  /// up for, or one comes at once and the ticks move; as the rule says (B5).
  ///
  /// **Why it matters:** each of the three is wrong for some job.
  /// **Catches:** a policy that does what another does.
  @Test func missedTicksAreSkippedMadeUpForOrDelayed() {
    var skip = Self.schedule(every: 10)
    #expect(Self.begins(&skip, [35, 1, 1]) == [0, 40, 50])
    #expect(skip.missed == 3 && skip.overruns == 1)
    var burst = Self.schedule(every: 10) { $0.missed = .burst }
    #expect(Self.begins(&burst, [35, 1, 1, 1, 1, 1]) == [0, 35, 36, 37, 40, 50])
    #expect(burst.missed == 0)
    var delay = Self.schedule(every: 10) { $0.missed = .delay }
    #expect(Self.begins(&delay, [35, 1, 1]) == [0, 35, 45])
    #expect(delay.missed == 2)
  }

  /// **Proves:** after time in which the process did not run, a skipping schedule runs once and goes
  /// on in its rhythm, a bursting one makes up, a delaying one moves its ticks (B5).
  ///
  /// **Why it matters:** a stopped process comes back with hundreds of ticks that are over.
  /// **Catches:** a run for each of them where they are to be skipped.
  @Test func whatCameWhileTheProcessWasStoppedIsMissed() {
    for (missed, next, left) in [(.skip, 110, 9), (.burst, 20, 0), (.delay, 115, 9)]
      as [(ScheduleRule.Missed, Int64, UInt64)]
    {
      var schedule = Self.schedule(every: 10) {
        $0.missed = missed
        $0.firstDelay = 10
      }
      schedule.runBegins(at: 105, chance: 0)
      _ = schedule.runHasEnded(at: 106, chance: 0)
      #expect(max(106, schedule.due) == max(106, next), "\(missed)")
      #expect(schedule.missed == left, "\(missed)")
    }
  }

  /// **Proves:** a trigger begins a run at once, or after the one that is under way, any number of
  /// them one; one that meets a tick is one run, and the ticks stay where they are (B6).
  ///
  /// **Why it matters:** "trigger meets tick" must not become two runs.
  /// **Catches:** a trigger that is kept beside the tick; a tick that moves with it.
  @Test func triggersAndTicksThatMeetAreOneRun() {
    var schedule = Self.schedule(every: 10) { $0.firstDelay = 10 }
    schedule.trigger()
    schedule.trigger()
    #expect(schedule.due == .min)
    schedule.runBegins(at: 3, chance: 0)
    #expect(schedule.due == .max)
    schedule.trigger()
    #expect(schedule.due == .max)
    _ = schedule.runHasEnded(at: 4, chance: 0)
    #expect(schedule.due == .min)
    schedule.runBegins(at: 4, chance: 0)
    _ = schedule.runHasEnded(at: 5, chance: 0)
    #expect(schedule.due == 10)
    schedule.trigger()
    schedule.runBegins(at: 10, chance: 0)
    _ = schedule.runHasEnded(at: 11, chance: 0)
    #expect(schedule.due == 20 && schedule.missed == 0)
  }

  /// **Proves:** while paused nothing is due but a trigger; what came meanwhile was not missed; the
  /// rhythm is kept at a fixed rate, and begins anew where ticks are counted from ends (B6).
  @Test func apauseHasNoTicks() {
    var rate = Self.schedule(every: 10)
    rate.pause()
    #expect(rate.due == .max)
    rate.trigger()
    rate.runBegins(at: 3, chance: 0)
    _ = rate.runHasEnded(at: 4, chance: 0)
    #expect(rate.due == .max)
    rate.resume(at: 57, chance: 0)
    rate.resume(at: 99, chance: 0)
    #expect(rate.due == 60 && rate.missed == 0)
    var delay = Self.schedule(every: 10) { $0.countsFromEnd = true }
    delay.pause()
    delay.resume(at: 57, chance: 0)
    #expect(delay.due == 67)
    var brief = Self.schedule(every: 10) { $0.firstDelay = 10 }
    brief.pause()
    brief.resume(at: 5, chance: 0)
    #expect(brief.due == 10)
  }

  /// **Proves:** another period counts from the last tick, at once if it is over, also while a run is
  /// under way (B6).
  @Test func anotherPeriodCountsFromTheLastTick() {
    var schedule = Self.schedule(every: 100)
    #expect(Self.begins(&schedule, [1]) == [0])
    schedule.setPeriod(30, at: 10, chance: 0)
    #expect(schedule.due == 30)
    schedule.setPeriod(20, at: 25, chance: 0)
    #expect(schedule.due == 25)
    schedule.runBegins(at: 25, chance: 0)
    schedule.setPeriod(7, at: 26, chance: 0)
    _ = schedule.runHasEnded(at: 27, chance: 0)
    #expect(schedule.due == 32)
  }

  /// **Proves:** over years, with runs of any length, triggers, pauses, stops of the process and a
  /// clock that runs backwards: nothing is due during a run or a pause, ticks stay in their rhythm,
  /// and every tick has a run or is counted as missed (B5, B6, SC1, SC2, SC3).
  ///
  /// **Why it matters:** a daemon that has run for two years must still be on time.
  /// **Catches:** a tick that is counted twice, or lost; a rhythm that drifts.
  @Test func overYearsEveryTickIsRunOrMissed() {
    for seed in 0..<24 as Range<UInt64> {
      var chance = Chance(state: seed)
      let burst = seed % 2 == 1
      let period = [7, Self.second, 30 * Self.second, 3600 * Self.second][Int(seed / 2 % 4)]
      let first = chance.below(period)
      let start = seed % 3 == 0 ? Int64.max / 2 : chance.below(Self.year) - Self.year / 2
      var schedule = Self.schedule(every: period, at: start) {
        $0.firstDelay = first
        $0.missed = burst ? .burst : .skip
        $0.jitter = seed % 5 == 0 ? 50 : 0
      }
      var now = start
      var (runs, pausedTicks) = (UInt64(0), UInt64(0))
      for _ in 0..<20_000 {
        let tickBefore = schedule.tick
        switch chance.next() % 16 {
        case 0:
          schedule.trigger()
        case 1:
          schedule.pause()
          #expect(schedule.due == .max || schedule.due == .min)
          now += chance.below(5 * period)
          let before = schedule.tick
          schedule.resume(at: now, chance: UInt32(truncatingIfNeeded: chance.next()))
          pausedTicks += UInt64((schedule.tick - before) / period)
        case 2: now += chance.below(50 * period)
        case 3: now -= chance.below(period)
        default: break
        }
        #expect((schedule.tick - start - first) % period == 0)
        let due = schedule.due
        if due > now { now = due }
        let isTick = schedule.tick <= now
        let missedBefore = schedule.missed
        schedule.runBegins(at: now, chance: UInt32(truncatingIfNeeded: chance.next()))
        if isTick { runs += 1 }
        if !isTick { #expect(due == .min && schedule.missed == missedBefore) }
        #expect(schedule.due == .max)
        let length = chance.next() % 8 == 0 ? chance.below(4 * period) : chance.below(period)
        now += length
        let overrun = schedule.runHasEnded(
          at: now, chance: UInt32(truncatingIfNeeded: chance.next()))
        #expect(overrun == (length > period ? length : 0))
        #expect(schedule.tick >= tickBefore)
        let ticks = UInt64((schedule.tick - start - first) / period)
        #expect(runs + schedule.missed + pausedTicks == ticks)
        if burst { #expect(schedule.missed == 0) }
      }
    }
  }

  /// **Proves:** no numbers and no clock make a tick go back, or stop the program (B5).
  ///
  /// **Catches:** a sum that wraps around; a division of the largest numbers.
  @Test func noNumbersAndNoClockStopTheProgram() {
    let times: [Int64] = [.min, -1, 0, 1, Self.year, .max - 1, .max]
    let periods: [Int64] = [1, 2, Self.second, Self.year, .max / 2 + 1, .max - 1, .max]
    for missed in [ScheduleRule.Missed.skip, .burst, .delay] {
      for period in periods {
        for first in times where first >= 0 {
          for now in times {
            for later in times {
              var schedule = Self.schedule(every: period, at: now) {
                ($0.missed, $0.firstDelay, $0.jitter) = (missed, first, 100)
                $0.countsFromEnd = first == 1
              }
              schedule.runBegins(at: later, chance: .max)
              let tick = schedule.tick
              let ran = schedule.runHasEnded(at: .max, chance: .max)
              #expect(ran >= 0 && schedule.tick >= tick)
              schedule.pause()
              schedule.resume(at: .max, chance: .max)
              schedule.setPeriod(period, at: now, chance: .max)
              #expect(schedule.tick >= now)
            }
          }
        }
      }
    }
  }
}
