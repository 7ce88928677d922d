import CPlatform
import Testing

@testable import TrackedTasks

/// How a task's thread is scheduled, and who has spawned a task, in Swift.
@Suite struct TaskSchedulingTests {
  /// **Proves:** a body runs with the policy, the nice value and the affinity of its options (S10).
  ///
  /// **Why it matters:** an option that is dropped on the way to the core is not noticed.
  /// **Catches:** words of CPUs that are gone when the core reads them; an option that is lost.
  @Test func theBodyRunsAsTheOptionsSay() throws {
    let own = cp_get_scheduling(0)
    let first = try #require(
      withUnsafeBytes(of: own.affinity) { bytes in
        (0..<1024).first { bytes[$0 / 8] >> ($0 % 8) & 1 != 0 }
      })
    let registry = try TaskRegistry(.underTest)
    var options = SpawnOptions()
    options.scheduling = TaskScheduling()
    options.scheduling?.policy = .batch
    options.scheduling?.niceAdded = 1
    options.scheduling?.cpus = [first]
    let seen = try registry.spawn("scheduled", kind: .maintenance, options: options) { _ in
      let now = cp_get_scheduling(0)
      let cpus = withUnsafeBytes(of: now.affinity) { $0.reduce(0) { $0 + $1.nonzeroBitCount } }
      return [Int(now.policy), Int(now.nice), cpus]
    }.waitForValue(timeout: .seconds(60))
    #expect(seen == [Int(cp_sched_batch()), min(19, Int(own.nice) + 1), 1])
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** what no system accepts is an invalid argument, and no body runs (S10).
  ///
  /// **Why it matters:** a number out of range is a mistake. **Catches:** one that is cut to what fits.
  @Test func whatHasNoMeaningIsInvalid() throws {
    let registry = try TaskRegistry(.underTest)
    func isRejected(_ change: (inout TaskScheduling) -> Void) -> Bool {
      var options = SpawnOptions()
      var scheduling = TaskScheduling()
      change(&scheduling)
      options.scheduling = scheduling
      return errorOf { () throws(TaskRegistryError) in
        try registry.spawn("none", kind: .maintenance, options: options) { _ in }
      } == .invalidArgument
    }
    #expect(isRejected { $0.policy = .firstInFirstOut(priority: 0) })
    #expect(isRejected { $0.policy = .roundRobin(priority: 100) })
    #expect(isRejected { $0.niceAdded = 41 })
    #expect(isRejected { $0.cpus = [] })
    #expect(isRejected { $0.cpus = [1024] })
    #expect(isRejected { $0.cpus = [-1] })
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a task knows the task that has spawned it, and an address of the program (N4).
  ///
  /// **Why it matters:** so do lists of it. **Catches:** a parent or an address that is lost.
  @Test func aTaskKnowsItsParent() throws {
    let registry = try TaskRegistry(.underTest)
    let goesOn = Gate()
    let parent = try registry.spawn("parent", kind: .maintenance) { _ in
      try registry.spawn("child", kind: .maintenance) { _ in goesOn.wait() }.id
    }
    let child = try parent.waitForValue(timeout: .seconds(60))
    let found = try #require(registry.snapshot().first { $0.id == child })
    #expect(found.parentID == parent.id && found.spawnAddress != nil)
    let straggler = try #require(registry.explain().stragglers.first { $0.id == child })
    #expect(straggler.parentID == parent.id && straggler.spawnAddress == found.spawnAddress)
    goesOn.open()
    try registry.shutdown(grace: ample)
  }
}
