import Testing

@testable import TrackedTasks

/// How the time of a shutdown is divided.
@Suite struct PhasePlanTests {
  private static func plan(_ shares: [UInt32]) -> PhasePlan {
    var plan = PhasePlan()
    for (phase, share) in shares.enumerated() { plan.shares[phase] = share }
    return plan
  }

  /// The shares that are tried.
  private static let plans: [[UInt32]] = [
    [], [1], [0, 1], [0, 0, 0, 0, 0, 0, 0, 1], [1, 2, 3, 4, 5, 6, 7, 8], [5, 0, 5, 0, 5, 0, 5, 0],
    Array(repeating: 1_000_000, count: 8), [1_000_000, 1], [1, 1_000_000, 0, 999_999],
  ]

  /// **Proves:** a phase gets its share of the sum of its own and those of later phases that have
  /// tasks, rounded down, and never more than is left; equal ones if there are none, and all if
  /// none of them has any (E5).
  ///
  /// **Why it matters:** too much for the first phase is too little for the one that stores data.
  /// **Catches:** shares of absent phases counted; a product that overflows.
  @Test(arguments: plans) func sharesAreThoseOfTheSum(shares: [UInt32]) {
    let plan = Self.plan(shares)
    let areEqual = shares.allSatisfy { $0 == 0 }
    let all = (0..<8).map { areEqual ? 1 : $0 < shares.count ? Int64(shares[$0]) : 0 }
    for phase in 0..<8 {
      for later in 0..<UInt32(256) where later & ((2 << UInt32(phase)) - 1) == 0 {
        let sum =
          all[phase] + (0..<8).reduce(0) { $0 + (later >> UInt32($1) & 1 != 0 ? all[$1] : 0) }
        for left in [0, 1, 7, 1_000_003, Int64.max - 1, Int64.max] {
          let product = left.multipliedFullWidth(by: all[phase])
          let expected = sum == 0 ? left : sum.dividingFullWidth(product).quotient
          let time = plan.time(of: UInt32(phase), before: later, of: left)
          if time != expected || time < 0 || time > left {
            Issue.record("phase \(phase) before \(later) of \(left): \(time), not \(expected)")
          }
        }
      }
    }
  }

  /// **Proves:** phases that use all their time use all there is, the last all that is left; what
  /// one does not use goes to those that follow (E5).
  ///
  /// **Why it matters:** time that is lost to rounding is none that a task can use.
  /// **Catches:** the shares of phases that are over still counted.
  @Test(arguments: plans, [Int64(1), 100, 1_000_000_007, Int64.max - 1])
  func thePhasesUseAllThereIs(shares: [UInt32], whole: Int64) {
    let plan = Self.plan(shares)
    for present in 1..<UInt32(256) {
      for usesAll in [true, false] {
        var left = whole
        var rest = present
        while rest != 0 {
          let phase = UInt32(rest.trailingZeroBitCount)
          rest &= rest - 1
          let time = plan.time(of: phase, before: rest, of: left)
          if rest == 0 && left > 0 && time != left {
            Issue.record("\(present): \(time) of \(left)")
          }
          left -= usesAll ? time : time / 2
        }
        if usesAll && left != 0 { Issue.record("\(present): \(left) of \(whole) are left") }
      }
    }
  }
}
