import CPlatform
import Foundation
import Glibc
import Testing

@testable import TrackedTasks

/// The state that a task leaves in its thread, and the state that the next one finds.
@Suite struct ThreadStateTests {
  /// **Proves:** a task that changes its signal mask does not change that of the next (S7).
  ///
  /// **Why it matters:** signals would land in tasks because some other task was careless.
  /// **Catches:** the mask not restored between two tasks.
  @Test func theSignalMaskIsPutBack() throws {
    var options = RegistryOptions()
    options.blockedSignals = [SIGUSR1]
    let registry = try TaskRegistry(options)
    let open = Counter()
    for _ in 0..<50 {
      try registry.spawn("careless", kind: .rpcHandler) { _ in
        var mask = sigset_t()
        pthread_sigmask(SIG_SETMASK, nil, &mask)
        if sigismember(&mask, SIGUSR1) != 1 { open.add() }
        sigemptyset(&mask)
        pthread_sigmask(SIG_SETMASK, &mask, nil)
      }.wait(timeout: ample)
    }
    #expect(open.value == 0)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a program that a task starts by Foundation's `Process` is ended by SIGTERM, also
  /// in a registry made by asynchronous code, whose threads block nearly every signal (S7).
  ///
  /// **Why it matters:** a mask goes through exec, and such a program can only be killed.
  /// **Catches:** tasks that block signals the program does not, or those that a thread of
  /// libdispatch blocks.
  @Test func whatATaskStartsCanBeEnded() async throws {
    let registry = try TaskRegistry()
    let signals = Locked<[Int32]>([])
    let task = try registry.spawn("starts", kind: .maintenance) { _ in
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/sleep")
      process.arguments = ["600"]
      try process.run()
      kill(process.processIdentifier, SIGTERM)
      process.waitUntilExit()
      signals.withLock { $0.append(process.terminationStatus) }
    }
    try await task.wait(timeout: ample)
    #expect(signals.value == [SIGTERM])
    try await registry.shutdown(grace: ample)
  }

  /// **Proves:** errno is 0 when a task starts, whatever the one before left there (S1).
  ///
  /// **Why it matters:** C code reads it after calls that succeed without setting it.
  /// **Catches:** errno passed from task to task.
  @Test func errnoBeginsAtZero() throws {
    let registry = try TaskRegistry()
    let wrong = Counter()
    for _ in 0..<50 {
      try registry.spawn("fails a call", kind: .rpcHandler) { _ in
        if errno != 0 { wrong.add() }
        errno = EBUSY
      }.wait(timeout: ample)
    }
    #expect(wrong.value == 0)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a thread whose cancel type a task changed serves the next as a new one would (S1).
  ///
  /// **Why it matters:** with asynchronous cancellation a thread can die inside `malloc`.
  /// **Catches:** state or type not restored.
  @Test func theCancelTypeIsPutBack() throws {
    let registry = try TaskRegistry()
    let wrong = Counter()
    for _ in 0..<20 {
      try registry.spawn("careless", kind: .rpcHandler) { _ in
        var state: Int32 = 0
        var type: Int32 = 0
        pthread_setcanceltype(cp_cancel_deferred(), &type)
        pthread_setcancelstate(cp_cancel_disable(), &state)
        if type != cp_cancel_deferred() || state != cp_cancel_enable() { wrong.add() }
        pthread_setcanceltype(1 - cp_cancel_deferred(), nil)
      }.wait(timeout: ample)
    }
    #expect(wrong.value == 0)
    try registry.shutdown(grace: ample)
  }
}
