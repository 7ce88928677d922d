import CPlatform
import Synchronization

// LOCKING: see `SignalWatch.swift`.

extension UnsafeMutablePointer<SignalWatch> {
  /// Whether the caller is in the process that started the watch, not in a child of it.
  ///
  /// Async-signal-safe. getpid(2) is a system call of some 50 ns, and right in a child, however it
  /// was made.
  var isInItsProcess: Bool {
    !ProcessState.isForkedChild && pointee.process.load(ordering: .relaxed) == cp_process()
  }

  /// Stores what the signals ask for.
  ///
  /// Requires the stage `starting`.
  func assign(_ roles: UnsafeBufferPointer<SignalAssignment>?, hangUpReloads: Bool) {
    for number in 1...Int(SignalWatch.lastSignal) {
      let isReload = hangUpReloads && number == Int(SIGHUP)
      let role = SignalRole(isReload ? .reload : .stop)
      pointee.roles[number].store(role.bits, ordering: .relaxed)
      pointee.explainTo[number].store(-1, ordering: .relaxed)
    }
    guard let roles else { return }
    for assignment in roles {
      let number = Int(assignment.number)
      pointee.roles[number].store(assignment.role.bits, ordering: .relaxed)
      pointee.explainTo[number].store(assignment.descriptor, ordering: .relaxed)
    }
  }

  func take(from stage: UInt8, to next: UInt8) -> Bool {
    pointee.stage.compareExchange(
      expected: stage, desired: next, ordering: .sequentiallyConsistent
    ).exchanged
  }

  /// Wakes both threads; async-signal-safe.
  func ring() {
    pointee.event.wrappingAdd(1, ordering: .releasing)
    cp_futex_wake(self)
  }

  /// Makes the threads and installs the handlers.
  ///
  /// Requires the stage `starting`.
  func begin(for registry: RegistryReference) -> Status {
    registry.retain()
    pointee.monitor.withLock { state in
      state = WatchState()
      state.registry = registry
    }
    pointee.lost.store(0, ordering: .relaxed)
    var status = makeAnswerer() ? Status.ok : .again
    if status == .ok {
      let (code, thread) = startThread(
        stackSize: RegistryOptionsCore.defaultStackSize, argument: self,
        main: {
          // SAFETY: the watch, which is never freed.
          $0.unsafelyUnwrapped.assumingMemoryBound(to: SignalWatch.self).receive()
          return nil
        })
      if code == 0 {
        pointee.monitor.withLock { $0.receiver = thread }
        status = installHandlers()
        if status == .ok {
          pointee.monitor.withLock { $0.hasHandlers = true }
          ring()
        } else {
          endThreads()
        }
      } else {
        status = .again
        pointee.monitor.withLock { $0.isEnding = true }
        ring()
        withCancellationDisabled { joinAnswerer() }
      }
    }
    if status != .ok {
      pointee.monitor.withLock { $0.registry = nil }
      registry.release()
    }
    return status
  }

  /// Ends the watch.
  ///
  /// Requires the stage `ending`.
  func end() {
    // Before the handlers go: these threads let the signals through, whatever the program blocks.
    endThreads()
    pointee.monitor.withLock { $0.hasHandlers = false }
    restoreHandlers()
    // A handler that is about to record something does so within its next instructions, if it is
    // scheduled. One that is not, as a debugger has stopped it, records it for the next watch.
    let limit = Deadline.after(1_000_000_000)
    while pointee.visitors.load(ordering: .sequentiallyConsistent) != 0 && !limit.hasPassed {
      Self.pause()
    }
    answerLateComers()
    if isStopDelivered {
      if pointee.firstStop.load(ordering: .sequentiallyConsistent) != 0 {
        pointee.hadStop.store(true, ordering: .sequentiallyConsistent)
      }
      pointee.firstStop.store(0, ordering: .sequentiallyConsistent)
      pointee.stops.store(0, ordering: .relaxed)
    }
    let registry = pointee.monitor.withLock { state in
      let registry = state.registry
      state.registry = nil
      return registry
    }
    pointee.signals.store(0, ordering: .sequentiallyConsistent)
    pointee.stage.store(SignalWatch.Stage.none, ordering: .sequentiallyConsistent)
    registry?.release()
  }

  /// Makes the threads finish what was requested before, and joins them.
  func endThreads() {
    let receiver = pointee.monitor.withLock { state in
      state.isEnding = true
      return state.receiver
    }
    ring()
    // EINVAL if a handler of the application's, which replaced ours, has detached it.
    withCancellationDisabled { _ = cp_thread_join(receiver) }
  }

  /// Waits until the receiver has forced the deadline of the registry that is watched, if it is
  /// about to: so the caller, and not the receiver, releases the last reference if it moves the
  /// watch.
  ///
  /// The receiver runs nothing of the application's there. If it is not scheduled, this gives up.
  func awaitForcing(of registry: RegistryReference) {
    let limit = Deadline.after(1_000_000_000)
    while pointee.monitor.withLock({ $0.isForcing && $0.registry == registry }) && !limit.hasPassed
    {
      Self.pause()
    }
  }

  /// Sleeps for a moment.
  @inline(never)
  private static func pause() {
    withCancellationDisabled {
      withParkerOfItsOwn { _ = $0.park(until: .after(50_000)) }
    }
  }

  /// Whether the registry's token says that a person or a signal requested the shutdown: then the
  /// stop is known.
  var isStopDelivered: Bool {
    pointee.monitor.withLock { state in
      guard let token = state.registry?.token else { return false }
      let number = pointee.firstStop.load(ordering: .sequentiallyConsistent)
      return token.reason == stopReason(of: number)
    }
  }

  /// Applies a stop that has come before to this registry: its token is cancelled when this
  /// returns, except on the answerer's own thread, which does that next.
  func takeOverStop(for registry: RegistryReference) {
    let number = pointee.firstStop.load(ordering: .sequentiallyConsistent)
    if number == 0 { return }
    pointee.arrived.bitwiseOr(SignalWatch.bit(number), ordering: .acquiringAndReleasing)
    ring()
    if pointee.monitor.withLock({ $0.isOwnThread }) { return }
    // The time to raise a flag. If the answerer is in a callback, or not scheduled, the token is
    // cancelled when it continues.
    let token = registry.token
    _ = token.monitor.wait(
      for: WaitKey.token, until: .after(1_000_000_000), isCancellable: false,
      isReady: { token.isCancelled })
  }
}
