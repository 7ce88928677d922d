import CModel
import CPlatform

extension Scenario {
  static let all =
    [handOff, sleepers, timeout, park, wait, join, laterTasks, closing, limit, lastRelease, exit]
    + [uncheckedSleeper, uncheckedListener]
    + [snapshot, reusedRecord, deadline, grace, late, tokens, callbacks, ownRegistration]
    + [endCallbacks, places] + detachments
    + phased + deadlines + levels + secondSignals + orders + adopted + unjoined + room + restarts

  /// A body that ends at once.
  static let short: TaskBody = { _, _ in
    Stage.add(1, to: .begun)
    return 0
  }
  /// A body that ends when two have begun: one that was queued behind the other would wait
  /// indefinitely.
  private static let pair: TaskBody = { _, _ in
    Stage.add(1, to: .begun)
    Stage.waitFor(.begun, 2)
    return 0
  }
  /// A body that ends when it is asked to stop.
  static let obedient: TaskBody = { _, _ in
    Stage.add(1, to: .begun)
    Stage.expect(waitUntilCancelled(until: .never) == .cancelled, "a flag ends a wait (C4)")
    return 0
  }

  // MARK: Threads for tasks

  static let handOff = Scenario(
    name: "hand-off",
    claim: "two spawners, a worker that listens (M1): no task behind another (S1)",
    preemptions: 1
  ) {
    Stage.open()
    Stage.spawn { _, _ in 0 }
    Stage.host {
      Stage.spawn(pair)
      Stage.hostEnds()
    }
    Stage.spawn(pair)
    Stage.close(hosts: 1)
    Stage.expect(Stage.value(.begun) == 2, "each body runs once")
    Stage.expect(Stage.value(.dropped) == 3, "each drop runs once (S4)")
  }

  static let sleepers = Scenario(
    name: "sleepers",
    claim: "two spawners, a worker that sleeps (M2): no task behind another (S1)",
    preemptions: 1
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.spawn { _, _ in 0 }
    Stage.host {
      Stage.spawn(pair)
      Stage.hostEnds()
    }
    Stage.spawn(pair)
    Stage.close(hosts: 1)
    Stage.expect(Stage.value(.begun) == 2, "each body runs once")
  }

  static let timeout = Scenario(
    name: "idle time",
    claim: "a worker whose time is over, a spawner: the task runs (M2)",
    preemptions: 2, timeouts: 1
  ) {
    Stage.open {
      $0.spinNanoseconds = 0
      $0.idleNanoseconds = 1_000
      $0.idleThreads = 0
    }
    Stage.spawn(short)
    Stage.waitFor(.begun, 1)
    Stage.spawn(short)
    Stage.close()
    Stage.expect(Stage.value(.begun) == 2, "each body runs once")
  }

  // MARK: Waiting

  static let park = Scenario(
    name: "park",
    claim: "a task that sleeps, two that ask it to stop: it wakes (C4)",
    preemptions: 3
  ) {
    Stage.open()
    Stage.hold { _, _ in
      Stage.expect(sleepCallingThread(for: -1) == .cancelled, "a flag ends a sleep (C4)")
      return 0
    }
    Stage.host {
      Stage.task.cancel()
      Stage.hostEnds()
    }
    Stage.expect(Stage.task.wait(until: .never) == .ok, "a task that was asked to stop ends")
    Stage.waitFor(.hosts, 1)
    Stage.task.unpin()
    Stage.close()
  }

  /// The explorer cannot see the wait itself: where the task would start it, it waits for the
  /// cancel and checks whether the descriptor reports it.
  static let places = Scenario(
    name: "places",
    claim:
      "two share a descriptor, one is asked to stop: its flag or the descriptor shows it (C8)",
    preemptions: 2
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    Stage.spawn { _, _ in
      _ = WaitDescriptor.descriptor(for: Worker.currentTask.unsafelyUnwrapped, isWaiting: false)
      return 0
    }
    Stage.hold { _, _ in
      let task = Worker.currentTask.unsafelyUnwrapped
      guard case .descriptor(let found) = WaitDescriptor.descriptor(for: task, isWaiting: false)
      else {
        Stage.expect(false, "a descriptor is available")
        return 0
      }
      if task.isFlagUp { return 0 }
      Stage.waitFor(.hosts, 1)
      // So poll(2) would come back.
      Stage.expect(model_is_readable(found) != 0, "a flag ends a wait for a descriptor (C8)")
      return 0
    }
    Stage.host {
      Stage.task.cancel()
      Stage.hostEnds()
    }
    Stage.expect(Stage.task.wait(until: .never) == .ok, "a wait ends with its task (O3)")
    Stage.waitFor(.hosts, 1)
    Stage.task.unpin()
    Stage.close()
    WaitDescriptor.forget()
  }

