import Foundation
import Testing

@testable import TrackedTasks

/// Programs that a task starts.
@Suite struct ProcessTests {
  /// **Proves:** Foundation's `Process`, started in a body, is ended by `terminate`, whether the registry
  /// was made by an ordinary thread or by `async` code (S7).
  ///
  /// **Why it matters:** a program inherits the signals that its starter blocks, and hands them on.
  /// **Catches:** a mask of the library's, or of the thread pool of Swift's, in the thread of a task.
  @Test(arguments: [false, true]) func aProcessCanBeTerminated(fromPool: Bool) async throws {
    let registry =
      fromPool
      ? try await Task.detached { try TaskRegistry() }.value
      : try await withCheckedThrowingContinuation { continuation in
        Thread.detachNewThread { continuation.resume(with: Result { try TaskRegistry() }) }
      }
    let sleeper = try registry.spawn("sleeper", kind: .rpcHandler) { _ in
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/sleep")
      process.arguments = ["300"]
      try process.run()
      process.terminate()
      process.waitUntilExit()
      return (process.terminationReason, process.terminationStatus)
    }
    let (reason, status) = try await sleeper.waitForValue(timeout: ample)
    #expect(reason == .uncaughtSignal && status == SIGTERM)
    try await registry.shutdown(grace: ample)
  }
}
