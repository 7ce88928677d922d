import Metrics
import MetricsTestKit
import Testing
import TrackedTasks
import TrackedTasksMetrics

/// Tasks in swift-metrics.
@Suite struct MetricsTests {
  /// **Proves:** each task that is measured gives one duration and one count, under its kind and how
  /// it ended.
  ///
  /// **Why it matters:** a dashboard shows rates and percentiles of what really ran.
  /// **Catches:** a duration that is recorded at the spawn; failures that count as returns.
  @Test func eachTaskIsTimed() throws {
    let factory = TestMetrics()
    let metrics = TaskMetrics(factory: factory)
    let registry = try TaskRegistry()
    for _ in 0..<3 {
      try metrics.spawn("pauses", in: registry, kind: .rpcHandler) {
        try $0.sleep(for: .milliseconds(20))
      }
    }
    try metrics.spawn("fails", in: registry, kind: .rpcHandler) { _ in throw Mishap() }
    try registry.wait(timeout: .seconds(60))
    // A shutdown has waited for what runs at the ends of tasks.
    try registry.shutdown(grace: .seconds(60))
    let returned = [("kind", "rpc-handler"), ("ending", "returned")]
    let failed = [("kind", "rpc-handler"), ("ending", "failed")]
    let times = try factory.expectTimer("taskreg_task_duration", returned)
    #expect(times.values.count == 3)
    #expect(times.values.allSatisfy { $0 >= 20_000_000 })
    #expect(try factory.expectTimer("taskreg_task_duration", failed).values.count == 1)
    #expect(try factory.expectCounter("taskreg_tasks_ended", returned).totalValue == 3)
    #expect(try factory.expectCounter("taskreg_tasks_ended", failed).totalValue == 1)
  }

  /// **Proves:** the gauges are the counts of the registry.
  ///
  /// **Why it matters:** live tasks are what an alarm is set on.
  /// **Catches:** two counts that are exchanged.
  @Test func gaugesShowTheRegistry() throws {
    let factory = TestMetrics()
    let metrics = TaskMetrics(prefix: "svc", factory: factory)
    let registry = try TaskRegistry(RegistryOptions(maxTasks: 2))
    for _ in 0..<2 {
      try registry.spawn("s", kind: .backgroundLoop) { try $0.sleep(for: .seconds(1000)) }
    }
    #expect(throws: TaskRegistryError.limitReached) {
      try registry.spawn("s", kind: .backgroundLoop) { _ in }
    }
    try metrics.record(registry, name: "main")
    #expect(try factory.expectGauge("svc_tasks_live", [("registry", "main")]).lastValue == 2)
    #expect(try factory.expectGauge("svc_tasks_rejected", [("registry", "main")]).lastValue == 1)
    try registry.shutdown(grace: .seconds(60))
  }
}

private struct Mishap: Error {}
