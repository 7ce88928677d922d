import CPlatform
import Testing

@testable import TrackedTasks

/// Ladders in Swift; the C suite proves the rest.
@Suite struct HeartbeatLadderTests {
  /// **Proves:** a task that stays stalled is logged, explained and told to abort, in this order
  /// (F4, E7, C15).
  ///
  /// **Why it matters:** a Swift service opts in by one option.
  /// **Catches:** a ladder, or its last step, lost on the way from the options.
  @Test func aStalledTaskIsExplainedAndToldToAbort() throws {
    let events = Locked<[RegistryEvent]>([])
    var options = RegistryOptions()
    options.log = { event in events.withLock { $0.append(event) } }
    var ladder = HeartbeatLadder()
    ladder.explainAfter = .milliseconds(10)
    ladder.lastAfter = .milliseconds(10)
    ladder.last = .abortTask
    options.ladder = ladder
    let registry = try TaskRegistry(options)
    var interval = SpawnOptions()
    interval.heartbeat = .milliseconds(10)
    let task = try registry.spawn("stalls", kind: .rpcHandler, options: interval) { task in
      #expect(eventually { task.stopLevel == .abort })
    }
    try task.wait(timeout: ample)
    let logged = events.value
    #expect(logged.first?.event == .taskStalled)
    #expect(logged.dropFirst().dropLast().allSatisfy { $0.event == .stallExplained })
    #expect(logged.count > 2 && logged[1].message.hasPrefix("stalled task stalls: "))
    #expect(logged.last?.event == .stallAborted && logged.last?.level == .error)
    #expect(logged.allSatisfy { $0.taskID == task.id && $0.task == "stalls" })
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** an explanation goes to the descriptor, also without a log, and nothing else
  /// happens to the task (F4, C5).
  ///
  /// **Why it matters:** a default that drops work would be a trap.
  /// **Catches:** another number of the descriptor; a last step that is not nothing.
  @Test func anExplanationGoesToTheDescriptor() throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    defer {
      close(ends[0])
      close(ends[1])
    }
    var options = RegistryOptions()
    options.ladder = HeartbeatLadder()
    options.ladder?.descriptor = ends[1]
    let registry = try TaskRegistry(options)
    let gate = Gate()
    var interval = SpawnOptions()
    interval.heartbeat = .milliseconds(5)
    let task = try registry.spawn("stays", kind: .rpcHandler, options: interval) { _ in gate.wait()
    }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = read(ends[0], &bytes, bytes.count)
    #expect(
      String(decoding: bytes.prefix(max(0, count)), as: UTF8.self).hasPrefix("stalled task stays: ")
    )
    #expect(task.stopLevel == .none)
    gate.open()
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a ladder that breaks its requirements is rejected (F4, P4).
  ///
  /// **Why it matters:** a program that believes that it is watched is not.
  /// **Catches:** a zero that means the default; a descriptor that is none.
  @Test func wrongLaddersAreRejected() throws {
    var wrong = [HeartbeatLadder](repeating: HeartbeatLadder(), count: 3)
    wrong[0].explainAfter = .zero
    wrong[1].lastAfter = .seconds(-1)
    wrong[2].descriptor = -1
    for ladder in wrong {
      var options = RegistryOptions()
      options.ladder = ladder
      #expect(throws: TaskRegistryError.invalidArgument) { _ = try TaskRegistry(options) }
    }
  }
}
