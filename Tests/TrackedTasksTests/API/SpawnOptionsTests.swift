import Glibc
import Testing

@testable import TrackedTasks

/// How one task is spawned; the options stand in `RegistryOptions.swift`.
@Suite struct SpawnOptionsTests {
  /// **Proves:** which ends of an essential task cancel the token, with which reason, and with its
  /// name; its outcome does not say that it was asked to stop (C12).
  ///
  /// **Why it matters:** a thrown error is the most common end that was not meant.
  /// **Catches:** the two options mixed up; a thrown error taken for a return.
  @Test func theEndOfAnEssentialTaskCancelsTheToken() throws {
    let cases: [(SpawnOptions.Essential, throwing: Bool, ShutdownReason)] = [
      (.no, false, .none), (.no, true, .none), (.anyEnd, false, .requestedByRun),
      (.anyEnd, true, .fatal), (.failure, false, .none), (.failure, true, .fatal),
    ]
    for (essential, throwing, reason) in cases {
      let registry = try TaskRegistry()
      var options = SpawnOptions()
      options.essential = essential
      let task = try registry.spawn("main", kind: .backgroundLoop, options: options) { _ in
        if throwing { throw TaskRegistryError.systemFailure }
      }
      let outcome = try task.wait(timeout: ample)
      #expect(registry.token.reason == reason)
      #expect(registry.token.message == (reason == .none ? "" : "main"))
      #expect(!outcome.wasCancelled && !task.isCancelled)
      try registry.shutdown(grace: ample)
    }
  }

  /// **Proves:** a cancel signal ends a system call of the task's, repeatedly until it
  /// acknowledges; without a handler, or with an invalid number, the spawn is rejected (C10).
  ///
  /// **Why it matters:** Swift programs call C libraries that block.
  /// **Catches:** the option not passed on; the check left out.
  @Test func aCancelSignalInterruptsWhatBlocks() throws {
    let registry = try TaskRegistry()
    var options = SpawnOptions()
    for senseless in [SIGSEGV, SIGKILL, -1, 65, SIGUSR2] {
      options.cancelSignal = senseless
      #expect(
        errorOf { () throws(TaskRegistryError) in
          try registry.spawn("never", kind: .rpcHandler, options: options) { _ in }
        } == .invalidArgument)
    }
    let number = __libc_current_sigrtmin() + 2
    try TaskRegistry.installCancelSignal(number)
    try TaskRegistry.installCancelSignal(number)
    #expect(
      errorOf { () throws(TaskRegistryError) in try TaskRegistry.installCancelSignal(SIGKILL) }
        == .invalidArgument)
    options.cancelSignal = number
    let interrupted = Locked<[Int32]>([])
    let task = try registry.spawn("blocks", kind: .rpcHandler, options: options) { task in
      for _ in 0..<3 {
        _ = pause()
        let error = errno
        interrupted.withLock { $0.append(error) }
      }
      task.acknowledgeCancel()
    }
    task.cancel()
    #expect(try task.wait(timeout: ample).ending == .returned)
    #expect(interrupted.value == [EINTR, EINTR, EINTR])
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** the phase is in the summary; phases above 7, and heartbeat intervals of zero, are
  /// rejected (E5, E7, P4).
  ///
  /// **Why it matters:** options are computed.
  /// **Catches:** a phase that is masked; a trait that overwrites another.
  @Test func phasesAndHeartbeatsAreChecked() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    var options = SpawnOptions()
    options.heartbeat = .seconds(3600)
    options.essential = .failure
    for phase in 0...7 {
      options.phase = phase
      let task = try registry.spawn("phase", kind: .maintenance, options: options) { _ in
        gate.wait()
      }
      #expect(registry.snapshot().first { $0.id == task.id }?.phase == phase)
    }
    for phase in [-1, 8, .max, .min] {
      options.phase = phase
      #expect(
        errorOf { () throws(TaskRegistryError) in
          try registry.spawn("never", kind: .maintenance, options: options) { _ in }
        } == .invalidArgument)
    }
    options.phase = 0
    for interval in [Duration.zero, .seconds(-1)] {
      options.heartbeat = interval
      #expect(
        errorOf { () throws(TaskRegistryError) in
          try registry.spawn("never", kind: .maintenance, options: options) { _ in }
        } == .invalidArgument)
    }
    gate.open()
    try registry.shutdown(grace: ample)
  }
}
