import CPlatform
import Foundation
import Testing

@testable import TrackedTasks

/// The counts of a registry, in Swift.
@Suite struct RegistryMetricsTests {
  private static func measured(maxTasks: Int? = nil) throws -> TaskRegistry {
    var options = RegistryOptions.underTest
    options.keepsMetrics = true
    options.maxTasks = maxTasks
    return try TaskRegistry(options)
  }

  private static func roundTrip<Value: Codable>(_ value: Value) throws -> Value {
    try JSONDecoder().decode(Value.self, from: JSONEncoder().encode(value))
  }

  /// What `writeMetrics` writes.
  private static func written(_ registry: TaskRegistry) throws -> String {
    try written { try registry.writeMetrics(to: $0) }
  }

  /// What `body` writes to a descriptor.
  private static func written(_ body: (Int32) throws -> Void) throws -> String {
    var ends: [Int32] = [0, 0]
    #expect(pipe(&ends) == 0)
    let reading = FileHandle(fileDescriptor: ends[0], closeOnDealloc: true)
    let writing = FileHandle(fileDescriptor: ends[1], closeOnDealloc: true)
    // It fits into a pipe's 64 KiB.
    try body(writing.fileDescriptor)
    try writing.close()
    return String(decoding: try #require(try reading.readToEnd()), as: UTF8.self)
  }

  /// **Proves:** counters and durations of one kind and of all are those of the tasks, and survive
  /// encoding (E8).
  ///
  /// **Why it matters:** a Swift service exports them as a C one does.
  /// **Catches:** fields exchanged on the way; a kind that is not passed on.
  @Test func countersAndDurationsAreThoseOfTheTasks() throws {
    let registry = try Self.measured(maxTasks: 2)
    let none = try registry.metrics()
    #expect(none.spawned == 0 && none.peak == 0 && none.run == nil && none.stop == nil)
    let gate = Gate()
    let clock = ContinuousClock()
    let began = clock.now
    try registry.spawnDeaf(kind: .application(7), until: gate)
    let sleeper = try registry.spawnSleeper()
    #expect(
      errorOf { () throws(TaskRegistryError) in
        try registry.spawnDeaf(kind: .rpcHandler, until: gate)
      }
        == .limitReached)
    let full = try registry.metrics()
    #expect(full.spawned == 2 && full.live == 2 && full.ended == 0 && full.peak == 2)
    #expect(full.rejected == 1)
    #expect(try registry.metrics(of: .rpcHandler).rejected == 1)
    #expect(try registry.metrics(of: .application()).live == 1)
    sleeper.cancel()
    try sleeper.wait(timeout: ample)
    gate.open()
    try registry.joinAll(timeout: ample)
    let failing = try registry.spawn("fails", kind: .maintenance) { _ in
      throw TaskRegistryError.limitReached
    }
    try failing.wait(timeout: ample)
    let took = clock.now - began
    let all = try registry.metrics()
    #expect(all.spawned == 3 && all.ended == 3 && all.failed == 1 && all.exited == 0)
    let run = try #require(all.run)
    #expect(run.p50 <= run.p90 && run.p90 <= run.p99 && run.p99 <= run.max && run.max <= took)
    #expect(try #require(all.stop).max <= run.max)
    #expect(try registry.metrics(of: .maintenance).stop == nil)
    #expect(try registry.metrics(of: .maintenance).failed == 1)
    #expect(try registry.metrics(of: .backgroundLoop).stop == all.stop)
    #expect(try Self.roundTrip(all) == all)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** the tasks that ended last are listed latest first, with their group, how they
  /// ended and how long they ran, and survive encoding (E8).
  ///
  /// **Why it matters:** as above.
  /// **Catches:** an ending taken for another; -1 nanoseconds for "was not asked".
  @Test func theLastTasksAreListed() throws {
    let registry = try Self.measured()
    let group = try registry.group(named: "net")
    #expect(try registry.recentTasks().isEmpty)
    let first = try registry.spawn("first: é", kind: .application(3)) { _ in }
    try first.wait(timeout: ample)
    let second = try group.spawn("second", kind: .rpcHandler) { _ in
      throw TaskRegistryError.limitReached
    }
    try second.wait(timeout: ample)
    let third = try registry.spawnSleeper()
    third.cancel()
    try third.wait(timeout: ample)
    let fourth = try registry.spawn("fourth", kind: .maintenance) { _ in pthread_exit(nil) }
    try fourth.wait(timeout: ample)
    let tasks = try registry.recentTasks()
    #expect(tasks.map(\.id) == [fourth.id, third.id, second.id, first.id])
    #expect(tasks.map(\.name) == ["fourth", "sleeper", "second", "first: é"])
    #expect(tasks.map(\.kind) == [.maintenance, .backgroundLoop, .rpcHandler, .application(3)])
    #expect(tasks.map(\.group) == ["", "", "net", ""])
    #expect(tasks.map(\.ending) == [.exited, .returned, .failed, .returned])
    #expect(tasks.map { $0.stop != nil } == [false, true, false, false])
    #expect(tasks.allSatisfy { $0.ran >= .zero && ($0.stop ?? .zero) <= $0.ran })
    #expect(zip(tasks, tasks.dropFirst()).allSatisfy { $0.spawnedAt! >= $1.spawnedAt! })
    #expect(try Self.roundTrip(tasks) == tasks)
    try registry.shutdown(grace: ample)
    #expect(errorOf { () throws(TaskRegistryError) in try group.recentTasks() } == .invalidArgument)
  }

  /// **Proves:** without metrics there are only totals, and a number that is not a kind is an error
  /// (E8).
  ///
  /// **Why it matters:** 0 for "not kept" is taken for a measurement.
  /// **Catches:** nil and 0 confused; `.application(1)` answered with all of the application's.
  @Test func withoutMetricsThereAreTotals() throws {
    let registry = try TaskRegistry()
    try registry.spawn("one", kind: .rpcHandler) { _ in }
    try registry.joinAll(timeout: ample)
    let metrics = try registry.metrics()
    #expect(metrics.spawned == 1 && metrics.ended == 1 && metrics.live == 0)
    #expect(metrics.peak == nil && metrics.run == nil && metrics.stop == nil)
    #expect(try Self.roundTrip(metrics) == metrics)
    let measured = try Self.measured()
    for (registry, kind) in [
      (registry, TaskKind.rpcHandler), (measured, .application(1)),
      (measured, TaskKind(rawValue: 0)),
      (measured, TaskKind(rawValue: 77)),
    ] {
      #expect(
        errorOf { () throws(TaskRegistryError) in try registry.metrics(of: kind) }
          == .invalidArgument)
    }
    #expect(
      errorOf { () throws(TaskRegistryError) in try registry.recentTasks() } == .invalidArgument)
    try registry.shutdown(grace: ample)
    try measured.shutdown(grace: ample)
  }

  /// **Proves:** the metrics are written as OpenMetrics, with kinds where they are kept; a
  /// descriptor that is not open is an error (E9).
  ///
  /// **Why it matters:** Tests/formats proves the full text; this is the Swift call for it.
  /// **Catches:** the text of a registry without metrics for one with them.
  @Test func metricsAreWritten() throws {
    for isMeasured in [false, true] {
      let registry = isMeasured ? try Self.measured() : try TaskRegistry()
      try registry.spawn("one", kind: .rpcHandler) { _ in }
      try registry.joinAll(timeout: ample)
      let lines = try Self.written(registry).split(separator: "\n")
      #expect(lines.last == "# EOF")
      #expect(lines.contains("taskreg_tasks_spawned_total 1") == !isMeasured)
      #expect(lines.contains("taskreg_tasks_spawned_total{kind=\"rpc-handler\"} 1") == isMeasured)
      #expect(lines.contains("# TYPE taskreg_task_run_seconds histogram") == isMeasured)
      #expect(
        errorOf { () throws(TaskRegistryError) in try registry.writeMetrics(to: -1) }
          == .systemFailure)
      try registry.shutdown(grace: ample)
    }
  }

  /// **Proves:** a registry's name is the label of its metrics; an empty one, one with a NUL, and one
  /// for a group are rejected (E9).
  ///
  /// **Why it matters:** names are Swift strings, which end elsewhere than C's.
  /// **Catches:** a name that is checked after its NUL has cut it.
  @Test func aRegistryHasTheNameOfItsOptions() throws {
    var options = RegistryOptions.underTest
    for wrong in ["", "a\0b"] {
      options.name = wrong
      #expect(
        errorOf { () throws(TaskRegistryError) in _ = try TaskRegistry(options) }
          == .invalidArgument)
    }
    options.name = "ü service"
    let registry = try TaskRegistry(options)
    #expect(
      try Self.written(registry).contains(
        "taskreg_tasks_spawned_total{registry=\"ü service\"} 0\n"))
    #expect(
      errorOf { () throws(TaskRegistryError) in _ = try registry.group(named: "net", options) }
        == .invalidArgument)
  }

  /// **Proves:** several registries are written as one text, distinguished by the given names; two
  /// without a name, and an invalid name, are rejected (E9).
  ///
  /// **Why it matters:** names are Swift strings, which end elsewhere than C's.
  /// **Catches:** one registry's name for another's; a NUL that cuts a name.
  @Test func severalRegistriesAreWrittenAsOne() throws {
    let registries = [try Self.measured(), try TaskRegistry(), try TaskRegistry()]
    func written(_ names: [String?], isEnded: Bool = true) throws -> [Substring] {
      try Self.written { fd in
        try TaskRegistry.writeMetrics(
          of: zip(registries, names).map { (registry: $0, name: $1) }, to: fd, isEnded: isEnded)
      }.split(separator: "\n")
    }
    try registries[2].spawn("one", kind: .rpcHandler) { _ in }
    try registries[2].joinAll(timeout: ample)
    let lines = try written(["a", nil, "ü \"c\""])
    #expect(lines.last == "# EOF")
    #expect(lines.contains("taskreg_tasks_spawned_total{registry=\"a\",kind=\"rpc-handler\"} 0"))
    #expect(lines.contains("taskreg_tasks_spawned_total 0"))
    #expect(lines.contains("taskreg_tasks_spawned_total{registry=\"ü \\\"c\\\"\"} 1"))
    #expect(try written(["a", nil, "b"], isEnded: false).last != "# EOF")
    for names in [[nil, nil, "b"], ["a", "", "b"], ["a", "b\0c", "b"], ["a", "b", "b"]]
      as [[String?]]
    {
      #expect(throws: TaskRegistryError.invalidArgument) { try written(names) }
    }
    for registry in registries { try registry.shutdown(grace: ample) }
  }
}
