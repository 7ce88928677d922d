import Testing

@testable import TrackedTasks

/// Short waits without sleeping.
@Suite struct SpinTests {
  /// **Proves:** a thread that may not spin checks once and continues (J1, S1).
  ///
  /// **Why it matters:** a program that forbids spinning spends no CPU time on it.
  /// **Catches:** the loop entered with no time to spend.
  @Test(arguments: [0, -1, .min] as [Int64])
  func withoutTimeItChecksOnce(nanoseconds: Int64) {
    var checks = 0
    let seen = spin(for: nanoseconds) {
      false
    } until: {
      checks += 1
      return false
    }
    #expect(!seen)
    #expect(checks == 1)
    let isReady = spin(for: nanoseconds) {
      false
    } until: {
      true
    }
    #expect(isReady)
  }

  /// **Proves:** a spin ends when its condition holds, by the clock, or when it is futile (J1).
  ///
  /// **Why it matters:** a spin without an end is a hang at full load.
  /// **Catches:** the answer of `isFutile` ignored.
  @Test func aSpinAlwaysEnds() {
    var checks = 0
    #expect(
      spin(for: 60_000_000_000) {
        false
      } until: {
        checks += 1
        return checks == 100
      })
    let inTime = spin(for: 1_000_000) {
      false
    } until: {
      false
    }
    #expect(!inTime)
    var asked = 0
    #expect(
      !spin(for: 60_000_000_000) {
        asked += 1
        return asked == 3
      } until: {
        false
      })
    #expect(asked == 3)
  }

  /// **Proves:** forbidding spins forbids all of them (S1).
  ///
  /// **Why it matters:** that is the meaning of the option.
  /// **Catches:** a share of the time that is not a share of the option.
  @Test func noSpinningMeansNone() {
    let none = SpinPolicy(nanoseconds: 0)
    #expect(none.worker == 0 && none.joiner == 0 && none.spawner == 0)
    let some = SpinPolicy(nanoseconds: 5_000)
    #expect(some.worker == 0 || some.worker == 5_000)
    #expect(some.spawner <= some.joiner)
  }
}