  static let wait = Scenario(
    name: "wait",
    claim: "two wait for a task that ends: both wake (O3), its record is free once (W4)",
    preemptions: 3
  ) {
    Stage.open()
    Stage.hold(short)
    Stage.task.retainHandle()
    Stage.host {
      Stage.expect(Stage.task.wait(until: .never) == .ok, "a wait ends with its task (O3)")
      Stage.expect(Stage.task.word.ending == .returned, "the outcome can be read (O1)")
      Stage.task.unpin()
      Stage.hostEnds()
    }
    Stage.expect(Stage.task.wait(until: .never) == .ok, "a wait ends with its task (O3)")
    Stage.task.unpin()
    Stage.close(hosts: 1)
  }

  static let join = Scenario(
    name: "join",
    claim: "two joins while tasks end: neither returns early, neither sleeps on (J1, J6)",
    preemptions: 2
  ) {
    Stage.open()
    for _ in 0..<2 {
      Stage.spawn { _, _ in
        Stage.add(1, to: .over)
        return 0
      }
    }
    Stage.host {
      let (status, _) = Stage.registry.joinAll(timeout: -1) { _, _ in }
      Stage.expect(status == .ok && Stage.value(.over) == 2, "no task lives after a join (J1)")
      Stage.hostEnds()
    }
    let (status, _) = Stage.registry.joinAll(timeout: -1) { _, _ in }
    Stage.expect(status == .ok && Stage.value(.over) == 2, "no task lives after a join (J1)")
    Stage.close(hosts: 1)
  }

  static let laterTasks = Scenario(
    name: "later tasks",
    claim: "a task spawns another during a join: it is waited for too (J3)",
    preemptions: 2
  ) {
    Stage.open()
    Stage.spawn { _, _ in
      Stage.spawn { _, _ in
        Stage.add(1, to: .over)
        return 0
      }
      Stage.add(1, to: .over)
      return 0
    }
    let (status, tally) = Stage.registry.joinAll(timeout: -1) { _, _ in }
    Stage.expect(status == .ok && Stage.value(.over) == 2, "later tasks are waited for (J3)")
    Stage.expect(tally.ended <= 2, "no end is counted twice (J8)")
    Stage.expect(Stage.registry.list { _, _ in } == 0, "who has ended is listed no more (N1)")
    Stage.close()
  }

  // MARK: Closing

  static let closing = Scenario(
    name: "closing",
    claim: "a spawn while the token is cancelled: rejected, or flagged (S5, C3)",
    preemptions: 4
  ) {
    Stage.open()
    Stage.host {
      if Stage.spawn(obedient).status == .ok { Stage.add(1, to: .accepted) }
      Stage.hostEnds()
    }
    Stage.expect(Stage.token.cancel(reason: 1, message: nil), "the first cancel wins (C1)")
    Stage.expect(Stage.spawn(obedient).status == .closed, "nobody gets in after a cancel (S5)")
    Stage.close(hosts: 1)
    Stage.expect(Stage.value(.begun) == Stage.value(.accepted), "each body runs once")
  }

  /// Closes its registry; a thread counts as changed by its first task.
  private static let closer: TaskBody = { _, _ in
    _ = Stage.token.cancel(reason: 1, message: nil)
    return 0
  }
  private static let orderly: TaskBody = { _, _ in
    let worker = Worker.current.unsafelyUnwrapped
    Stage.expect(!worker.pointee.isUnchecked, "no task runs in a thread that is not checked (S1)")
    Stage.add(1, to: .begun)
    return 0
  }

  private static func spawnBesideClose() {
    // Clean-up work, which the cancel does not stop: a worker that was stopped does not listen.
    Stage.spawn(cleanup: true, closer)
    if Stage.spawn(orderly).status == .ok { Stage.add(1, to: .accepted) }
    Stage.close()
    Stage.expect(Stage.value(.begun) == Stage.value(.accepted), "each body runs once")
  }

