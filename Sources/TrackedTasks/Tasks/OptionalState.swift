import Synchronization

// LOCKING
// This file has no lock of its own. `signal` is guarded by the timer thread's Monitor, and a wait
// that `conditionWait` points to by the waker's; the two are never held together, nor under another
// lock of the library. `traits` are written only by the task's own thread. A signal is sent under
// the timer thread's lock, so that the task cannot leave its body meanwhile; none of the
// application's code runs under either lock.
//
// `levelHasRisen` reads both fields without a lock, to take none if there is nothing to do, and
// again under the lock. The task stores a field and then reads its flag; the canceller raises the
// flag and then reads the field: one of them sees the other. A field that was cleared between the
// two reads is found empty under the lock.

/// The part of a record that few tasks need.
///
/// It is read only if the word says `hasOptionalState`, so other tasks pay no more than a bit for
/// it.
struct OptionalState: ~Copyable {
  // atomic: the `CancelSignal` of the task, as bits. Written by the spawner before the task is
  // published, and by its own thread under the timer thread's lock; read under that lock.
  let signal = Atomic<UInt>(0)
  // atomic: the `ConditionWait` that the task is in, as bits. Sequentially consistent: the task
  // stores it and then reads its flag; the thread that raises the flag reads this field afterwards.
  // One of them sees the other. A thread that has found a wait reads it again under the waker's
  // lock, see `ConditionWait`.
  let conditionWait = Atomic<UInt>(0)
  // atomic: written by the spawner before the task is published, and then by its own thread with
  // release: a trait says that other fields can be read.
  let traits = Atomic<UInt32>(0)

  /// Does what follows when the level of the task has risen.
  ///
  /// Called by the thread that raised it, or by one that helps, with a reference to the task.
  ///
  /// - Parameter again: whether it may have been called for this level before.
  func levelHasRisen(again: Bool) {
    if conditionWait.load(ordering: .sequentiallyConsistent) != 0 {
      ConditionWaker.wake {
        ConditionWait.Pointer(bitPattern: conditionWait.load(ordering: .sequentiallyConsistent))
      }
    }
    if signal.load(ordering: .sequentiallyConsistent) != 0 {
      TimerThread.withQueue { queue in
        let bits = signal.load(ordering: .relaxed)
        guard let signal = CancelSignal.Pointer(bitPattern: bits) else { return }
        if !again {
          signal.sendFirst(again: &queue)
        } else if !signal.isBeingSent {
          signal.send(again: &queue)
        }
      }
    }
  }
}

extension TaskReference {
  var traits: TaskTraits {
    TaskTraits(rawValue: pointer.pointee.optionalState.traits.load(ordering: .acquiring))
  }

  /// Adds a trait; called on the task's own thread.
  func add(_ trait: TaskTraits) {
    let known = word.hasOptionalState ? traits : []
    pointer.pointee.optionalState.traits.store(known.union(trait).rawValue, ordering: .releasing)
  }

  /// Makes every thread that raises the flag check for a wait on a condition variable.
  ///
  /// Called on the task's own thread, from its body.
  func makesFlagLookForWaits() {
    if word.hasOptionalState { return }
    add([])
    advance { $0.optionalStateAdded() }
  }

  /// Whether the calling thread's task has waited for a descriptor.
  var hasWaitPlace: Bool { word.hasOptionalState && traits.contains(.hasWaitPlace) }

  /// Makes every thread that raises the flag check for a `WaitDescriptor`.
  ///
  /// Called on the task's own thread while it is still alive.
  func makesFlagLookForPlaces() {
    add(.hasWaitPlace)
    advance { $0.optionalStateAdded() }
  }

