public import Logging
public import TrackedTasks

extension RegistryOptions {
  /// Sends the events of the registry to a logger, with metadata; see `Logger.log(_:)`.
  ///
  /// - Parameter logger: it is called on the thread where an event arises.
  public mutating func log(to logger: Logger) {
    log = { logger.log($0) }
  }
}

extension Logger {
  /// Logs one event of a registry.
  ///
  /// The message is that of the event. The metadata are `event`; `task`, `task-id`, `task-kind` and
  /// `group` if the event is about a task or a group; `error` with what the body has thrown; and
  /// `pending`, the tasks that a shutdown waits for, with their states.
  ///
  /// - Parameter event: what `RegistryOptions.log` receives.
  public func log(_ event: RegistryEvent) {
    log(
      level: Level(event.level), "\(event.message)", metadata: Self.metadata(of: event),
      source: "TrackedTasks")
  }

  private static func metadata(of event: RegistryEvent) -> Metadata {
    var metadata: Metadata = ["event": "\(event.event)"]
    if !event.task.isEmpty { metadata["task"] = "\(event.task)" }
    if let id = event.taskID { metadata["task-id"] = "\(id)" }
    if let kind = event.kind { metadata["task-kind"] = "\(kind)" }
    if !event.group.isEmpty { metadata["group"] = "\(event.group)" }
    if let error = event.error { metadata["error"] = "\(error)" }
    if !event.pending.isEmpty {
      metadata["pending"] = .array(
        event.pending.map {
          .string("\($0.group.isEmpty ? "" : $0.group + "/")\($0.name): \($0.state)")
        })
    }
    return metadata
  }
}

extension Logger.Level {
  /// The level of an event of a registry: the one of the same name, or `notice` for one that a later
  /// version of the library brings.
  public init(_ level: RegistryEvent.Level) {
    switch level {
    case .info: self = .info
    case .warning: self = .warning
    case .error: self = .error
    @unknown default: self = .notice
    }
  }
}

extension Logger.MetadataProvider {
  /// Says in each line that a task logs which task it is: `task`, `task-id` and `task-kind`.
  ///
  /// In a thread that runs no task it says nothing.
  public static var trackedTask: Logger.MetadataProvider {
    Logger.MetadataProvider {
      guard let task = TrackedTask.current else { return [:] }
      return ["task": "\(task.name)", "task-id": "\(task.id)", "task-kind": "\(task.kind)"]
    }
  }
}