  static let uncheckedSleeper = Scenario(
    name: "unchecked sleeper",
    claim: "a cancel after a spawn got in: it gets no sleeping thread that is not checked (S1)",
    preemptions: 2
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    spawnBesideClose()
  }

  static let uncheckedListener = Scenario(
    name: "unchecked listener",
    claim: "a cancel after a spawn got in: it gets no listening thread that is not checked (S1)",
    preemptions: 2
  ) {
    Stage.open()
    spawnBesideClose()
  }

  static let limit = Scenario(
    name: "limit",
    claim: "two spawn where one task may live: never two alive (S6)",
    preemptions: 2
  ) {
    Stage.open { $0.maxTasks = 1 }
    Stage.host {
      if Stage.spawn(counting).status == .ok { Stage.add(1, to: .accepted) }
      Stage.hostEnds()
    }
    if Stage.spawn(counting).status == .ok { Stage.add(1, to: .accepted) }
    Stage.close(hosts: 1)
    Stage.expect(Stage.value(.accepted) >= 1, "one of two gets in")
    Stage.expect(Stage.value(.begun) == Stage.value(.accepted), "each body runs once")
  }
  private static let counting: TaskBody = { _, _ in
    Stage.add(1, to: .live)
    Stage.expect(Stage.value(.live) == 1, "no more are alive than may be (S6)")
    Stage.add(-1, to: .live)
    Stage.add(1, to: .begun)
    return 0
  }

  static let lastRelease = Scenario(
    name: "last release",
    claim: "the last release while a task runs: all memory comes back (G3)"
  ) {
    Stage.open()
    Stage.spawn(short)
    Stage.registry.release()
    Stage.waitFor(.dropped, 1)
    // The next call that creates or releases a registry frees those that are left.
    model_await_others()
    DeferredFree.tend()
  }

  static let exit = Scenario(
    name: "exit",
    claim: "a body leaves by pthread_exit: one end, reported once (O1, S4)",
    preemptions: 3
  ) {
    Stage.open()
    Stage.hold { _, _ in pthread_exit(nil) }
    Stage.host {
      Stage.task.cancel()
      Stage.hostEnds()
    }
    Stage.expect(Stage.task.wait(until: .never) == .ok, "an exit is an end (O1)")
    Stage.expect(Stage.task.word.ending == .exited, "and an end of its own kind (O1)")
    Stage.expect(Stage.value(.dropped) == 1, "drop runs before anyone learns of the end (S4)")
    Stage.waitFor(.hosts, 1)
    Stage.task.unpin()
    Stage.close()
  }

  // MARK: Listing

  /// Copies names and kinds to one place, as `tr_snapshot` does into the caller's array.
  private struct CopyingVisitor: FactsVisitor {
    /// The calling thread's alone.
    nonisolated(unsafe) static var copied = (name: UInt64(0), kind: UInt32(0))

    func visit(_: Int, _ facts: TaskFacts) {
      Stage.expect(facts.name.words[0] == UInt64(facts.kind), "no entry mixes two tasks (N3)")
    }

    func copy(_ task: TaskReference, to _: Int) { Self.copied = (task.name.words[0], task.kind) }

    func visit(_: Int, plain _: PlainFacts) {
      Stage.expect(Self.copied.name == UInt64(Self.copied.kind), "no entry mixes two tasks (N3)")
    }
  }

  static let snapshot = Scenario(
    name: "snapshot",
    claim: "a record is used again under a listing: no entry mixes two tasks (N3)",
    preemptions: 1
  ) {
    Stage.open { $0.spinNanoseconds = 0 }
    // Two records are left, so that the third task gets that of the second.
    for _ in 0..<62 { _ = Stage.registry.pointer.pointee.records.take(for: Stage.registry) }
    Stage.spawn(number: 7) { _, _ in
      Stage.waitFor(.over, 1)
      return 0
    }
    Stage.host {
      var steady = 0
      _ = Stage.registry.list { _, facts in
        Stage.expect(facts.name.words[0] == UInt64(facts.kind), "no entry mixes two tasks (N3)")
        if facts.kind == 7 { steady += 1 }
      }
      Stage.expect(steady == 1, "a task that lives throughout is listed once (N3)")
      Stage.hostEnds()
    }
    for number: UInt32 in 2...3 {
      let task = Stage.spawn(handle: true, number: number) { _, _ in 0 }.task
      Stage.expect(task?.wait(until: .never) == .ok, "a wait ends with its task (O3)")
      task?.unpin()
    }
    Stage.waitFor(.hosts, 1)
    Stage.add(1, to: .over)
    Stage.close()
  }

