public import ServiceLifecycle
public import TrackedTasks

/// A registry as a service of a `ServiceGroup`.
///
/// It runs until the group shuts down gracefully, the registry's token is cancelled for another
/// reason, or the Swift task is cancelled; then it shuts the registry down:
///
/// - A graceful shutdown cancels the token: tasks are asked to drain, phase by phase, and have the
///   grace to end.
/// - Cancellation, which is how a `ServiceGroup` escalates, means abort: all tasks asked so far are
///   told to abort, and the grace is over. The shutdown is not skipped.
/// - If tasks are alive at the end, the error that ends the service has the report, which names them.
///   A group that has escalated drops the errors of its services: `onReport` receives it in any case.
/// - If an essential task has failed, the service fails with `EssentialTaskFailure`, so that the
///   group ends with it.
///
/// List it before the services whose code runs in the registry: a group starts its services in their
/// order, and shuts them down in the reverse one. A `ServiceGroup` handles signals itself: do not
/// start a signal watch beside it.
public struct RegistryService: Service, CustomStringConvertible {
  /// The registry that is shut down at the end.
  public let registry: TaskRegistry
  /// The time from the stop to the deadline; nil never times out.
  public let grace: Duration?
  /// How the shutdown proceeds.
  public let options: ShutdownOptions
  private let onReport: (@Sendable (JoinReport) -> Void)?

  /// Makes a service of a registry.
  ///
  /// - Parameters:
  ///   - registry: what is shut down at the end; the service refers to it.
  ///   - grace: the time from the stop to the deadline; nil never times out. Keep it below
  ///     `maximumGracefulShutdownDuration` of the group.
  ///   - options: how the shutdown proceeds.
  ///   - onReport: receives the report of the shutdown, also if it is thrown: log it here.
  public init(
    _ registry: TaskRegistry, grace: Duration? = .seconds(5),
    options: ShutdownOptions = ShutdownOptions(),
    onReport: (@Sendable (JoinReport) -> Void)? = nil
  ) {
    self.registry = registry
    self.grace = grace
    self.options = options
    self.onReport = onReport
  }

  /// What a `ServiceGroup` calls the service in its log.
  public var description: String { "RegistryService" }

  /// Runs until the stop, and then through the shutdown; a `ServiceGroup` calls it.
  ///
  /// - Throws: `TaskRegistryError.deadlineExceeded` with the report, whose explanation says what
  ///   the stragglers were doing; `EssentialTaskFailure`; what else `TaskRegistry.shutdown` throws.
  ///
  /// *Concurrency:* holds no thread until the stop; one of the library's during the shutdown.
  public func run() async throws {
    try await runUntilStopped(registry) {}
    if registry.token.reason == .fatal {
      throw EssentialTaskFailure(task: registry.token.message)
    }
  }

  /// Waits for the stop of `registry`, and shuts it down.
  private func runUntilStopped(_ registry: TaskRegistry, _ ready: () throws -> Void) async throws {
    let token = registry.token
    try await withGracefulShutdownHandler {
      try ready()
      // Only the cancellation of the Swift task ends it otherwise, and that aborts the shutdown.
      try? await token.wait()
    } onGracefulShutdown: {
      token.cancel(reason: .userRequested, message: "graceful shutdown")
    }
    do throws(TaskRegistryError) {
      onReport?(
        try await registry.shutdown(
          message: "service cancelled", grace: grace, options: options, explained: true))
    } catch {
      if case .deadlineExceeded(let report) = error { onReport?(report) }
      throw error
    }
  }

  /// Runs `ready` once the service listens to its group, and then as `run` does.
  func run(_ ready: () throws -> Void) async throws { try await runUntilStopped(registry, ready) }
}

/// An essential task of a `RegistryService` has failed, which ends the service.
public struct EssentialTaskFailure: Error, Hashable, Sendable, CustomStringConvertible {
  /// The task's name.
  public let task: String

  /// One English sentence.
  public var description: String { "the essential task \(task) has failed" }
}
