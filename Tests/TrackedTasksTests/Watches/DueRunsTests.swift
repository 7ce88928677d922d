import CPlatform
import Testing

@testable import TrackedTasks

/// Runs that are due and have no thread yet, without a thread and a clock.
@Suite struct DueRunsTests {
  /// Runs in memory of the test's own, of tasks that nobody runs.
  private final class Runs {
    let base: UnsafeMutablePointer<TaskRuns>
    let count: Int

    init(_ count: Int, in registries: [TaskRegistry]) throws {
      base = .allocate(capacity: count)
      self.count = count
      for number in 0..<count {
        let core = registries[number % registries.count].core
        // A macro cannot take a value that is not copied apart.
        let taken = core.pointer.pointee.records.take(for: core)
        let task = try #require(taken)
        let this = base + number
        this.initialize(
          to: TaskRuns(
            timer: Timer(.start(this)), task: task, stackSize: nil, wantsFreshThread: false,
            plan: nil, activity: task.activity, schedule: nil))
      }
    }

    deinit {
      for number in 0..<count {
        let task = base[number].task
        task.registry.pointer.pointee.records.release(task)
      }
      base.deallocate()
    }

    /// The timer of one, which is its first field.
    func timer(_ number: Int) -> Timer.Pointer {
      UnsafeMutableRawPointer(base + number).assumingMemoryBound(to: Timer.self)
    }

    func number(_ runs: TaskRuns.Pointer?) -> Int? { runs.map { $0 - base } }
  }

  /// **Proves:** of runs that are due together the timer thread starts the first at once; while it is
  /// not taken away, two more after a millisecond, then four, then eight; it wakes at no other time,
  /// and gives each away once, in their order (B5, S1).
  ///
  /// **Why it matters:** it is what keeps a run from waiting behind another one's body.
  /// **Catches:** a step that does not grow; a time that is not moved; runs that are left behind.
  @Test func stepsGrowUntilAllAreStarted() throws {
    let registry = try TaskRegistry(.underTest)
    let runs = try Runs(20, in: [registry])
    var due = DueRuns()
    #expect(due.wakesAt == .never && due.next(at: .max) == nil)
    for number in 0..<20 { due.append(runs.timer(number), at: 1000) }
    var now: Int64 = 1000
    var started: [[Int]] = []
    while due.wakesAt != .never {
      #expect(due.wakesAt.nanoseconds <= now)
      var step: [Int] = []
      while let number = runs.number(due.next(at: now)) { step.append(number) }
      started.append(step)
      if due.wakesAt == .never { break }
      #expect(due.wakesAt.nanoseconds == now + 1_000_000 && due.next(at: now + 999_999) == nil)
      now += 1_000_000
    }
    #expect(started.map(\.count) == [1, 2, 4, 8, 5])
    #expect(started.flatMap { $0 } == Array(0..<20))
    #expect(due.next(at: .max) == nil)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a thread that is free takes the first run of its own root registry, also of a group
  /// inside, among the first eight, and none of another's; what it takes the timer thread does not start; once
  /// none is left, the next that is due begins anew (B5, T4).
  ///
  /// **Why it matters:** a thread of one registry must not run a task of another.
  /// **Catches:** a run that is given away twice; one of another registry; a step that a past crowd has
  /// left.
  @Test func aFreeThreadTakesRunsOfItsRegistry() throws {
    let (one, other) = (try TaskRegistry(.underTest), try TaskRegistry(.underTest))
    let group = try one.group(named: "group")
    let runs = try Runs(12, in: [other, one, other, group])
    var due = DueRuns()
    for number in 0..<12 { due.append(runs.timer(number), at: 0) }
    #expect(runs.number(due.next(at: 0)) == 0)
    #expect(runs.number(due.take(in: one.core)) == 1)
    #expect(runs.number(due.take(in: one.core)) == 3)
    #expect(runs.number(due.take(in: other.core)) == 2)
    #expect([4, 6].map { _ in runs.number(due.take(in: other.core)) } == [4, 6])
    #expect([8, 10].map { _ in runs.number(due.take(in: other.core)) } == [8, 10])
    #expect(due.take(in: other.core) == nil)
    #expect([5, 7, 9, 11].map { _ in runs.number(due.take(in: one.core)) } == [5, 7, 9, 11])
    #expect(due.take(in: one.core) == nil && due.wakesAt == .never && due.next(at: .max) == nil)
    due.append(runs.timer(5), at: 7)
    due.append(runs.timer(6), at: 8)
    #expect(runs.number(due.next(at: 8)) == 5 && due.next(at: 8) == nil)
    #expect(due.wakesAt.nanoseconds == 1_000_007)
    #expect(runs.number(due.take(in: other.core)) == 6 && due.wakesAt == .never)
    try one.shutdown(grace: ample)
    try other.shutdown(grace: ample)
  }

  /// **Proves:** a run of a thread's own registry behind eight of another's is left to the timer thread
  /// (B5).
  ///
  /// **Why it matters:** the search is under the lock that every timer needs. **Catches:** a search
  /// without end.
  @Test func theSearchIsBounded() throws {
    let (one, other) = (try TaskRegistry(.underTest), try TaskRegistry(.underTest))
    let runs = try Runs(18, in: [one, other])
    var due = DueRuns()
    for number in stride(from: 0, to: 16, by: 2) { due.append(runs.timer(number), at: 0) }
    due.append(runs.timer(1), at: 0)
    #expect(due.take(in: other.core) == nil)
    #expect(runs.number(due.take(in: one.core)) == 0)
    #expect(runs.number(due.take(in: other.core)) == 1)
    try one.shutdown(grace: ample)
    try other.shutdown(grace: ample)
  }
}
