@testable import TrackedTasks

/// A time no healthy wait reaches.
let ample = Duration.seconds(60)

/// A registry whose joins give stragglers `grace`.
func makeRegistry(grace: Duration) throws -> TaskRegistry {
  var options = RegistryOptions.underTest
  options.abortGrace = grace
  return try TaskRegistry(options)
}

extension TaskRegistry {
  /// Spawns a task that checks no flag and ends when the gate opens.
  @discardableResult
  func spawnDeaf(
    _ name: String = "deaf", kind: TaskKind = .backgroundLoop, until gate: Gate
  ) throws(TaskRegistryError) -> TrackedTask {
    try spawn(name, kind: kind) { _ in gate.wait() }
  }

  /// Spawns a task that sleeps until it is asked to stop.
  @discardableResult
  func spawnSleeper(
    _ name: String = "sleeper"
  ) throws(TaskRegistryError) -> TrackedTask {
    try spawn(name, kind: .backgroundLoop) { try $0.sleep(for: .seconds(600)) }
  }

  /// How many threads wait for the last task to end.
  var joinersWaiting: UInt64 {
    core.pointer.pointee.endWaiters.load(ordering: .sequentiallyConsistent)
  }
}

/// The report of a call that is to miss its deadline; nil when it did not.
func reportOfMissedDeadline(
  _ call: () throws(TaskRegistryError) -> JoinReport
) -> JoinReport? {
  do throws(TaskRegistryError) {
    _ = try call()
    return nil
  } catch {
    if case .deadlineExceeded(let report) = error { return report }
    return nil
  }
}

/// The error a call ends with; nil when it succeeds.
func errorOf<Value>(_ call: () throws(TaskRegistryError) -> Value) -> TaskRegistryError? {
  do throws(TaskRegistryError) {
    _ = try call()
    return nil
  } catch { return error }
}

/// Polls until `condition` holds, for objects that are freed with the memory of a registry.
///
/// A registry whose last reference was one of its own threads is freed when the next one is
/// created.
func eventuallyFreed(_ condition: () -> Bool) -> Bool {
  eventually {
    _ = try? TaskRegistry()
    return condition()
  }
}

/// Whether a call that only a request to stop makes throw has thrown.
func isCancelled(_ body: () throws(CancellationError) -> Void) -> Bool {
  do {
    try body()
    return false
  } catch {
    return true
  }
}
