import Testing

@testable import TrackedTasks

private enum Request {
  @TaskLocal static var id = 0
  @TaskLocal static var name: String?
}

/// Task-locals that tasks take along.
@Suite struct CarriedTaskLocalsTests {
  /// **Proves:** a body has the values that were there at the making of the options, and a task that
  /// asks for none has the defaults, also in a thread that has run one with values (S1).
  ///
  /// **Why it matters:** the lines that a request logs belong together, whichever thread writes them.
  /// **Catches:** a value read when the body runs; one that stays with the thread.
  @Test func aTaskTakesValuesAlong() throws {
    let registry = try TaskRegistry()
    let options = Request.$id.withValue(7) {
      Request.$name.withValue("index") {
        SpawnOptions(taskLocals: CarriedTaskLocals(Request.$id, Request.$name))
      }
    }
    for _ in 0..<20 {
      let with = try registry.spawn("with", kind: .rpcHandler, options: options) { _ in
        (Request.id, Request.name)
      }
      let (id, name) = try with.waitForValue(timeout: ample)
      #expect(id == 7 && name == "index")
      let without = try registry.spawn("without", kind: .rpcHandler) { _ in
        (Request.id, Request.name)
      }
      let (none, noName) = try without.waitForValue(timeout: ample)
      #expect(none == 0 && noName == nil)
    }
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** what a body returns or throws is the same with task-locals as without (O4).
  ///
  /// **Why it matters:** they are not part of the result.
  /// **Catches:** an optional value that is taken for none; an error that is lost on the way.
  @Test func valuesAndErrorsComeThrough() throws {
    struct Mishap: Error {}
    let registry = try TaskRegistry()
    let options = SpawnOptions(taskLocals: CarriedTaskLocals(Request.$id))
    let runs = Counter()
    let none = try registry.spawn("none", kind: .rpcHandler, options: options) { _ -> Int? in
      runs.add()
      return nil
    }
    #expect(try none.waitForValue(timeout: ample) == nil)
    #expect(runs.value == 1)
    let fails = try registry.spawn("fails", kind: .rpcHandler, options: options) { _ in
      throw Mishap()
    }
    #expect(throws: Mishap.self) { try fails.waitForValue(timeout: ample) }
    try registry.shutdown(grace: ample)
  }
}
