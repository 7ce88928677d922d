import Synchronization

/// The facts of a task that has ended: one of the slowest to stop, or one of the last.
struct EndedFacts {
  var id: UInt64 = 0
  var name = TaskName()
  var path = GroupPath()
  var kind: UInt32 = 0
  /// How it ended; the numbers are those of `TR_ENDED_…`.
  var how: UInt32 = 0
  var code: Int32 = 0
  /// On `CLOCK_MONOTONIC`.
  var spawnedAt: Int64 = 0
  /// Nanoseconds from spawn to end.
  var ran: Int64 = 0
  /// Nanoseconds from the request to stop to the end; -1 if it was not asked.
  var stop: Int64 = -1
}

extension TaskReference {
  /// The facts of the task, which is about to end.
  ///
  /// Called on the task's own thread.
  func endedFacts(_ how: TaskWord.Ending, at now: Int64) -> EndedFacts {
    let spawnedAt = self.spawnedAt
    let cancelledAt = pointer.pointee.cancelledAt.load(ordering: .relaxed)
    return EndedFacts(
      id: id, name: name, path: registry.pointer.pointee.path, kind: kind,
      how: UInt32(how.rawValue), code: code(of: how),
      spawnedAt: spawnedAt, ran: max(0, now &- spawnedAt),
      // A caller that asks many tasks to stop reads the clock once, maybe before this one was
      // spawned.
      stop: word.isCancelRequested ? max(0, now &- max(cancelledAt, spawnedAt)) : -1)
  }
}
