import Testing

@testable import TrackedTasks

/// Registries: their references, their tokens, their memory.
@Suite struct RegistryStorageTests {
  /// **Proves:** all references share one list of tasks (G1).
  ///
  /// **Why it matters:** the registry is handed around a program like the original's clone.
  /// **Catches:** a copy of the list made with the reference.
  @Test func referencesShareOneList() throws {
    let registry = try TaskRegistry()
    let same = registry
    let gate = Gate()
    try registry.spawnDeaf("through one", until: gate)
    try same.spawnDeaf("through the other", until: gate)
    #expect(registry.count == 2 && same.count == 2)
    gate.open()
    try same.shutdown(grace: ample)
    #expect(registry.isEmpty)
  }

  /// **Proves:** a registry has a token of its own, or the one that was given (G2).
  ///
  /// **Why it matters:** a service hands one token to all its parts.
  /// **Catches:** the given token copied or replaced by a child.
  @Test func aRegistryIsLinkedToItsToken() throws {
    let own = try TaskRegistry()
    #expect(!own.token.isCancelled)
    #expect(own.token.core == own.token.core)

    let given = try ShutdownToken()
    let linked = try TaskRegistry(token: given)
    #expect(linked.token.core == given.core)
    let task = try linked.spawnSleeper()
    given.cancel(reason: .rpcRequested, message: "all of you")
    #expect(task.isCancelled)
    #expect(linked.token.message == "all of you")
    #expect(!own.token.isCancelled)
    try linked.shutdown(grace: ample)
    try own.shutdown(grace: ample)
  }