  /// With tasks that the system refuses threads, so that there are two threads and all orders can
  /// be tried: the word of a task that starts has the same bits as that of the next one in its
  /// record.
  static let reusedRecord = Scenario(
    name: "reused record",
    claim: "a record changes hands under a reader: no entry mixes two tasks (N3)",
    preemptions: 7, weakPreemptions: 4
  ) {
    Stage.open()
    for _ in 0..<63 { _ = Stage.registry.pointer.pointee.records.take(for: Stage.registry) }
    Stage.host {
      _ = Stage.registry.list(for: CopyingVisitor())
      Stage.hostEnds()
    }
    model_refuse_threads(true)
    for number: UInt32 in 2...3 {
      Stage.expect(Stage.spawn(number: number, short).status == .again, "no thread is available")
    }
    model_refuse_threads(false)
    Stage.close(hosts: 1)
  }

  // MARK: Deadlines

  static let deadline = Scenario(
    name: "deadline",
    claim: "a deadline passes as a task ends: ended or straggler, never both (J2, J4)",
    preemptions: 2, timeouts: 1
  ) {
    Stage.open()
    Stage.spawn(obedient)
    Stage.host {
      Stage.token.cancel(reason: 1, message: nil) ? Stage.add(1, to: .firsts) : ()
      Stage.hostEnds()
    }
    let (status, tally) = Stage.registry.joinAll(timeout: 1_000) { _, _ in }
    Stage.expect(tally.pending == tally.aborted + tally.abandoned, "stragglers add up (J4)")
    Stage.expect((status == .ok) == (tally.pending == 0), "a straggler is an error (J4)")
    Stage.expect(tally.ended <= 1, "no end is counted twice (J8)")
    Stage.close(hosts: 1)
  }

  static let grace = Scenario(
    name: "grace",
    claim: "a straggler ends within the grace, or not: counted as one of them (J4)",
    preemptions: 4, timeouts: 1
  ) {
    Stage.open { $0.abortGrace = 1_000 }
    Stage.spawn(obedient)
    let (status, tally) = Stage.registry.joinAll(timeout: 1_000) { _, _ in }
    Stage.expect(tally.pending == tally.aborted + tally.abandoned, "stragglers add up (J4)")
    Stage.expect(status == .deadline && tally.pending == 1, "a deaf task is a straggler (J4)")
    Stage.close()
  }

  static let late = Scenario(
    name: "late",
    claim: "a task ends as the deadline passes: no straggler is invented or kept (J2, J4)",
    preemptions: 4, timeouts: 1
  ) {
    Stage.open { $0.abortGrace = 1_000 }
    Stage.spawn(short)
    let (status, tally) = Stage.registry.joinAll(timeout: 1_000) { _, _ in }
    Stage.expect(tally.pending == tally.aborted + tally.abandoned, "stragglers add up (J4)")
    Stage.expect((status == .ok) == (tally.pending == 0), "a straggler is an error (J4)")
    Stage.close()
    Stage.expect(Stage.value(.begun) == 1, "each body runs once")
  }

  // MARK: Tokens

  static let tokens = Scenario(
    name: "tokens",
    claim: "a child is made while two cancel: it is cancelled, one cancel wins (C1, C2)",
    preemptions: 4
  ) {
    Stage.open()
    Stage.host {
      if Stage.token.cancel(reason: 2, message: nil) { Stage.add(1, to: .firsts) }
      Stage.hostEnds()
    }
    Stage.host {
      Stage.expect(Stage.token.wait(until: .never) == .ok, "a wait for a token ends (C4)")
      Stage.expect(Stage.token.reason != 0, "who sees the flag sees the reason (C1)")
      Stage.hostEnds()
    }
    let (_, made) = TokenReference.create(childOf: Stage.token)
    if Stage.token.cancel(reason: 3, message: nil) { Stage.add(1, to: .firsts) }
    Stage.expect(made?.isCancelled == true, "flags below are up when a cancel returns (C3)")
    Stage.waitFor(.hosts, 2)
    Stage.expect(Stage.value(.firsts) == 1, "one cancel wins (C1)")
    made?.release()
    Stage.close()
  }

