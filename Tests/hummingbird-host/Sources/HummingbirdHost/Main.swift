import Hummingbird
import Logging
import TrackedTasks
import TrackedTasksLogging
import TrackedTasksServiceLifecycle

/// A web server whose requests wait for tasks of a registry: `HummingbirdHost PORT`.
///
/// `/work` awaits the value of a task that blocks for a moment; `/metrics` is the registry's.
@main
struct HummingbirdHost {
  static func main() async throws {
    let port = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 8080
    let logger = Logger(label: "host")
    var options = RegistryOptions(name: "host", keepsMetrics: true)
    options.log(to: logger)
    let registry = try TaskRegistry(options)
    let requests = try registry.group(named: "requests")
    let router = Router()
    router.get("work") { _, _ in
      try await requests.spawn("work", kind: .rpcHandler) { task in
        try task.sleep(for: .milliseconds(2))
        return "done by \(task.name) \(task.id)\n"
      }.value
    }
    router.get("metrics") { _, _ in try registry.metricsText() }
    var server = Application(
      router: router, configuration: .init(address: .hostname("127.0.0.1", port: port)),
      onServerRunning: { _ in print("ready") }, logger: logger)
    // It is shut down after the server, whose requests need it.
    server.addServices(
      RegistryService(registry, grace: .seconds(10)) { report in
        let metrics = try? registry.metrics()
        print(
          "spawned \(metrics?.spawned ?? 0), failed \(metrics?.failed ?? 0), left \(report.pending)"
        )
      })
    try await server.runService(gracefulShutdownSignals: [.sigterm])
    print("ended well")
  }
}