  /// **Proves:** several registries on one token are closed by it together (G2, C3).
  ///
  /// **Why it matters:** the parts of a service stop together.
  /// **Catches:** only the first on the token's list closed.
  @Test func registriesOnOneTokenStopTogether() throws {
    let token = try ShutdownToken()
    let registries = try (0..<5).map { _ in try TaskRegistry(token: token) }
    let tasks = try registries.map { try $0.spawnSleeper() }
    try registries[2].shutdown(reason: .fatal, message: "the third", grace: ample)
    #expect(token.reason == .fatal)
    #expect(tasks.allSatisfy { $0.isCancelled })
    for registry in registries {
      #expect(throws: TaskRegistryError.closed) {
        try registry.spawn("late", kind: .maintenance) { _ in }
      }
      try registry.shutdown(grace: ample)
    }
  }

  /// **Proves:** a registry made on a cancelled token is closed from the start (G2, S5).
  ///
  /// **Why it matters:** it would otherwise never be closed.
  /// **Catches:** the registry linked to a list that was walked already.
  @Test func aRegistryOnACancelledTokenIsClosed() throws {
    let token = try ShutdownToken()
    token.cancel(reason: .fatal)
    let registry = try TaskRegistry(token: token)
    #expect(throws: TaskRegistryError.closed) {
      try registry.spawn("late", kind: .maintenance) { _ in }
    }
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** a registry on a child token is stopped by the parent, not the other way (G2, C2).
  ///
  /// **Why it matters:** a part can be stopped without the whole.
  /// **Catches:** a shutdown that cancels upwards.
  @Test func aRegistryOnAChildTokenStopsWithTheParent() throws {
    let root = try ShutdownToken()
    let part = try TaskRegistry(token: try root.child())
    let rest = try TaskRegistry(token: try root.child())
    let task = try rest.spawnSleeper()
    try part.shutdown(grace: ample)
    #expect(!root.isCancelled && !task.isCancelled)
    root.cancel(reason: .userRequested)
    #expect(task.isCancelled)
    try rest.shutdown(grace: ample)
  }

  /// **Proves:** the last release neither waits nor cancels, and tasks run on undisturbed (G3).
  ///
  /// **Why it matters:** letting go of a variable must not block a program or free under its feet.
  /// **Catches:** a deinit that shuts down; memory freed under a running task.
  @Test func theLastReleaseNeitherWaitsNorCancels() throws {
    let token = try ShutdownToken()
    let gate = Gate()
    let ended = Gate()
    let flagged = Locked<Bool?>(nil)
    var registry: TaskRegistry? = try TaskRegistry(token: token)
    let task = try #require(registry).spawn("outlives", kind: .backgroundLoop) { task in
      gate.wait()
      let flag = task.isCancelled
      flagged.withLock { $0 = flag }
      ended.open()
    }
    registry = nil
    #expect(!token.isCancelled && !task.isCancelled)
    gate.open()
    ended.wait()
    #expect(flagged.value == false)
    #expect(try task.wait(timeout: ample).ending == .returned)
    #expect(task.name == "outlives")
  }

  /// **Proves:** the token reaches the tasks of a registry without references (G3, C3).
  ///
  /// **Why it matters:** they are still running, and it is the only way to stop them.
  /// **Catches:** the registry unlinked with its last reference instead of with its memory.
  @Test func theTokenReachesTasksOfAReleasedRegistry() throws {
    let token = try ShutdownToken()
    var registry: TaskRegistry? = try TaskRegistry(token: token)
    let task = try #require(registry).spawnSleeper()
    registry = nil
    token.cancel(reason: .userRequested)
    #expect(try task.wait(timeout: ample).wasCancelled)
  }

  /// **Proves:** memory and log closure are freed once all is gone, exactly once (G3, O2).
  ///
  /// **Why it matters:** a program may make a registry for each request.
  /// **Catches:** a reference to the memory too many or too few on any path.
  @Test(arguments: ["unused", "shut down", "released while running", "handle kept", "rejected"])
  func theMemoryIsFreedWhenAllIsGone(way: String) throws {
    let ends = Counter()
    let gate = Gate()
    var handle: TrackedTask?
    do {
      let canary = Canary(ends)
      var options = RegistryOptions.underTest
      options.log = { _ in canary.sing() }
      let registry = try TaskRegistry(options)
      switch way {
      case "shut down":
        for _ in 0..<20 { try registry.spawn("brief", kind: .rpcHandler) { _ in } }
        try registry.shutdown(grace: ample)
      case "released while running":
        try registry.spawnDeaf(until: gate)
      case "handle kept":
        handle = try registry.spawn("kept", kind: .rpcHandler) { _ in }
      case "rejected":
        try registry.shutdown(grace: ample)
        #expect(throws: TaskRegistryError.closed) { try registry.spawnSleeper() }
      default: break
      }
      #expect(ends.value == 0)
    }
    gate.open()
    if let task = handle {
      try task.wait(timeout: ample)
      #expect(ends.value == 0)
    }
    handle = nil
    #expect(eventuallyFreed { ends.value == 1 })
  }

  /// **Proves:** registries may be let go in any order with their tokens and tasks (G3).
  ///
  /// **Why it matters:** programs end in no particular order.
  /// **Catches:** a registry still on the list of a token that is gone, or the reverse.
  @Test func everythingMayBeLetGoInAnyOrder() throws {
    var generator = SplitMix(state: 11)
    let gone = Counter()
    let rounds = 60
    for _ in 0..<rounds {
      let gate = Gate()
      let canary = Canary(gone)
      var options = RegistryOptions.underTest
      options.log = { _ in canary.sing() }
      let root = try ShutdownToken()
      options.token = try root.child()
      let registry = try TaskRegistry(options)
      var things: [AnyObject] = [root, registry, try options.token?.child() ?? root]
      for _ in 0..<3 { things.append(try registry.spawnDeaf(until: gate)) }
      things.shuffle(using: &generator)
      if generator.below(2) == 0 { gate.open() }
      if generator.below(2) == 0 { root.cancel(reason: .userRequested) }
      while things.popLast() != nil {}
      gate.open()
    }
    #expect(eventuallyFreed { gone.value == rounds })
  }
}