  /// Gets the optional state of a task that is being spawned; on failure nothing is kept.
  ///
  /// The record is the caller's own.
  func prepareOptionalState(_ request: borrowing SpawnRequest) -> Status {
    pointer.pointee.optionalState.traits.store(request.traits.rawValue, ordering: .relaxed)
    // At least a millisecond: a shorter interval would keep its watcher busy.
    let heartbeat = request.heartbeat == 0 ? 0 : max(request.heartbeat, 1_000_000)
    if request.traits.contains(.activity) { clearActivity(heartbeat: heartbeat) }
    if request.traits.contains(.heartbeat) {
      let status = prepareHeartbeats(interval: heartbeat)
      if status != .ok { return status }
    }
    if request.cancelSignal == 0 { return .ok }
    let (status, signal) = CancelSignal.make(request.cancelSignal, for: self)
    pointer.pointee.optionalState.signal.store(UInt(bitPattern: signal), ordering: .relaxed)
    if status != .ok { releaseOptionalState() }
    return status
  }

  /// Releases what `prepareOptionalState` got: the task does not run.
  func releaseOptionalState() {
    // An earlier task in the same record may have had heartbeats; its state was dropped at its end.
    if traits.contains(.heartbeat) { endHeartbeats() }
    if let signal = takeSignal() { signal.destroy() }
  }

  /// Takes the signal away from the timer thread, which would send it.
  private func takeSignal() -> CancelSignal.Pointer? {
    let bits = pointer.pointee.optionalState.signal.load(ordering: .relaxed)
    guard let signal = CancelSignal.Pointer(bitPattern: bits) else { return nil }
    TimerThread.withQueue { queue in
      signal.disarm(&queue)
      pointer.pointee.optionalState.signal.store(0, ordering: .sequentiallyConsistent)
    }
    return signal
  }

  /// Called when the task's thread is about to enter the body.
  func bodyBegins() {
    if traits.contains(.heartbeat) { beginHeartbeats() }
    let bits = pointer.pointee.optionalState.signal.load(ordering: .relaxed)
    CancelSignal.Pointer(bitPattern: bits)?.arm()
  }

  /// Called when the task's thread has left the body.
  func bodyHasEnded() {
    if traits.contains(.heartbeat) { endHeartbeats() }
    guard let signal = takeSignal() else { return }
    signal.discardPending(in: registry.root)
    signal.destroy()
  }

  /// Stops the cancel signal: the task has seen that it is asked to stop.
  ///
  /// Once it drains, it has seen the level that it has now, and abort starts the signal again.
  ///
  /// Called on the task's own thread.
  func acknowledgeCancel() {
    let word = self.word
    if !word.isCancelRequested { return }
    let isDraining = word.hasOptionalState && traits.contains(.draining)
    acknowledge(isDraining ? word.level : .abort)
  }

  /// Stops the cancel signal for this level and lower ones, if there is one.
  private func acknowledge(_ level: StopLevel) {
    let bits = pointer.pointee.optionalState.signal.load(ordering: .relaxed)
    if let signal = CancelSignal.Pointer(bitPattern: bits) {
      TimerThread.withQueue { signal.acknowledge(level, &$0) }
    }
  }

  // MARK: Which level ends its waits

  /// Whether the level is one that ends the waits of the task; if so, a check is counted (E2, C16,
  /// C17).
  ///
  /// Called on the task's own thread.
  @inline(__always)
  func endsWait() -> Bool { word.isCancelRequested && endsWaitNow() }

  @inline(never)
  private func endsWaitNow() -> Bool {
    if !isReached(word) { return false }
    countCancelCheck()
    return true
  }

  /// The same without counting, read in the single order of all sequentially consistent operations.
  var isWaitOver: Bool {
    let word = TaskWord(bits: pointer.pointee.word.load(ordering: .sequentiallyConsistent))
    return word.isCancelRequested && isReached(word)
  }

  /// Whether a word has the level at which the waits of the calling thread's task end.
  private func isReached(_ word: TaskWord) -> Bool {
    if !word.hasOptionalState { return true }
    let traits = self.traits
    if traits.contains(.shielded) { return false }
    return word.level == .abort || !traits.contains(.draining)
  }

