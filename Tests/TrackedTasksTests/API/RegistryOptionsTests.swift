import CPlatform
import Testing

@testable import TrackedTasks

/// How a registry behaves, as far as it may be chosen.
@Suite struct RegistryOptionsTests {
  /// **Proves:** invalid options are rejected, and nothing of them is kept (P4, S4).
  ///
  /// **Why it matters:** a limit of -1 is a mistake.
  /// **Catches:** one of the checks left out; the log closure retained on the way.
  @Test func senselessOptionsAreRejected() {
    let senseless: [(inout RegistryOptions) -> Void] = [
      { $0.maxTasks = 0 }, { $0.maxTasks = -1 }, { $0.abortGrace = .nanoseconds(-1) },
      { $0.spin = .nanoseconds(-1) }, { $0.spin = .milliseconds(1) + .nanoseconds(1) },
      { $0.idleThreads = -1 }, { $0.stackSize = 0 }, { $0.stackSize = -1 },
      { $0.stackSize = .min }, { $0.stackSize = .max }, { $0.stackSize = 1 << 40 + 1 },
    ]
    let ends = Counter()
    for change in senseless {
      let canary = Canary(ends)
      var options = RegistryOptions()
      options.log = { _ in canary.sing() }
      change(&options)
      #expect(
        errorOf { () throws(TaskRegistryError) in try TaskRegistry(options) }
          == .invalidArgument)
    }
    #expect(ends.value == senseless.count)
  }

  /// **Proves:** options at the ends of what is allowed are accepted (P4).
  ///
  /// **Why it matters:** a check that is too strict rejects valid programs.
  /// **Catches:** `<` where `<=` is right.
  @Test func optionsAtTheirLimitsAreAccepted() throws {
    let sensible: [(inout RegistryOptions) -> Void] = [
      { $0.maxTasks = 1 }, { $0.maxTasks = .max }, { $0.maxTasks = nil },
      { $0.abortGrace = .zero }, { $0.abortGrace = .seconds(Int64.max) }, { $0.spin = .zero },
      { $0.spin = .milliseconds(1) }, { $0.idleThreads = 0 }, { $0.idleThreads = .max },
      { $0.idleThreads = nil }, { $0.idleTime = nil }, { $0.idleTime = .zero },
      { $0.idleTime = .seconds(-1) }, { $0.stackSize = 1 },
    ]
    for change in sensible {
      var options = RegistryOptions()
      change(&options)
      let registry = try TaskRegistry(options)
      #expect(
        try registry.spawn("runs", kind: .rpcHandler) { _ in }.wait(timeout: ample).ending
          == .returned)
      try registry.shutdown(grace: ample)
    }
  }

  /// **Proves:** stacks are rounded up to pages, at least 64 KiB and at most 1 TiB (S7).
  ///
  /// **Why it matters:** the system rejects sizes that are not whole pages, or makes tiny stacks.
  /// **Catches:** rounding down; no floor.
  @Test func stacksAreRoundedUpToPages() {
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    for bytes in [0, 1, 4096, 65_535, 65_536, 65_537, 100_000, 1 << 20, 1 << 40] as [UInt64] {
      let size = RegistryOptionsCore.stackSize(for: bytes) ?? 0
      #expect(size % page == 0)
      #expect(size >= max(Int(bytes), 64 << 10))
      #expect(size < max(Int(bytes), 64 << 10) + page)
    }
    #expect(RegistryOptionsCore.stackSize(for: 1 << 40 + 1) == nil)
    #expect(RegistryOptionsCore.stackSize(for: .max) == nil)
    #expect(RegistryOptionsCore.defaultStackSize == 1 << 20)
  }

  /// **Proves:** a spawn with an invalid stack size is rejected (P4, S4).
  ///
  /// **Why it matters:** the body would otherwise run on a stack of another size than requested.
  /// **Catches:** the option of the spawn not checked.
  @Test func senselessStacksAreRejectedAtSpawn() throws {
    let registry = try TaskRegistry()
    for bytes in [0, -1, .min, .max] as [Int] {
      var options = SpawnOptions()
      options.stackSize = bytes
      #expect(throws: TaskRegistryError.invalidArgument) {
        try registry.spawn("stack", kind: .rpcHandler, options: options) { _ in }
      }
    }
    #expect(registry.isEmpty)
    try registry.shutdown(grace: ample)
  }
}