  static let callbacks = Scenario(
    name: "callbacks",
    claim: "a callback is taken back while another thread cancels: once at most (C7)"
  ) {
    Stage.open()
    Stage.host {
      _ = Stage.token.cancel(reason: 2, message: nil)
      Stage.hostEnds()
    }
    // SAFETY: this thread alone uses it; the explorer makes it new for each execution.
    var registration: CancelCallback.Pointer?
    let status = CancelCallback.register(
      { _ in Stage.add(1, to: .called) }, nil, drop: { _ in Stage.add(1, to: .over) },
      with: .token(Stage.token)
    ) { registration = $0 }
    Stage.expect(
      (status == .cancelled) == (registration == nil), "called at once, or registered (C7)")
    if let registration { CancelCallback.remove(registration) }
    let called = Stage.value(.called)
    Stage.expect(called <= 1, "a callback runs once at the most (C7)")
    Stage.expect(Stage.value(.over) == 1, "its drop has run once (C7)")
    Stage.waitFor(.hosts, 1)
    Stage.expect(Stage.value(.called) == called, "none runs once it is taken back (C7)")
    Stage.close()
  }

  static let endCallbacks = Scenario(
    name: "end callbacks",
    claim:
      "a task ends while functions for its end are registered and one is removed: each runs once, before a shutdown is over (O4)",
    preemptions: 3
  ) {
    Stage.open()
    Stage.hold(short)
    Stage.host {
      let status = CancelCallback.registerToRun(
        { _ in
          Stage.expect(Stage.task.word.stage == .ended, "a function runs after the end (O4)")
          Stage.add(1, to: .called)
        }, nil, drop: { _ in Stage.add(1, to: .over) }, atEndOf: Stage.task)
      Stage.expect(status == .ok || status == .cancelled, "a function is registered (O4)")
      Stage.hostEnds()
    }
    // SAFETY: this thread alone uses it.
    var registration: CancelCallback.Pointer?
    let status = CancelCallback.register(
      { _ in Stage.add(1, to: .firsts) }, nil, drop: { _ in Stage.add(1, to: .over) },
      with: .end(Stage.task)
    ) { registration = $0 }
    Stage.expect(
      (status == .cancelled) == (registration == nil), "called at once, or registered (O4)")
    let removal = registration.map { CancelCallback.remove($0) }
    let firsts = Stage.value(.firsts)
    Stage.expect(firsts == (removal == .neverRuns ? 0 : 1), "it runs unless it is removed (O4)")
    Stage.waitFor(.hosts, 1)
    Stage.close {
      Stage.expect(Stage.value(.called) == 1, "a function for the end runs once (O4)")
      Stage.expect(Stage.value(.firsts) == firsts, "none runs once it is removed (O4)")
      Stage.expect(Stage.value(.over) == 2, "each drop has run once (O4)")
      Stage.task.unpin()
    }
  }

  // SAFETY: the explorer runs one thread at a time, and the first makes it new for each execution.
  nonisolated(unsafe) private static var registered: CancelCallback.Pointer?

  static let ownRegistration = Scenario(
    name: "own registration",
    claim: "a callback ends its own registration while it is made: once, and freed once (C7)"
  ) {
    Stage.open()
    registered = nil
    Stage.host {
      _ = Stage.token.cancel(reason: 2, message: nil)
      Stage.hostEnds()
    }
    let status = CancelCallback.register(
      { _ in
        Stage.add(1, to: .called)
        if let own = registered { CancelCallback.remove(own) }
      }, nil, drop: { _ in Stage.add(1, to: .over) }, with: .token(Stage.token)
    ) { registered = $0 }
    Stage.expect(status == .ok || status == .cancelled, "registered, or called at once (C7)")
    Stage.waitFor(.hosts, 1)
    Stage.expect(Stage.value(.called) == 1, "a callback runs once (C7)")
    Stage.expect(Stage.value(.over) == 1, "its drop has run once (C7)")
    Stage.close()
  }
}
