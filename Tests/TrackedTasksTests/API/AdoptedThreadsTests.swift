import CPlatform
import Testing

@testable import TrackedTasks

/// Threads that the library did not make, as tasks.
@Suite struct AdoptedThreadsTests {
  /// **Proves:** the calling thread is a task while the closure runs, with the options given, and
  /// none afterwards; it cannot be adopted twice (A1, A3).
  ///
  /// **Why it matters:** a closure cannot forget to leave.
  /// **Catches:** an option that is lost; a thread that stays a task.
  @Test func theThreadIsATaskInTheClosure() throws {
    let registry = try TaskRegistry(.underTest)
    var options = AdoptOptions()
    options.phase = 3
    options.heartbeat = .seconds(3600)
    let task = try registry.withAdoptedThread("main", kind: .backgroundLoop, options: options) {
      task in
      #expect(TrackedTask.current?.id == task.id && registry.count == 1)
      #expect(task.name == "main" && task.phase == 3 && !task.isCancelled)
      task.heartbeat()
      #expect(
        errorOf { () throws(TaskRegistryError) in
          try registry.adoptThread("again", kind: .maintenance)
        } == .invalidArgument)
      return task.handle
    }
    #expect(TrackedTask.current == nil && registry.isEmpty)
    #expect(try task.wait(timeout: .zero).ending == .returned)
    #expect(
      errorOf { () throws(TaskRegistryError) in try TaskRegistry.leaveAdoptedThread() }
        == .invalidArgument)
    options.phase = 8
    #expect(
      errorOf { () throws(TaskRegistryError) in
        try registry.adoptThread("main", kind: .maintenance, options: options)
      } == .invalidArgument)
    try registry.shutdown(grace: ample)
    #expect(
      errorOf { () throws(TaskRegistryError) in
        try registry.adoptThread("late", kind: .maintenance)
      } == .closed)
  }

  /// **Proves:** an error that leaves the closure is the failure of the task and is rethrown, but a
  /// stop that was asked for is not a failure (A5).
  ///
  /// **Why it matters:** so it is for a spawned task.
  /// **Catches:** an error that is lost, or a stop that is reported as a failure.
  @Test func errorsAreFailures() throws {
    struct Broken: Error, CustomStringConvertible { var description: String { "the loop broke" } }
    let registry = try TaskRegistry(.underTest)
    var failed: TrackedTask?
    #expect(throws: Broken.self) {
      try registry.withAdoptedThread("main", kind: .maintenance) { task in
        failed = task.handle
        throw Broken()
      }
    }
    let outcome = try #require(failed).wait(timeout: .zero)
    #expect(outcome.ending == .failed(message: "the loop broke"))
    var stopped: TrackedTask?
    #expect(throws: CancellationError.self) {
      try registry.withAdoptedThread("main", kind: .maintenance) { task in
        stopped = task.handle
        task.cancel()
        try task.sleep(for: ample)
      }
    }
    #expect(try #require(stopped).wait(timeout: .zero).ending == .returned)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a thread that has asked for it shuts the registry down and is not waited for; one
  /// that has not gets `wouldDeadlock` (A4).
  ///
  /// **Why it matters:** main shuts down.
  /// **Catches:** an option that is not passed on.
  @Test func theThreadShutsDown() throws {
    for joinsOthers in [false, true] {
      let registry = try TaskRegistry(.underTest)
      var options = AdoptOptions()
      options.joinsOthers = joinsOthers
      try registry.spawn("other", kind: .maintenance) { try $0.sleep(for: ample) }
      try registry.adoptThread("main", kind: .backgroundLoop, options: options)
      if joinsOthers {
        #expect(try registry.shutdown(grace: ample).ended == 1)
        #expect(registry.count == 1)
      } else {
        #expect(
          errorOf { () throws(TaskRegistryError) in try registry.shutdown(grace: ample) }
            == .wouldDeadlock)
      }
      try TaskRegistry.leaveAdoptedThread()
      try registry.shutdown(grace: ample)
    }
  }
}
