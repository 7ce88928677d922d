import Testing

@testable import TrackedTasks

/// Trees of tokens and the registries linked to them.
@Suite struct TokenStorageTests {
  /// **Proves:** of many threads that cancel at once one wins, and its reason and message stay
  /// (C1).
  ///
  /// **Why it matters:** "why did it stop?" has one answer.
  /// **Catches:** the flag tested outside the lock; the last message kept instead of the first.
  @Test func theFirstCancelWinsAmongMany() throws {
    for _ in 0..<50 {
      let token = try ShutdownToken()
      let winners = Locked<[Int]>([])
      onThreads(4) { number in
        let reason = ShutdownReason(rawValue: 1000 + UInt32(number))
        if token.cancel(reason: reason, message: "by \(number)") {
          winners.withLock { $0.append(number) }
        }
      }
      let winner = try #require(winners.value.first)
      #expect(winners.value.count == 1)
      #expect(token.reason.rawValue == 1000 + UInt32(winner))
      #expect(token.message == "by \(winner)")
    }
  }

  /// **Proves:** a thread that sees the flag sees reason and message too (C1).
  ///
  /// **Why it matters:** a task that stops logs why.
  /// **Catches:** the flag raised before the reason is written.
  @Test func whoeverSeesTheFlagSeesTheReason() throws {
    let wrong = Counter()
    for _ in 0..<100 {
      let token = try ShutdownToken()
      let watcher = PlainThread {
        while !token.isCancelled {}
        if token.reason != .fatal || token.message != "the whole message" { wrong.add() }
      }
      token.cancel(reason: .fatal, message: "the whole message")
      watcher.join()
    }
    #expect(wrong.value == 0)
  }

  /// **Proves:** children are cancelled with their parent and never the other way (C2).
  ///
  /// **Why it matters:** one connection's end is not the service's.
  /// **Catches:** the cancellation handed upwards, or to siblings.
  @Test func cancellationGoesDownAlone() throws {
    let root = try ShutdownToken()
    let left = try root.child()
    let right = try root.child()
    let leaf = try left.child()
    left.cancel(reason: .rpcRequested, message: "left only")
    #expect(leaf.isCancelled && !root.isCancelled && !right.isCancelled)
    #expect(leaf.reason == .rpcRequested && leaf.message == "left only")
    root.cancel(reason: .fatal, message: "all")
    #expect(right.reason == .fatal && right.message == "all")
    // Each keeps the reason it was first cancelled with.
    #expect(left.reason == .rpcRequested && leaf.message == "left only")
  }

  /// **Proves:** a child of a cancelled parent is created cancelled, with its reason and message
  /// (C2).
  ///
  /// **Why it matters:** a connection accepted a moment too late must not live on.
  /// **Catches:** the child linked to a list that will not be walked again.
  @Test func aChildOfACancelledParentIsBornCancelled() throws {
    let parent = try ShutdownToken()
    parent.cancel(reason: .reloadRequested, message: "again")
    let child = try parent.child()
    #expect(child.isCancelled)
    #expect(child.reason == .reloadRequested && child.message == "again")
    #expect(child.cancel(reason: .fatal) == false)
    let grandchild = try child.child()
    #expect(grandchild.isCancelled)
  }

  /// **Proves:** children made while the parent is being cancelled are cancelled, every one (C2).
  ///
  /// **Why it matters:** a child that is missed can never be cancelled by its parent.
  /// **Catches:** the child put on the list without a check of the flag under the lock.
  @Test func childrenMadeDuringACancellationAreCancelled() throws {
    for _ in 0..<50 {
      let parent = try ShutdownToken()
      let children = Locked<[ShutdownToken]>([])
      let makers = (0..<2).map { _ in
        PlainThread {
          repeat {
            if let child = try? parent.child() { children.withLock { $0.append(child) } }
          } while !parent.isCancelled
        }
      }
      parent.cancel(reason: .userRequested)
      for maker in makers { maker.join() }
      #expect(children.value.allSatisfy { $0.isCancelled })
    }
  }

