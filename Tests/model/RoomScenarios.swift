import CModel
import CPlatform

/// Threads that wait for room: no end, no higher limit and no close goes unnoticed (S8).
extension Scenario {
  static let room = [roomEnd, roomSpawns, roomClosing, roomLimit]

  static let roomEnd = Scenario(
    name: "room end",
    claim: "two wait for room while the only task ends: both wake (S8)",
    preemptions: 2
  ) {
    Stage.open {
      $0.maxTasks = 1
      $0.spinNanoseconds = 0
    }
    Stage.spawn(short)
    Stage.host {
      Stage.expect(Stage.registry.waitForRoom(until: .never) == .ok, "an end makes room (S8)")
      Stage.hostEnds()
    }
    Stage.expect(Stage.registry.waitForRoom(until: .never) == .ok, "an end makes room (S8)")
    Stage.close(hosts: 1)
  }

  static let roomSpawns = Scenario(
    name: "room spawns",
    claim: "two spawn that wait for room, of which there is enough for one: both bodies run (S8)",
    preemptions: 1
  ) {
    Stage.open {
      $0.maxTasks = 1
      $0.spinNanoseconds = 0
    }
    Stage.host {
      Stage.expect(Stage.spawnWaiting().status == .ok, "a spawn waits for room (S8)")
      Stage.hostEnds()
    }
    Stage.expect(Stage.spawnWaiting().status == .ok, "a spawn waits for room (S8)")
    Stage.close(hosts: 1)
    Stage.expect(Stage.value(.begun) == 2, "each body runs once")
  }

  static let roomClosing = Scenario(
    name: "room closing",
    claim: "a group is closed, or its parent cancelled, while a thread waits for room in it (S8)",
    preemptions: 2
  ) {
    Stage.open { $0.maxTasks = 1 }
    Stage.spawn(obedient)
    Stage.host {
      let group = Stage.group { $0.maxTasks = 0 }
      let status = group.waitForRoom(until: .never)
      Stage.expect(status == .closed || status == .ok, "a close ends a wait for room (S8)")
      group.release()
      Stage.hostEnds()
    }
    _ = Stage.token.cancel(reason: 1, message: nil)
    Stage.close(hosts: 1)
  }

  static let roomLimit = Scenario(
    name: "room limit",
    claim: "the limit is raised while a thread begins to wait for room: it wakes (S8)",
    preemptions: 3
  ) {
    Stage.open { $0.maxTasks = 1 }
    Stage.spawn(obedient)
    Stage.host {
      Stage.registry.setMaxTasks(2)
      Stage.hostEnds()
    }
    Stage.expect(Stage.registry.waitForRoom(until: .never) == .ok, "a higher limit makes room (S8)")
    Stage.close(hosts: 1)
  }
}

extension Stage {
  /// Spawns a short task as soon as there is room.
  static func spawnWaiting() -> (status: Status, task: TaskReference?) {
    var request = SpawnRequest(
      name: TaskName(), kind: 1, body: Scenario.short, context: nil, drop: nil)
    request.name.words[0] = 1
    return registry.spawn(request, waitingForRoom: -1)
  }
}
