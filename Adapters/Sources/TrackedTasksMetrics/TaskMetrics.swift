public import CoreMetrics
public import TrackedTasks

/// Reports tasks to swift-metrics: a timer and a counter for each task that ends, gauges of a registry.
///
/// | Label | What |
/// |---|---|
/// | `PREFIX_task_duration` | timer, in nanoseconds: from `spawn` or `measure` to the end of the task |
/// | `PREFIX_tasks_ended` | counter |
/// | `PREFIX_tasks_live`, `PREFIX_tasks_rejected` | gauges of `record` |
///
/// The first two have the dimensions `kind` and `ending`: "returned", "failed" or "exited".
public struct TaskMetrics: Sendable {
  private let prefix: String
  private let factory: any MetricsFactory

  /// Prepares the metrics; nothing is reported yet.
  ///
  /// - Parameters:
  ///   - prefix: what the labels begin with.
  ///   - factory: where the metrics go; nil: `MetricsSystem.factory`.
  public init(prefix: String = "taskreg", factory: (any MetricsFactory)? = nil) {
    self.prefix = prefix
    self.factory = factory ?? MetricsSystem.factory
  }

  /// Reports the duration of a task once it has ended.
  ///
  /// Call it right after the spawn: the time counts from here.
  ///
  /// - Parameter task: alive or ended; it need not be kept.
  /// - Throws: as `TrackedTask.onEnd`; then nothing is reported.
  ///
  /// *Concurrency:* any thread. The handlers of the factory are called on the thread that ran the
  /// task, inside no task.
  public func measure(_ task: TrackedTask) throws(TaskRegistryError) {
    try measure(task, since: .now)
  }

  private func measure(
    _ task: TrackedTask, since start: SuspendingClock.Instant
  ) throws(TaskRegistryError) {
    let kind = "\(task.kind)"
    let outcome = Outcome(of: task)
    try task.onEnd { [self] in
      let duration = start.duration(to: .now)
      let dimensions = [("kind", kind), ("ending", outcome.word)]
      Timer(label: "\(prefix)_task_duration", dimensions: dimensions, factory: factory)
        .recordNanoseconds(duration.wholeNanoseconds)
      Counter(label: "\(prefix)_tasks_ended", dimensions: dimensions, factory: factory).increment()
    }
  }

  /// Spawns a task as `TaskRegistry.spawn` does, and measures it from the call on.
  ///
  /// - Parameters:
  ///   - name: as there.
  ///   - registry: where the task is spawned.
  ///   - kind: as there.
  ///   - options: as there.
  ///   - body: as there.
  /// - Returns: the task.
  /// - Throws: as there; a task that was spawned and cannot be measured for want of memory runs on
  ///   unmeasured, and nothing is thrown.
  @discardableResult
  public func spawn<Value: Sendable>(
    _ name: String, in registry: TaskRegistry, kind: TaskKind,
    options: SpawnOptions = SpawnOptions(),
    _ body: sending @escaping (TaskContext) throws -> Value
  ) throws(TaskRegistryError) -> TaskHandle<Value> {
    let start = SuspendingClock.now
    let task = try registry.spawn(name, kind: kind, options: options, body)
    try? measure(task, since: start)
    return task
  }

  /// Sets the gauges to the counts of a registry, as of now.
  ///
  /// - Parameters:
  ///   - registry: whose counts.
  ///   - name: the dimension `registry` of the gauges; empty: no such dimension.
  /// - Throws: as `TaskRegistry.metrics(of:)`.
  public func record(_ registry: TaskRegistry, name: String = "") throws(TaskRegistryError) {
    let metrics = try registry.metrics()
    let dimensions = name.isEmpty ? [] : [("registry", name)]
    for (label, count) in [("live", metrics.live), ("rejected", metrics.rejected)] {
      Gauge(label: "\(prefix)_tasks_\(label)", dimensions: dimensions, factory: factory)
        .record(count)
    }
  }

  /// How a task that has ended did so, as a dimension's value.
  private struct Outcome: Sendable {
    let task: TrackedTask

    init(of task: TrackedTask) { self.task = task }

    var word: String {
      // It has ended: this does not wait.
      switch try? task.wait(timeout: .zero).ending {
      case .returned: "returned"
      case .failed: "failed"
      case .exited: "exited"
      case nil: "unknown"
      @unknown default: "other"
      }
    }
  }
}

extension Duration {
  fileprivate var wholeNanoseconds: Int64 {
    let (seconds, attoseconds) = components
    return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
  }
}
