import Testing

@testable import TrackedTasks

/// Sleeping inside tasks and outside.
@Suite struct SleepTests {
  /// **Proves:** a sleep lasts its whole time if it is not interrupted (C4).
  ///
  /// **Why it matters:** a periodic loop would become a busy loop.
  /// **Catches:** a sleep ended by a permit left over from earlier.
  @Test func aSleepLastsItsTime() throws {
    let registry = try TaskRegistry()
    let short = Counter()
    let task = try registry.spawn("sleeps", kind: .backgroundLoop) { task in
      for _ in 0..<5 {
        let start = monotonicNow()
        // A left-over permit must not shorten the sleep.
        Worker.current?.pointee.parker.unpark()
        try task.sleep(for: .milliseconds(3))
        if monotonicNow() - start < 3_000_000 { short.add() }
      }
    }
    #expect(try task.wait(timeout: ample).ending == .returned)
    #expect(short.value == 0)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** the core's sleep works outside a task too, as a plain sleep (C4).
  ///
  /// **Why it matters:** code that is used in tasks and in `main` sleeps in the same way.
  /// **Catches:** a sleep that takes every caller for a task.
  @Test func outsideATaskItIsAPlainSleep() {
    let start = monotonicNow()
    #expect(sleepCallingThread(for: 2_000_000) == .ok)
    #expect(monotonicNow() - start >= 2_000_000)
    #expect(sleepCallingThread(for: 0) == .ok)
  }

  /// **Proves:** zero and negative durations return at once (C4, P4).
  ///
  /// **Why it matters:** a duration that was computed may well be negative.
  /// **Catches:** a negative duration taken for "indefinitely".
  @Test func nothingToSleepReturnsAtOnce() throws {
    let registry = try TaskRegistry()
    let task = try registry.spawn("naps", kind: .backgroundLoop) { task in
      try task.sleep(for: .zero)
      try task.sleep(for: .seconds(-600))
      try task.sleep(for: .nanoseconds(1))
    }
    #expect(try task.wait(timeout: ample).ending == .returned)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** the longest sleep there is ends when the task is asked to stop (C4, P4).
  ///
  /// **Why it matters:** the sum of now and such a duration does not fit the clock.
  /// **Catches:** an overflow that makes the sleep end at once or trap.
  @Test func theLongestSleepEndsByTheFlag() throws {
    let registry = try TaskRegistry()
    let gate = Gate()
    let task = try registry.spawn("sleeps", kind: .backgroundLoop) { task in
      gate.open()
      try task.sleep(for: .seconds(Int64.max))
    }
    gate.wait()
    #expect(throws: TaskRegistryError.timedOut) { try task.wait(timeout: .milliseconds(5)) }
    task.cancel()
    #expect(try task.wait(timeout: ample).wasCancelled)
    try registry.shutdown(grace: ample)
  }
}
