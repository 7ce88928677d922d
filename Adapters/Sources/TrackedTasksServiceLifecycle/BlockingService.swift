public import ServiceLifecycle
public import TrackedTasks

/// A body that blocks its thread as a service of a `ServiceGroup`: a loop around a system call, a C
/// library with a run function.
///
/// The body runs as a task, in a thread of its own, in a group of the service's name. A graceful
/// shutdown asks the task to stop; cancellation tells it to abort. The service ends when the body
/// does, with what the body threw. A body that ignores both makes the service fail with the report,
/// and runs on, still tracked by the registry.
public struct BlockingService: Service, CustomStringConvertible {
  private let name: String
  private let kind: TaskKind
  private let registry: TaskRegistry
  private let grace: Duration?
  private let options: SpawnOptions
  private let body: @Sendable (TaskContext) throws -> Void

  /// Makes a service of a body.
  ///
  /// - Parameters:
  ///   - name: of the service, the task and its group: 1 to 63 bytes of UTF-8 without NUL and slash.
  ///   - kind: what the task is for.
  ///   - registry: where it is listed; its shutdown ends the service as well.
  ///   - grace: the time from the stop to the deadline; nil never times out.
  ///   - options: how the task is spawned.
  ///   - body: receives what the task can do itself. It is called once for each run of the service.
  public init(
    _ name: String, kind: TaskKind = .backgroundLoop, in registry: TaskRegistry,
    grace: Duration? = .seconds(5), options: SpawnOptions = SpawnOptions(),
    body: @escaping @Sendable (TaskContext) throws -> Void
  ) {
    self.name = name
    self.kind = kind
    self.registry = registry
    self.grace = grace
    self.options = options
    self.body = body
  }

  /// What a `ServiceGroup` calls the service in its log.
  public var description: String { name }

  /// Runs the body to its end; a `ServiceGroup` calls it.
  ///
  /// - Throws: what the body throws, unless it was asked to stop and throws only that;
  ///   `TaskRegistryError.deadlineExceeded` with the report if it does not stop; what
  ///   `TaskRegistry.spawn` throws, and then the body does not run.
  ///
  /// *Concurrency:* holds the thread of the task, and during the shutdown another of the library's.
  public func run() async throws {
    let group = try registry.group(named: name)
    let spawned = Spawned()
    try await RegistryService(group, grace: grace).run {
      let task = try group.spawn(name, kind: kind, options: options, body)
      try task.onEnd { group.token.cancel(reason: .requestedByRun) }
      spawned.task = task
    }
    guard let task = spawned.task else { return }
    do {
      // It has ended: this only fetches what it has thrown.
      try await task.value
    } catch is CancellationError where task.isCancelled {
    } catch TaskRegistryError.cancelled where task.isCancelled {
    }
  }

  /// Takes the task out of a closure, in one Swift task.
  private final class Spawned {
    var task: TaskHandle<Void>?
  }
}
