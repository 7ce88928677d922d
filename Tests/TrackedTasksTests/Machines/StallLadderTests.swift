import Testing

@testable import TrackedTasks

/// Which steps about a stall come when, without threads and without waiting.
@Suite struct StallLadderTests {
  /// What happens to a task in one moment.
  private enum Moment: CaseIterable {
    /// It stays silent.
    case silence
    /// It sends a heartbeat.
    case beat
    /// The log callback of the last step returns.
    case delivered
  }

  private static let interval: Int64 = 2

  private static let plans: [StallLadder.Plan?] = {
    var plans: [StallLadder.Plan?] = [nil]
    for last in [StallLadder.Last.nothing, .abortTask, .endProcess] {
      for (explain, after) in [(0, 0), (1, 1), (1, 3), (4, 1)] as [(Int64, Int64)] {
        plans.append(StallLadder.Plan(explainAfter: explain, lastAfter: after, last: last))
      }
    }
    return plans
  }()

  /// Lets `moments` pass, and checks the ladder in each of them.
  ///
  /// - Parameters:
  ///   - plan: what comes after the first step.
  ///   - canEnd: whether the end of the process needs no delivery.
  ///   - moments: what happens.
  /// - Returns: what went wrong; nil if nothing.
  private static func defect(
    _ plan: StallLadder.Plan?, canEnd: Bool, _ moments: [Moment]
  ) -> String? {
    var ladder = StallLadder()
    var silence: Int64 = 0
    var isDelivering = false
    var taken: [StallLadder.Step] = []
    let explainAt =
      interval + 1 + (plan.map { $0.explainAfter == 0 ? interval : $0.explainAfter } ?? 0)
    let lastAt = explainAt + (plan.map { $0.lastAfter == 0 ? interval : $0.lastAfter } ?? 0)
    for moment in moments {
      switch moment {
      case .silence: silence += 1
      case .beat:
        ladder.beat()
        silence = 0
        taken = []
      case .delivered: isDelivering = false
      }
      checking: while true {
        let step = ladder.next(
          silence: silence, interval: interval, plan: plan, isDelivering: isDelivering,
          canEnd: canEnd)
        switch step {
        case .report:
          if !taken.isEmpty || silence <= interval || isDelivering {
            return "the stall is reported wrongly"
          }
        case .explain:
          if taken != [.report] || silence < explainAt || isDelivering || plan == nil {
            return "the explanation comes wrongly"
          }
        case .last:
          let mayPass = isDelivering && plan?.last == .endProcess && canEnd
          if silence < lastAt || plan == nil || plan?.last == .nothing {
            return "too early, or unasked"
          }
          if taken != [.report, .explain] && !(mayPass && (taken == [.report] || taken.isEmpty)) {
            return "not in its order"
          }
          if isDelivering && !mayPass { return "it passes an earlier step by" }
        case .wait(let until):
          if until <= silence { return "waits for what has come" }
          let isDue = plan?.last != .nothing && taken.contains(.explain) && silence >= lastAt
          if isDue && !isDelivering { return "waits although the last step is due" }
          break checking
        case .rest:
          let isComplete =
            plan == nil || taken.contains(.last)
            || plan?.last == .nothing && taken.contains(.explain)
          if !isComplete && !isDelivering { return "rests too early" }
          break checking
        }
        taken.append(step)
        isDelivering = step != .last || plan?.last == .abortTask || !canEnd
      }
      let mustEnd = plan?.last == .endProcess && canEnd && silence >= lastAt
      if mustEnd && !taken.contains(.last) { return "the process goes on" }
    }
    return nil
  }

  /// **Proves:** SL1 to SL4, for every sequence of up to nine moments of silence, heartbeats and ends
  /// of deliveries, and for each kind of plan, armed or not (F4).
  ///
  /// **Why it matters:** a task that is dropped a step too early was healthy.
  /// **Catches:** a heartbeat that keeps the rung; a time that counts from the step before; an
  /// abort beside the explanation; an end that counts as taken where it had to be delivered.
  @Test(arguments: [false, true]) func everySequenceKeepsItsOrder(canEnd: Bool) {
    for plan in Self.plans {
      var moments: [Moment] = []
      func extend() {
        if let defect = Self.defect(plan, canEnd: canEnd, moments) {
          Issue.record("\(String(describing: plan)), \(canEnd), \(moments): \(defect)")
          return
        }
        if moments.count == 9 { return }
        for moment in Moment.allCases {
          moments.append(moment)
          extend()
          moments.removeLast()
        }
      }
      extend()
    }
  }

  /// **Proves:** times beyond the clock's range never come, and nothing overflows (F4, P4).
  ///
  /// **Why it matters:** "never explain" is written as the largest number.
  /// **Catches:** a sum that traps.
  @Test func timesAtTheEndOfTheirRange() {
    let plan = StallLadder.Plan(explainAfter: .max, lastAfter: .max, last: .endProcess)
    var ladder = StallLadder()
    #expect(
      ladder.next(silence: 1, interval: .max, plan: plan, isDelivering: false, canEnd: true)
        == .wait(silence: .max))
    #expect(
      ladder.next(silence: 11, interval: 10, plan: plan, isDelivering: false, canEnd: true)
        == .report
    )
    #expect(
      ladder.next(silence: 12, interval: 10, plan: plan, isDelivering: false, canEnd: true)
        == .wait(silence: .max))
    #expect(
      ladder.next(silence: 12, interval: 10, plan: plan, isDelivering: true, canEnd: true)
        == .wait(silence: .max))
  }
}
