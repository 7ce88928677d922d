import CPlatform
import Testing

@testable import TrackedTasks

/// Admission of tasks: what is accepted, what is rejected, and what a rejected spawn leaves behind.
@Suite struct SpawnTests {
  /// **Proves:** a spawned body runs once, in a thread that is not the caller's (S1).
  ///
  /// **Why it matters:** that is what spawning is.
  /// **Catches:** the body run on the caller's thread, or a second time.
  @Test func aBodyRunsOnceInAThreadOfItsOwn() throws {
    let registry = try TaskRegistry()
    let runs = Counter()
    let caller = cp_gettid()
    let other = Locked(Int32(0))
    let task = try registry.spawn("once", kind: .rpcHandler) { _ in
      runs.add()
      other.withLock { $0 = cp_gettid() }
    }
    try task.wait(timeout: ample)
    try registry.shutdown(grace: ample)
    #expect(runs.value == 1)
    #expect(other.value != caller && other.value != 0)
  }

  /// **Proves:** the kinds are the four that have names and everything from 0x100 (S3).
  ///
  /// **Why it matters:** the numbers between are kept for kinds to come.
  /// **Catches:** 0, 5 or 0xFF accepted.
  @Test func unknownKindsAreRejected() throws {
    let registry = try TaskRegistry()
    for number in [0, 5, 6, 0xFE, 0xFF] as [UInt32] {
      #expect(throws: TaskRegistryError.invalidArgument) {
        try registry.spawn("kind", kind: TaskKind(rawValue: number)) { _ in }
      }
    }
    for number in [1, 2, 3, 4, 0x100, 0x101, .max] as [UInt32] {
      let task = try registry.spawn("kind", kind: TaskKind(rawValue: number)) { _ in }
      #expect(task.kind.rawValue == number)
    }
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** an empty name and one with a NUL inside are rejected, long ones are not (S2).
  ///
  /// **Why it matters:** a name cut silently at a NUL is not the name that was given.
  /// **Catches:** the check for NUL bytes left out.
  @Test func namesWithoutTextAreRejected() throws {
    let registry = try TaskRegistry()
    for name in ["", "\0", "a\0b"] {
      #expect(throws: TaskRegistryError.invalidArgument) {
        try registry.spawn(name, kind: .maintenance) { _ in }
      }
    }
    let long = String(repeating: "x", count: 10_000)
    let task = try registry.spawn(long, kind: .maintenance) { _ in }
    #expect(task.name == String(long.prefix(63)))
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** after a shutdown a spawn is rejected and its body released without having run (S4,
  /// S5).
  ///
  /// **Why it matters:** a task spawned after the join would never be joined.
  /// **Catches:** the body box not released on the way out.
  @Test func spawnAfterShutdownIsRejectedAndKeepsNothing() throws {
    let registry = try TaskRegistry()
    try registry.shutdown(grace: ample)
    let ends = Counter()
    let runs = Counter()
    do {
      let canary = Canary(ends)
      #expect(throws: TaskRegistryError.closed) {
        try registry.spawn("late", kind: .maintenance) { _ in
          canary.sing()
          runs.add()
        }
      }
    }
    #expect(ends.value == 1)
    #expect(runs.value == 0)
    #expect(registry.isEmpty)
  }

