import Testing

@testable import TrackedTasks

/// When a task starts again, over years of simulated time, without a thread and without waiting.
@Suite struct RestartPlanTests {
  private static let second: Int64 = 1_000_000_000
  private static let year = 365 * 24 * 3600 * second

  private static func policy(
    _ when: RestartPolicy.When = .onFailure, _ change: (inout RestartPolicy) -> Void = { _ in }
  ) -> RestartPolicy {
    var policy = RestartPolicy()
    policy.when = when
    change(&policy)
    return policy
  }

  /// Numbers without an order, always the same.
  private struct Chance: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state ^ (state >> 29)
    }
  }

  /// **Proves:** never, on failure and always are after the ends that they name (B1).
  ///
  /// **Why it matters:** a task that has succeeded must not start again unless that was asked for.
  /// **Catches:** an exit that is not a failure.
  @Test func thePolicySaysAfterWhichEnds() {
    for how in [TaskWord.Ending.returned, .failed, .exited] {
      var never = RestartPlan(Self.policy(.never))
      var onFailure = RestartPlan(Self.policy(.onFailure))
      var always = RestartPlan(Self.policy(.always))
      let restart = RestartPlan.Decision.restart(after: 100_000_000)
      #expect(never.runHasEnded(how, from: 0, at: 1, chance: 7) == .end)
      #expect(
        onFailure.runHasEnded(how, from: 0, at: 1, chance: 7) == (how == .returned ? .end : restart)
      )
      #expect(always.runHasEnded(how, from: 0, at: 1, chance: 7) == restart)
    }
  }

  /// **Proves:** delays grow by the factor from the shortest to the longest, stay there, and begin
  /// anew after a healthy run, and no sooner (B1).
  ///
  /// **Why it matters:** a service that fails once a day must not wait for half a minute each time.
  /// **Catches:** a reset after any run; a delay that grows beyond the longest.
  @Test func delaysGrowAndBeginAnewAfterAHealthyRun() {
    var plan = RestartPlan(
      Self.policy {
        $0.shortestDelay = 10
        $0.longestDelay = 100
        $0.factor = 300
        $0.healthyAfter = 1000
      })
    var now: Int64 = 0
    func delay(afterRunOf run: Int64) -> Int64 {
      now += run
      guard
        case .restart(let delay) = plan.runHasEnded(.failed, from: now - run, at: now, chance: 1)
      else { return -1 }
      now += delay
      return delay
    }
    #expect([1, 1, 1, 1, 1].map(delay(afterRunOf:)) == [10, 30, 90, 100, 100])
    #expect(delay(afterRunOf: 999) == 100)
    #expect([1000, 1].map(delay(afterRunOf:)) == [10, 30])
    #expect(plan.restarts == 8)
  }

  /// **Proves:** jitter only shortens, by no more than its percentage, and covers that (B1).
  ///
  /// **Why it matters:** a thousand connections that broke together must not come back together.
  /// **Catches:** jitter that is added, or that is the same for every chance.
  @Test func jitterShortensByChance() {
    var chance = Chance(state: 4)
    var delays: [Int64] = []
    for _ in 0..<10_000 {
      var plan = RestartPlan(
        Self.policy {
          $0.shortestDelay = 1_000_000
          $0.jitter = 25
        })
      let decision = plan.runHasEnded(
        .failed, from: 0, at: 0, chance: UInt32(truncatingIfNeeded: chance.next()))
      guard case .restart(let delay) = decision else { continue }
      delays.append(delay)
    }
    #expect(delays.count == 10_000)
    #expect(delays.allSatisfy { (750_000...1_000_000).contains($0) })
    #expect((delays.min() ?? 0) < 755_000 && (delays.max() ?? 0) > 995_000)
    var whole = RestartPlan(
      Self.policy {
        $0.shortestDelay = .max
        $0.longestDelay = .max
        $0.jitter = 100
      })
    // All of it but a part in 2³²: that is 2³¹ nanoseconds, rounded down.
    #expect(
      whole.runHasEnded(.failed, from: 0, at: 0, chance: .max) == .restart(after: 1 << 31))
  }

  /// **Proves:** over years of failures, whatever the limit, no window ever has more restarts than
  /// are allowed, and the task gives up only when the next would be one too many (B1, RP2).
  ///
  /// **Why it matters:** the limit is what separates a hiccup from a defect.
  /// **Catches:** a window that begins anew at fixed moments; a place of the ring that is off by one.
  @Test func noWindowHasMoreRestartsThanAllowed() {
    var chance = Chance(state: 1)
    for most in [1, 2, 3, 7, 63, 64] as [UInt32] {
      var policy = Self.policy {
        $0.mostRestarts = most
        $0.window = 60 * Self.second
        $0.shortestDelay = 0
        $0.longestDelay = 0
      }
      policy.factor = 100
      var plan = RestartPlan(policy)
      var restarts: [Int64] = []
      var now: Int64 = 0
      var hasGivenUp = 0
      while now < 3 * Self.year {
        // Mostly some that fit, sometimes a burst, sometimes weeks of peace.
        let pace = Int64(chance.next() % UInt64(8 * most))
        now +=
          pace == 0
          ? Int64(chance.next() % UInt64(20 * 24 * 3600 * Self.second))
          : Int64(chance.next() % UInt64(120 * Self.second / Int64(most)))
        let inWindow = restarts.suffix(64).filter { now - $0 < policy.window }.count
        switch plan.runHasEnded(.failed, from: now, at: now, chance: 0) {
        case .restart:
          #expect(inWindow < Int(most))
          restarts.append(now)
        case .giveUp:
          #expect(inWindow == Int(most))
          // Another task begins.
          plan = RestartPlan(policy)
          restarts = []
          hasGivenUp += 1
        case .end: Issue.record("a failure ends the task")
        }
      }
      #expect(hasGivenUp > 0)
    }
  }

  /// **Proves:** no numbers make a delay negative, longer than the longest, or shorter than the one
  /// before, and none stops the program, whatever the clock does (B1, RP1, RP3).
  ///
  /// **Why it matters:** the timer takes a moment in the past for "now", and a task that fails at
  /// once would use up a processor.
  /// **Catches:** a sum that wraps around.
  @Test func noNumbersAndNoClockMakeADelayNegative() {
    let numbers: [Int64] = [
      0, 1, 99, 1_000_000, 60 * Self.second, Self.year, .max / 2, .max - 1, .max,
    ]
    let times: [Int64] = [.min, -1, 0, 1, Self.year, .max - 1, .max]
    for shortest in numbers {
      for longest in numbers where longest >= shortest {
        for factor in [100, 101, 200, 1_000_000, .max] as [UInt32] {
          for jitter in [0, 100] as [UInt32] {
            let policy = Self.policy {
              ($0.shortestDelay, $0.longestDelay) = (shortest, longest)
              ($0.factor, $0.jitter) = (factor, jitter)
              ($0.mostRestarts, $0.window, $0.healthyAfter) = (64, 0, .max)
            }
            #expect(policy.isValid)
            var plan = RestartPlan(policy)
            var last: Int64 = 0
            for start in times {
              for end in times {
                guard
                  case .restart(let delay) = plan.runHasEnded(
                    .failed, from: start, at: end, chance: UInt32(truncatingIfNeeded: end))
                else { continue }
                #expect((0...longest).contains(delay))
                // A run from the beginning of time to its end is healthy.
                let span = end.subtractingReportingOverflow(start)
                if end > start && (span.overflow || span.partialValue == .max) { last = 0 }
                if jitter == 0 { #expect(delay >= max(last, shortest)) }
                if jitter == 0 { last = delay }
              }
            }
          }
        }
      }
    }
  }

  /// **Proves:** a clock that runs backwards makes no run healthy and empties no window (B1).
  @Test func aClockThatRunsBackwardsChangesNothing() {
    var plan = RestartPlan(
      Self.policy {
        ($0.shortestDelay, $0.longestDelay, $0.factor) = (1, 1000, 1000)
        ($0.mostRestarts, $0.window, $0.healthyAfter) = (2, 100, 50)
      })
    #expect(plan.runHasEnded(.failed, from: 500, at: 500, chance: 0) == .restart(after: 1))
    #expect(plan.runHasEnded(.failed, from: 500, at: 10, chance: 0) == .restart(after: 10))
    #expect(plan.runHasEnded(.failed, from: 500, at: 0, chance: 0) == .giveUp)
    #expect(plan.runHasEnded(.failed, from: 599, at: 600, chance: 0) == .restart(after: 100))
  }

  /// **Proves:** what a policy rejects is what the header says (B1, P4).
  @Test func onlyNumbersThatMakeSenseAreValid() {
    #expect(Self.policy().isValid)
    let wrong: [(inout RestartPolicy) -> Void] = [
      { $0.shortestDelay = -1 }, { $0.longestDelay = $0.shortestDelay - 1 }, { $0.factor = 99 },
      { $0.jitter = 101 }, { $0.healthyAfter = -1 }, { $0.mostRestarts = 65 }, { $0.window = -1 },
    ]
    for change in wrong { #expect(!Self.policy(.always, change).isValid) }
  }
}