  /// The task has heard the request to stop and finishes its work: from now on only level abort
  /// ends its waits, and starts its cancel signal again (C16).
  ///
  /// Called on the task's own thread.
  ///
  /// - Returns: `.ok`; `.cancelled` if it was told to abort already; `.invalid` if its body is over.
  func beginDrain() -> Status {
    if word.stage != .running { return Self.bodyHasEnded("tr_begin_drain") }
    if !word.hasOptionalState || !traits.contains(.draining) {
      activity.pointee.drainingSince.store(monotonicNow(), ordering: .relaxed)
      add(.draining)
      advance { $0.optionalStateAdded() }
    }
    acknowledge(.drain)
    return word.level == .abort ? .cancelled : .ok
  }

  /// From now on no level ends a wait of the task, until the matching `endShield` (C17).
  ///
  /// Called on the task's own thread.
  ///
  /// - Returns: `.ok`; `.invalid` if its body is over.
  func beginShield() -> Status {
    if word.stage != .running { return Self.bodyHasEnded("tr_shield_begin") }
    let isInside = word.hasOptionalState && traits.contains(.shielded)
    let depth = isInside ? activity.pointee.shields.load(ordering: .relaxed) : 0
    activity.pointee.shields.store(depth &+ 1, ordering: .relaxed)
    if isInside { return .ok }
    add(.shielded)
    advance { $0.optionalStateAdded() }
    return .ok
  }

  /// Ends the innermost shield.
  ///
  /// Called on the task's own thread.
  ///
  /// - Returns: `.ok`; `.invalid` if there is none.
  func endShield() -> Status {
    if !word.hasOptionalState || !traits.contains(.shielded) {
      return .invalid("tr_shield_end", "the task has no shield")
    }
    let depth = activity.pointee.shields.load(ordering: .relaxed) &- 1
    activity.pointee.shields.store(depth, ordering: .relaxed)
    if depth == 0 {
      pointer.pointee.optionalState.traits.store(
        traits.subtracting(.shielded).rawValue, ordering: .releasing)
    }
    return .ok
  }

  private static func bodyHasEnded(_ function: StaticString) -> Status {
    .invalid(function, "the body of the task is over")
  }

  /// Ends the task as `complete` does, and its optional state.
  ///
  /// It is called again if the thread leaves in the middle, which only functions that `finalize`
  /// and `leaveList` call can do.
  func completeWithOptionalState(_ how: TaskWord.Ending) {
    // The last step may release the record's reference to its group.
    let registry = self.registry
    finalize(how, in: registry)
    if ProcessState.isForkedChild { return }
    if registry.isMeasured { measureEnd(how, in: registry) }
    if !leaveList(how) { return }
    // None of the application's code runs in the task any more.
    if traits.contains(.hasWaitPlace) { WaitDescriptor.leave(self) }
    if traits.contains(.ownsToken) { dropOwnToken() }
    registry.retainStorage()
    if word.isCancelRequested { recordStop(how) }
    let phase = traits.phase
    if phase != 0 { registry.phasedTaskEnds(phase) }
    registry.countUpwards(how)
    wakeWaiters(advance { $0.ended() }, in: registry)
    registry.forEachUpwards { $0.wakeJoinersIfEmpty() }
    // The group may be freed now, and with it, by the application's code, the log's context. That
    // code runs inside no task: the record is gone.
    Worker.current?.pointee.task = nil
    if registry.parent != nil { registry.endIfUnreachable() }
    registry.releaseStorage()
  }

  /// Carries out what the end of the task means for its registry, and releases what the task held.
  ///
  /// Called on the task's own thread, while it is still alive for all other threads: the callbacks
  /// that the cancel runs may take long, and waits for the task have deadlines. Because it is
  /// finalizing, its own flag stays down, so that its outcome does not say that it was asked to
  /// stop when it was the one that asked.
  private func finalize(_ how: TaskWord.Ending, in registry: RegistryReference) {
    let traits = self.traits
    if traits.contains(.essential)
      || (how != .returned && traits.contains(.essentialOnFailure))
    {
      add(.finalizing)
      let reason = how == .returned ? CancelReason.requestedByRun : CancelReason.fatal
      name.withText { _ = registry.token.cancel(reason: reason, message: $0) }
      if ProcessState.isForkedChild { return }
    }
  }
}
