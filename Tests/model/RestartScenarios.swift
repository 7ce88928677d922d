import CModel
import CPlatform

/// Tasks that start again (B1 to B4): no request to stop is lost between two runs, and none is followed by
/// another run.
extension Scenario {
  static let restarts = [restartStopping, restartClosing, restartExit, triggerMeetsTick]

  /// A body that fails.
  ///
  /// Once somebody's request to stop was over before one of its runs was, no other begins.
  private static let failing: TaskBody = { _, _ in
    Stage.add(1, to: .begun)
    Stage.expect(Stage.value(.firsts) == 0, "no run begins after a request to stop (B2)")
    Stage.expect(Stage.value(.live) == 0, "one run at a time (B3)")
    Stage.add(1, to: .live)
    Stage.add(-1, to: .live)
    if Stage.value(.called) == 1 { Stage.add(1, to: .firsts) }
    return 7
  }

  static let restartStopping = Scenario(
    name: "restart stopping",
    claim: "runs end and begin while the task is asked to stop: none begins after that (B2)",
    preemptions: 1
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.hold(Stage.spawnAgain(after: 0, atMost: 2, handle: true, failing))
    Stage.host {
      Stage.task.cancel()
      Stage.add(1, to: .called)
      Stage.hostEnds()
    }
    Stage.expect(Stage.task.wait(until: .never) == .ok, "a task that was asked to stop ends")
    Stage.expect(Stage.value(.dropped) == 1, "its drop has run (B4)")
    Stage.expect(Stage.task.word.ending == .failed, "it ends as its last run did (B2)")
    Stage.waitFor(.hosts, 1)
    Stage.task.unpin()
    Stage.close()
    Stage.expect(Stage.value(.begun) <= 3, "the policy's limit holds (B1)")
    Stage.expect(Stage.value(.dropped) == 1, "the drop runs once (B4)")
  }

  static let restartClosing = Scenario(
    name: "restart closing",
    claim:
      "a shutdown meets the end of a run after which the task would wait indefinitely: it ends (B2)",
    preemptions: 2
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.spawnAgain(after: .max, atMost: 1, failing)
    Stage.close()
    Stage.expect(Stage.value(.begun) <= 1, "no run begins after a shutdown (B2)")
    Stage.expect(Stage.value(.dropped) == 1, "the drop runs once (B4)")
  }

  static let restartExit = Scenario(
    name: "restart exit",
    claim: "a run leaves its thread, and the task starts again in another: two runs, one end (B4)",
    preemptions: 1
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.spawnAgain(after: 0, atMost: 1) { _, _ in
      Stage.add(1, to: .begun)
      if Stage.value(.begun) == 1 { pthread_exit(nil) }
      Stage.add(1, to: .over)
      return 0
    }
    Stage.waitFor(.over, 1)
    Stage.close()
    Stage.expect(Stage.value(.begun) == 2 && Stage.value(.dropped) == 1, "two runs, one drop (B4)")
  }

  static let triggerMeetsTick = Scenario(
    name: "trigger meets tick",
    claim:
      "a trigger, a tick and a request to stop meet: one run at a time, and none after it (B6)",
    preemptions: 1, timeouts: 1
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    var rule = ScheduleRule()
    rule.period = 1_000
    rule.firstDelay = 1_000
    Stage.hold(Stage.spawn(.schedule(rule), handle: true, waitsFirst: true, failing))
    Stage.host {
      Stage.expect(Stage.task.trigger() == .ok, "a trigger makes it run (B6)")
      Stage.hostEnds()
    }
    Stage.waitFor(.begun, 1)
    Stage.waitFor(.hosts, 1)
    Stage.task.cancel()
    Stage.add(1, to: .called)
    Stage.expect(Stage.task.wait(until: .never) == .ok, "a task that was asked to stop ends")
    Stage.expect(Stage.task.trigger() == .closed, "no run follows an end (B6)")
    Stage.task.unpin()
    Stage.close(hosts: 1)
    Stage.expect(Stage.value(.dropped) == 1, "the drop runs once (B4)")
  }
}

extension Stage {
  /// Spawns a task that starts again after any end.
  ///
  /// - Parameters:
  ///   - delay: in nanoseconds.
  ///   - most: how often, at the most.
  ///   - handle: whether the caller gets one.
  ///   - body: what it runs.
  /// - Returns: as `spawn`.
  @discardableResult
  static func spawnAgain(
    after delay: Int64, atMost most: UInt32, handle: Bool = false, _ body: @escaping TaskBody
  ) -> (status: Status, task: TaskReference?) {
    var policy = RestartPolicy()
    policy.when = .always
    policy.shortestDelay = delay
    policy.longestDelay = delay
    policy.mostRestarts = most
    policy.window = .max
    return spawn(.restart(policy), handle: handle, body)
  }

  /// Spawns a task that runs again.
  static func spawn(
    _ policy: RunPolicy, handle: Bool, waitsFirst: Bool = false, _ body: @escaping TaskBody
  ) -> (status: Status, task: TaskReference?) {
    var request = SpawnRequest(
      name: TaskName(), kind: 1, body: body, context: nil,
      drop: { _ in Stage.add(1, to: .dropped) })
    request.name.words[0] = 1
    request.wantsHandle = handle
    request.traits = .startsAgain
    if case .schedule = policy { request.traits.insert(.periodic) }
    request.waitsFirst = waitsFirst
    // The timer thread's state, of two blocks, and its lock are never freed.
    model_keep_blocks(2)
    return withUnsafePointer(to: policy) { policy in
      request.again = policy
      return registry.spawn(request)
    }
  }
}
