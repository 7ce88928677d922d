import Dispatch
import Foundation
import Glibc
import Testing
import TrackedTasks

/// Every function of registries, called as a consumer calls it.
@Suite(.serialized) struct RegistryTests {
  @Test func itIsReadAndShutDown() async throws {
    let events = Box()
    let isReported = DispatchSemaphore(value: 0)
    var options = RegistryOptions(keepsMetrics: true)
    options.log = { event in
      switch event.event {
      case .taskFailed: events.add()
      case .deadlineExceeded:
        if event.pending.count == 1 { events.add() }
        isReported.signal()
      default: break
      }
    }
    let registry = try TaskRegistry(options)
    let group = try registry.group(named: "net")
    try TaskRegistry.enableBacktraces(signal: 62)
    try group.spawn("fails", kind: .rpcHandler) { _ in throw CancellationError() }
    let task = try group.spawn("drains", kind: .backgroundLoop) { task in
      try? task.beginDrain()
      while task.stopLevel != .abort { try? task.sleep(for: .seconds(1000)) }
      // Alive until the event was sent.
      isReported.wait()
    }
    let report = try registry.explain(withBacktraces: true, withThreads: true)
    #expect(try report.string(as: .json).hasPrefix("{"))
    #expect(report.stragglers.contains { $0.id == task.id })
    let null = unsafe open("/dev/null", O_WRONLY)
    defer { close(null) }
    try report.write(to: null, as: .text)
    let listed = registry.snapshot()
    #expect(listed.contains { $0.id == task.id })
    let encoded = try JSONEncoder().encode(listed)
    #expect(try JSONDecoder().decode([TaskSummary].self, from: encoded) == listed)
    #expect(try JSONEncoder().encode(report).count > 1000)
    #expect(try registry.snapshotString(as: .json).contains("drains"))
    try registry.writeSnapshot(to: null, as: .text)
    try registry.writeMetrics(to: null)
    try TaskRegistry.writeMetrics(of: [(registry, "r"), (group, nil)], to: null)
    #expect(registry.stalledTasks().isEmpty && registry.isHealthy)
    registry.close()
    #expect(registry.isClosed)
    let stopping = Task {
      do throws(TaskRegistryError) {
        try await registry.shutdown(grace: .seconds(600)) { _ in }
      } catch .deadlineExceeded {
        events.add()
      } catch {
      }
    }
    while registry.token.reason == .none { await Task.yield() }
    registry.endGracePeriod()
    await stopping.value
    try await registry.wait(timeout: .seconds(60))
    #expect(events.value >= 1)
    try await registry.shutdown(grace: .seconds(60))
  }

  @Test func signalsShutItDown() async throws {
    let (first, second) = (try TaskRegistry(), try TaskRegistry())
    try TaskRegistry.installCancelSignal(37)
    #expect(try first.startSignalWatch([SIGUSR1]) == [SIGUSR1])
    try first.moveSignalWatch(to: second)
    let token = try ShutdownToken()
    try token.requestShutdown(reason: .rpcRequested)
    try await token.wait(timeout: .seconds(60))
    kill(getpid(), SIGUSR1)
    try await second.token.wait(timeout: .seconds(60))
    try second.stopSignalWatch()
    try await first.shutdown(grace: .seconds(60))
    try await second.shutdown(grace: .seconds(60))
    let service = try TaskRegistry()
    try service.spawn("ends", kind: .maintenance) { _ in
      service.token.cancel(reason: .requestedByRun)
    }
    let status = try await service.runUntilStopped(
      ServiceOptions(signals: [SIGUSR1], notifiesSystemd: false, reportDescriptor: nil))
    #expect(status == 0)
    try service.startNotifyingSystemd(socket: nil)
    try? service.stopNotifyingSystemd()
    try ProcessExit.arm(after: .seconds(600))
    try ProcessExit.cancel()
  }

  @Test func threadsAreAdopted() throws {
    let registry = try TaskRegistry(RegistryOptions(maxTasks: 2))
    try registry.waitForRoom(timeout: .seconds(1))
    try registry.withAdoptedThread("adopted", kind: .maintenance) { task in
      try task.sleep(for: .milliseconds(1))
    }
    try registry.adoptThread("adopted", kind: .maintenance)
    try TaskRegistry.heartbeat()
    try TaskRegistry.leaveAdoptedThread()
    try registry.promiseHeartbeats(every: .seconds(60))
    try TaskRegistry.pauseHeartbeats()
    try TaskRegistry.resumeHeartbeats()
    try registry.promiseHeartbeats(every: .zero)
    try registry.shutdown(grace: .seconds(60))
  }

  @Test func theFormsThatBlock() throws {
    let registry = try TaskRegistry()
    let task = try registry.spawn("value", kind: .rpcHandler) { _ in 7 }
    #expect(try task.waitForValue(timeout: .seconds(60)) == 7)
    try task.wait(timeout: .seconds(60))
    try registry.wait(timeout: .seconds(60))
    try registry.joinAll(timeout: .seconds(60))
    let token = registry.token
    try token.withCancellationHandler {
      _ = token.cancel(reason: .userRequested)
    } onCancel: {
    }
    try token.wait(timeout: .seconds(60))
    #expect(try ShutdownToken.waitForAny([token]) == 0)
    try registry.shutdown(grace: .seconds(60))
    try TaskRegistry.quiesce(timeout: .seconds(60))
  }
}
