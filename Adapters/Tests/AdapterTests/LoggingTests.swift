import Dispatch
import Logging
import Synchronization
import Testing
import TrackedTasks
import TrackedTasksLogging

/// Events and tasks in a log of swift-log.
@Suite struct LoggingTests {
  /// **Proves:** an event of a registry is logged with its level, its message, and metadata that name
  /// task, kind, group and error.
  ///
  /// **Why it matters:** logs are searched by fields, not by sentences.
  /// **Catches:** a field that is left out; the message of the error in place of the error.
  @Test func eventsHaveMetadata() throws {
    let lines = Lines()
    var options = RegistryOptions()
    options.log(to: lines.logger())
    let registry = try TaskRegistry(options)
    let group = try registry.group(named: "net")
    let task = try group.spawn("fails", kind: .rpcHandler) { _ in throw Mishap(number: 7) }
    try task.wait(timeout: .seconds(60))
    try registry.shutdown()
    let line = try #require(lines.all.first)
    #expect(line.level == .error)
    #expect(line.message.contains("Mishap(number: 7)"))
    #expect(line.metadata["event"] == "taskFailed")
    #expect(line.metadata["task"] == "fails")
    #expect(line.metadata["task-id"] == "\(task.id)")
    #expect(line.metadata["task-kind"] == "rpc-handler")
    #expect(line.metadata["group"] == "net")
    #expect(line.metadata["error"] == "Mishap(number: 7)")
    #expect(lines.all.count == 1)
  }

  /// **Proves:** a missed deadline lists the tasks that are alive, by name and state.
  ///
  /// **Why it matters:** the process may be gone before anybody reads a report.
  /// **Catches:** an event without the list.
  @Test func aMissedDeadlineListsTheTasks() throws {
    let lines = Lines()
    let logger = lines.logger()
    let isReported = DispatchSemaphore(value: 0)
    let registry = try TaskRegistry(
      RegistryOptions(abortGrace: .seconds(60)) {
        logger.log($0)
        if $0.event == .deadlineExceeded { isReported.signal() }
      })
    let group = try registry.group(named: "net")
    try group.spawn("drains", kind: .backgroundLoop) { task in
      try? task.beginDrain()
      while task.stopLevel != .abort { try? task.sleep(for: .seconds(1000)) }
      // Alive until the event was sent, right after the abort.
      isReported.wait()
    }
    #expect(throws: TaskRegistryError.self) { try registry.shutdown(grace: .milliseconds(50)) }
    let line = try #require(lines.all.first { $0.metadata["event"] == "deadlineExceeded" })
    #expect(line.metadata["pending"] == .array(["net/drains: abandoned"]))
    #expect(line.level == .error)
  }

  /// **Proves:** what a body logs says which task it is, and what others log does not.
  ///
  /// **Why it matters:** a hundred workers run the same code.
  /// **Catches:** a provider that reads another thread's task.
  @Test func aTaskNamesItself() throws {
    let lines = Lines()
    let logger = lines.logger(provider: .trackedTask)
    let registry = try TaskRegistry()
    let task = try registry.spawn("worker", kind: .maintenance) { _ in logger.info("inside") }
    try task.wait(timeout: .seconds(60))
    logger.info("outside")
    let (inside, outside) = (try #require(lines.all.first), try #require(lines.all.last))
    #expect(
      inside.provided == ["task": "worker", "task-id": "\(task.id)", "task-kind": "maintenance"])
    #expect(outside.message == "outside" && outside.provided.isEmpty)
    try registry.shutdown()
  }
}

private struct Mishap: Error {
  let number: Int
}

/// What a logger was given.
private final class Lines: Sendable {
  struct Line: Sendable {
    let level: Logger.Level
    let message: String
    let metadata: Logger.Metadata
    let provided: Logger.Metadata
  }

  private let lines = Mutex<[Line]>([])

  var all: [Line] { lines.withLock { $0 } }

  func logger(provider: Logger.MetadataProvider? = nil) -> Logger {
    Logger(label: "test") { _ in Handler(lines: self, metadataProvider: provider) }
  }

  private func add(_ line: Line) { lines.withLock { $0.append(line) } }

  private struct Handler: LogHandler {
    let lines: Lines
    var metadataProvider: Logger.MetadataProvider?
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: Logging.LogEvent) {
      lines.add(
        Line(
          level: event.level, message: "\(event.message)", metadata: event.metadata ?? [:],
          provided: metadataProvider?.get() ?? [:]))
    }
  }
}
