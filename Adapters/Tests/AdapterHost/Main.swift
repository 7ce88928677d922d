import Dispatch
import Glibc
import Logging
import ServiceLifecycle
import TrackedTasks
import TrackedTasksExecutor
import TrackedTasksLogging
import TrackedTasksServiceLifecycle

/// A service in a `ServiceGroup`, under a load that it makes itself: `AdapterHost MODE`.
///
/// It prints "ready" when the load runs, how it ended, and exits with 0 or 1. The modes:
///
/// - `drain`: all tasks end when they are asked to.
/// - `stuck`: one ignores it.
/// - `escalate`: one drains until it is told to abort, and the group escalates.
/// - `essential`: an essential task fails.
/// - `blocking`: a `BlockingService` waits in a system call.
@main
struct AdapterHost {
  static func main() async {
    let mode = CommandLine.arguments.dropFirst().first ?? "drain"
    do {
      try await run(mode)
      say("ended well")
    } catch {
      say("ended with: \(error)")
      if case TaskRegistryError.deadlineExceeded(let report) = error {
        say((try? report.explanation?.string(as: .text)) ?? "no explanation")
      }
      // Not exit: a straggler may hold the lock of a stream.
      _exit(1)
    }
  }

  private static func run(_ mode: String) async throws {
    LoggingSystem.bootstrap(StreamLogHandler.standardError)
    let logger = Logger(label: "host")
    var options = RegistryOptions(abortGrace: mode == "escalate" ? .seconds(10) : nil)
    let isReported = DispatchSemaphore(value: 0)
    options.log = {
      logger.log($0)
      if $0.event == .deadlineExceeded { isReported.signal() }
    }
    let registry = try TaskRegistry(options)
    var grace: Duration = .seconds(20)
    // Shut down in the reverse order: the last load goes on until the registry is closed.
    let executor = RegistryTaskExecutor(registry, width: 4)
    var services: [any Service] = []
    switch mode {
    case "stuck":
      grace = .milliseconds(300)
      try registry.spawn("stuck", kind: .backgroundLoop) { _ in while true { pause() } }
    case "escalate":
      try registry.spawn("drains", kind: .backgroundLoop) { task in
        try? task.beginDrain()
        while task.stopLevel != .abort { try? task.sleep(for: .seconds(1000)) }
        // What it has to do before it ends, within the abort grace.
        isReported.wait()
      }
    case "essential":
      let options = SpawnOptions(essential: .failure)
      try registry.spawn("essential", kind: .backgroundLoop, options: options) { _ in
        isReady.wait()
        throw Mishap()
      }
    case "blocking":
      services.append(
        BlockingService("reader", in: registry) { task in
          var ends: [Int32] = [0, 0]
          guard pipe(&ends) == 0 else { throw Mishap() }
          try task.wait(forDescriptor: ends[0], events: Int16(POLLIN))
        })
    default: break
    }
    let first: [any Service] = [
      Load(registry: registry), ExecutorLoad(executor: executor),
      RegistryService(registry, grace: grace) { Self.say("the registry: \($0)") },
    ]
    services.insert(contentsOf: first, at: 0)
    var configuration = ServiceGroupConfiguration(
      services: services, gracefulShutdownSignals: [.sigterm], logger: logger)
    if mode == "escalate" { configuration.maximumGracefulShutdownDuration = .milliseconds(300) }
    try await ServiceGroup(configuration: configuration).run()
  }

  private struct Mishap: Error {}

  /// Signalled once the load runs.
  fileprivate static let isReady = DispatchSemaphore(value: 0)

  /// Writes a line at once, as the reader waits for it.
  fileprivate static func say(_ line: String) {
    let line = line + "\n"
    _ = line.withCString { write(1, $0, line.utf8.count) }
  }

  /// Spawns short tasks as fast as it can, from several Swift tasks, until the registry is closed.
  private struct Load: Service {
    let registry: TaskRegistry

    func run() async throws {
      let spawned = await withTaskGroup(of: Int.self) { group in
        for _ in 0..<4 {
          group.addTask {
            var count = 0
            while let task = try? registry.spawn("short", kind: .rpcHandler, { $0.id }) {
              _ = try? await task.value
              count += 1
              if count == 100 {
                AdapterHost.say("ready")
                AdapterHost.isReady.signal()
              }
            }
            return count
          }
        }
        return await group.reduce(0, +)
      }
      AdapterHost.say("spawned \(spawned)")
      // The end of a service before the others would end the group.
      try? await gracefulShutdown()
    }
  }

  /// Runs blocking calls in `async` code on threads of the registry, until the graceful shutdown.
  private struct ExecutorLoad: Service {
    let executor: RegistryTaskExecutor

    func run() async throws {
      await withTaskExecutorPreference(executor) {
        while !Task.isShuttingDownGracefully && !Task.isCancelled {
          usleep(1000)
          await Task.yield()
        }
      }
    }
  }
}