  /// **Proves:** cancelling the token closes the registry, without a shutdown (S5, G2).
  ///
  /// **Why it matters:** code that has only the token must be able to prevent further spawns.
  /// **Catches:** `cancelled()` that flags and does not close.
  @Test func spawnAfterTheTokenIsCancelledIsRejected() throws {
    let registry = try TaskRegistry()
    registry.token.cancel(reason: .fatal)
    #expect(throws: TaskRegistryError.closed) {
      try registry.spawn("late", kind: .maintenance) { _ in }
    }
    #expect(throws: TaskRegistryError.closed) {
      var options = SpawnOptions()
      options.isCleanup = true
      try registry.spawn("late", kind: .maintenance, options: options) { _ in }
    }
  }

  /// **Proves:** at most `maxTasks` are alive, and an end makes room at once (S6).
  ///
  /// **Why it matters:** the limit protects the machine, not the number of tasks per day.
  /// **Catches:** the limit compared with all tasks ever admitted.
  @Test func theLimitIsOnLivingTasks() throws {
    var options = RegistryOptions.underTest
    options.maxTasks = 2
    let registry = try TaskRegistry(options)
    let gate = Gate()
    let first = try registry.spawnDeaf(until: gate)
    let second = try registry.spawnDeaf(until: gate)
    #expect(throws: TaskRegistryError.limitReached) {
      try registry.spawn("third", kind: .maintenance) { _ in }
    }
    #expect(registry.count == 2)
    gate.open()
    try first.wait(timeout: ample)
    try second.wait(timeout: ample)
    for _ in 0..<10 {
      try registry.spawn("later", kind: .maintenance) { _ in }.wait(timeout: ample)
    }
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** under a crowd of spawners the limit is never exceeded (S6).
  ///
  /// **Why it matters:** check and count are one step, or they are no limit.
  /// **Catches:** the count raised after the check in a step of its own.
  @Test func theLimitHoldsUnderACrowd() throws {
    var options = RegistryOptions.underTest
    options.maxTasks = 3
    let registry = try TaskRegistry(options)
    let alive = Counter()
    let worst = Locked(0)
    let accepted = Counter()
    onThreads(4) { _ in
      for _ in 0..<200 {
        let error = errorOf { () throws(TaskRegistryError) in
          try registry.spawn("crowd", kind: .rpcHandler) { _ in
            let now = alive.add()
            worst.withLock { $0 = max($0, now) }
            alive.add(-1)
          }
        }
        if error == nil { accepted.add() }
      }
    }
    let report = try registry.shutdown(grace: ample)
    #expect(worst.value <= 3)
    #expect(accepted.value > 0)
    #expect(report.pending == 0)
  }

  /// **Proves:** a thread that the system refuses leaves the registry as it was (S4, S6).
  ///
  /// **Why it matters:** a task counted and never run would be waited for indefinitely.
  /// **Catches:** `withdraw` that does not count the end.
  @Test func aRefusedThreadLeavesNothingBehind() throws {
    let registry = try TaskRegistry()
    let ends = Counter()
    var options = SpawnOptions()
    // More than a machine can reserve; with overcommit this test shows nothing.
    options.stackSize = 1 << 40
    var rejected = false
    do {
      let canary = Canary(ends)
      let error = errorOf { () throws(TaskRegistryError) in
        try registry.spawn("huge", kind: .maintenance, options: options) { _ in canary.sing() }
      }
      rejected = error != nil
      #expect(error == nil || error == .threadUnavailable)
    }
    if rejected {
      #expect(ends.value == 1)
      #expect(registry.isEmpty)
      #expect(registry.snapshot().isEmpty)
    }
    try registry.spawn("next", kind: .maintenance) { _ in }.wait(timeout: ample)
    let report = try registry.shutdown(grace: ample)
    #expect(report.failed == 0)
  }

  /// **Proves:** the caller's signal mask is as before, and tasks block what the options say,
  /// except for the faults and SIGABRT (S7).
  ///
  /// **Why it matters:** a signal meant for the program must not land in one of its tasks.
  /// **Catches:** the mask set in the caller and not restored.
  @Test func tasksBlockSignalsAndCallersDoNot() throws {
    var before = sigset_t()
    pthread_sigmask(SIG_SETMASK, nil, &before)
    var options = RegistryOptions()
    options.blockedSignals = Set(1...31)
    let registry = try TaskRegistry(options)
    let blocked = Locked<[Int32: Bool]>([:])
    let task = try registry.spawn("mask", kind: .maintenance) { _ in
      var mask = sigset_t()
      pthread_sigmask(SIG_SETMASK, nil, &mask)
      for number: Int32 in 1...31 {
        let isBlocked = sigismember(&mask, number) == 1
        blocked.withLock { $0[number] = isBlocked }
      }
    }
    try task.wait(timeout: ample)
    var after = sigset_t()
    pthread_sigmask(SIG_SETMASK, nil, &after)
    let faults: Set<Int32> = [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT]
    for number: Int32 in 1...31 where number != SIGKILL && number != SIGSTOP {
      #expect(blocked.value[number] == !faults.contains(number), "signal \(number)")
      #expect(sigismember(&before, number) == sigismember(&after, number), "signal \(number)")
    }
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a stack of any size asked for is there to be used (S7).
  ///
  /// **Why it matters:** a body that recurses deeply asks for one.
  /// **Catches:** the option not handed to the thread.
  @Test func aLargerStackCanBeUsed() throws {
    let registry = try TaskRegistry()
    var options = SpawnOptions()
    options.stackSize = 64 << 20
    let sum = Counter()
    let task = try registry.spawn("deep", kind: .maintenance, options: options) { _ in
      // At least 7 MiB, where the default stack has one.
      sum.add(recurse(7000))
    }
    let outcome = try task.wait(timeout: ample)
    #expect(outcome.ending == .returned)
    #expect(sum.value == 7000)
    try registry.shutdown(grace: ample)
  }
}

/// Uses about 1 KiB of stack for each level, and returns how many there were.
@inline(never)
private func recurse(_ depth: Int) -> Int {
  if depth == 0 { return 0 }
  var filler = InlineArray<128, Int>(repeating: depth)
  return withUnsafeMutableBytes(of: &filler) { bytes in
    bytes.storeBytes(of: UInt8(truncatingIfNeeded: depth), as: UInt8.self)
    return recurse(depth - 1) + 1
  }
}
