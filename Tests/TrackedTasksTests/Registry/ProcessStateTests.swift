import Testing

@testable import TrackedTasks

/// The state that the library keeps once for each process.
@Suite struct ProcessStateTests {
  /// **Proves:** ids are unique in all threads, and above 0 (N2).
  ///
  /// **Why it matters:** an id in yesterday's log must not mean another task.
  /// **Catches:** a load and a store instead of one addition.
  @Test func idsAreNeverGivenTwice() {
    let all = Locked(Set<UInt64>())
    onThreads(4) { _ in
      let mine = (0..<2000).map { _ in ProcessState.nextID() }
      all.withLock { $0.formUnion(mine) }
    }
    #expect(all.value.count == 8000)
    #expect(!all.value.contains(0))
  }

  /// **Proves:** preparing again, and from several threads at once, changes nothing (P1).
  ///
  /// **Why it matters:** every token and every registry does it.
  /// **Catches:** a second key in place of the first, under which no worker is found.
  @Test func preparingIsDoneOnce() throws {
    let failures = Counter()
    onThreads(4) { _ in if ProcessState.prepare() != .ok { failures.add() } }
    #expect(failures.value == 0)
    #expect(!ProcessState.isForkedChild)
    let registry = try TaskRegistry()
    let found = Locked(false)
    let task = try registry.spawn("self", kind: .maintenance) { _ in
      _ = ProcessState.prepare()
      let isThere = Worker.current != nil
      found.withLock { $0 = isThere }
    }
    try task.wait(timeout: ample)
    #expect(found.value)
    #expect(Worker.current == nil)
  }
}