  /// **Proves:** a chain of 100 000 tokens is cancelled and released in little stack (C2).
  ///
  /// **Why it matters:** depth is the application's; a stack overflow is not its fault.
  /// **Catches:** cancelling or releasing by recursion.
  @Test func deepTreesNeedNoStack() throws {
    let root = try ShutdownToken()
    var leaf = try root.child()
    for _ in 1..<100_000 { leaf = try leaf.child() }
    #expect(!leaf.isCancelled)
    let done = Locked(false)
    // In a task: its stack is a small one.
    var options = RegistryOptions.underTest
    options.stackSize = 64 << 10
    let registry = try TaskRegistry(options)
    let deepest = Locked<ShutdownToken?>(leaf)
    leaf = root
    try registry.spawn("fells the tree", kind: .maintenance) { _ in
      root.cancel(reason: .fatal, message: "timber")
      let isCancelled = deepest.value?.message == "timber"
      // The last reference to the leaf, and with it to the whole chain.
      deepest.withLock { $0 = nil }
      done.withLock { $0 = isCancelled }
    }.wait(timeout: ample)
    #expect(done.value)
    try registry.shutdown(grace: ample)
  }

  /// **Proves:** when `cancel` has returned to its first caller, every flag below is up (C2, C3).
  ///
  /// **Why it matters:** the caller continues by tearing down what the descendants would use.
  /// **Catches:** a branch skipped because another thread is still busy cancelling it.
  @Test func whenCancelReturnsEveryFlagBelowIsUp() throws {
    let late = Counter()
    for _ in 0..<10 {
      let root = try ShutdownToken()
      let branch = try root.child()
      let leaves = try (0..<2000).map { _ in try branch.child() }
      let other = PlainThread { branch.cancel(reason: .rpcRequested) }
      while !branch.isCancelled {}
      root.cancel(reason: .fatal)
      if leaves.contains(where: { !$0.isCancelled }) { late.add() }
      other.join()
      #expect(leaves.allSatisfy { $0.isCancelled })
    }
    #expect(late.value == 0)
  }

  /// **Proves:** tokens may be let go in any order, cancelled or not (C2, G2).
  ///
  /// **Why it matters:** a connection's token goes when the connection does.
  /// **Catches:** a child left on its parent's list after its memory is freed.
  @Test func tokensMayBeLetGoInAnyOrder() throws {
    var generator = SplitMix(state: 7)
    for round in 0..<100 {
      var tokens = [try ShutdownToken()]
      for _ in 0..<30 {
        tokens.append(try tokens[generator.below(tokens.count)].child())
      }
      let root = tokens[0]
      tokens.shuffle(using: &generator)
      tokens.removeLast(generator.below(20))
      if round % 2 == 0 { root.cancel(reason: .userRequested) }
      #expect(tokens.allSatisfy { $0.isCancelled == (round % 2 == 0) })
      tokens.removeAll()
    }
  }

  /// **Proves:** children may be let go while another thread cancels their parent (C2).
  ///
  /// **Why it matters:** connections end at the very moment the service does.
  /// **Catches:** a child taken off the list without a reference.
  @Test func childrenMayGoWhileTheirParentIsCancelled() throws {
    for _ in 0..<100 {
      let parent = try ShutdownToken()
      let children = Locked(try (0..<50).map { _ in try parent.child() })
      let dropper = PlainThread {
        while children.withLock({ $0.popLast() }) != nil {}
      }
      parent.cancel(reason: .userRequested)
      dropper.join()
      #expect(parent.isCancelled)
    }
  }

  /// **Proves:** a message is kept up to 255 bytes, cut at a character (C1).
  ///
  /// **Why it matters:** it may have come over the network and be of any length.
  /// **Catches:** a cut in the middle of a character.
  @Test(arguments: [0, 1, 254, 255, 256, 10_000]) func messagesAreCut(length: Int) throws {
    let token = try ShutdownToken()
    token.cancel(reason: .fatal, message: String(repeating: "m", count: length))
    #expect(token.message == String(repeating: "m", count: min(length, 255)))
    let wide = try ShutdownToken()
    wide.cancel(reason: .fatal, message: String(repeating: "€", count: length))
    #expect(wide.message == String(repeating: "€", count: min(length, 85)))
  }

  /// **Proves:** a token can be waited for by many, with and without a deadline (C4).
  ///
  /// **Why it matters:** `main` waits for it.
  /// **Catches:** only one waiter woken.
  @Test func manyWaitForOneToken() throws {
    let parent = try ShutdownToken()
    let token = try parent.child()
    #expect(throws: TaskRegistryError.timedOut) { try token.wait(timeout: .zero) }
    #expect(throws: TaskRegistryError.timedOut) { try token.wait(timeout: .milliseconds(3)) }
    let woken = Counter()
    let waiters = (0..<5).map { number in
      PlainThread {
        if (try? token.wait(timeout: number == 0 ? nil : ample)) != nil { woken.add() }
      }
    }
    parent.cancel(reason: .userRequested)
    for waiter in waiters { waiter.join() }
    #expect(woken.value == 5)
    try token.wait(timeout: .zero)
  }
}
