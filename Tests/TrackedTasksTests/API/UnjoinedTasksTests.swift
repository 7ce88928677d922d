import Testing

@testable import TrackedTasks

/// Tasks that no join waits for.
@Suite struct UnjoinedTasksTests {
  /// **Proves:** a shutdown succeeds beside a task of `isUnjoined`, counts it, and lists it in the full
  /// report alone (S9).
  ///
  /// **Why it matters:** a look-up that hangs must not make a stop fail.
  /// **Catches:** an option that is lost; a task that becomes a straggler.
  @Test func aShutdownSucceedsBesideIt() throws {
    let registry = try TaskRegistry(.underTest)
    let (entered, goesOn) = (Gate(), Gate())
    var options = SpawnOptions()
    options.isUnjoined = true
    let task = try registry.spawn("lookup", kind: .rpcHandler, options: options) { _ in
      entered.open()
      goesOn.wait()
    }
    entered.wait()
    #expect(registry.snapshot().first?.isUnjoined == true)
    try registry.wait(timeout: .seconds(30))
    let report = try registry.shutdown(grace: .seconds(30), explained: true)
    #expect(report.unjoined == 1 && report.pending == 0 && report.stragglers.isEmpty)
    #expect(report.explanation?.stragglers.map(\.isUnjoined) == [true])
    #expect(report.description.contains("1 unjoined and alive"))
    #expect(task.isCancelled && registry.count == 1)
    goesOn.open()
    #expect(try task.wait(timeout: .seconds(30)).wasCancelled)
  }

  /// **Proves:** a clean-up task cannot be unjoined, nor an adopted thread that joins others (S9).
  ///
  /// **Why it matters:** what has no meaning is rejected. **Catches:** options that are taken together.
  @Test func whatItCannotBe() throws {
    let registry = try TaskRegistry(.underTest)
    var options = SpawnOptions()
    options.isUnjoined = true
    options.isCleanup = true
    #expect(
      errorOf { () throws(TaskRegistryError) in
        try registry.spawn("none", kind: .maintenance, options: options) { _ in }
      } == .invalidArgument)
    var adopted = AdoptOptions()
    adopted.isUnjoined = true
    adopted.joinsOthers = true
    #expect(
      errorOf { () throws(TaskRegistryError) in
        try registry.adoptThread("none", kind: .maintenance, options: adopted)
      } == .invalidArgument)
    try registry.shutdown(grace: ample)
  }
}
