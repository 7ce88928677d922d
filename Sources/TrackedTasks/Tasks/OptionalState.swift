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

  /// The phase of a shutdown in which the task is asked to stop (E5).
  ///
  /// Requires a reference.
  var phase: UInt32 { word.hasOptionalState ? traits.phase : 0 }

  /// Adds a trait; called on the task's own thread.
  func add(_ trait: TaskTraits) {
    let known = word.hasOptionalState ? traits : []
    pointer.pointee.optionalState.traits.store(known.union(trait).rawValue, ordering: .releasing)
  }

  /// Makes every thread that raises the flag check for a wait on a condition variable.
  ///
  /// Called on the task's own thread, from its body.
  func announceConditionWaits() {
    if word.hasOptionalState { return }
    add([])
    advance { $0.optionalStateAdded() }
  }

  /// Whether the calling thread's task has waited for a descriptor.
  var hasWaitPlace: Bool { word.hasOptionalState && traits.contains(.hasWaitPlace) }

  /// Makes every thread that raises the flag check for a `WaitDescriptor`.
  ///
  /// Called on the task's own thread while it is still alive.
  func announceWaitPlace() {
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
    if request.traits.contains(.namedThread) {
      activity.pointee.threadName.store(request.threadName.0, at: 0)
      activity.pointee.threadName.store(request.threadName.1, at: 1)
    }
    if request.traits.contains(.heartbeat) {
      let status = prepareHeartbeats(interval: heartbeat)
      if status != .ok { return status }
    }
    if request.traits.contains(.scheduled) {
      let status = prepareScheduling(request.scheduling)
      if status != .ok {
        if request.traits.contains(.heartbeat) { endHeartbeats() }
        return status
      }
    }
    if request.traits.contains(.startsAgain), let policy = request.again {
      let status = prepareRuns(
        policy.pointee, stackSize: registry.stackSize(for: request),
        fresh: request.wantsFreshThread)
      if status != .ok {
        releaseOptionalState()
        return status
      }
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
    if traits.contains(.startsAgain) { endRuns() }
    if traits.contains(.scheduled) { endScheduling() }
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
  ///
  /// - Parameter wasAsked: whether the task was asked to stop before its thread had entered it.
  /// - Returns: false if the body does not run again (B2).
  @discardableResult
  func bodyBegins(wasAsked: Bool = false) -> Bool {
    if traits.contains(.unjoined) { Worker.current?.beginsUnjoinedTask() }
    let startsAgain = traits.contains(.startsAgain)
    if startsAgain && !runBegins(wasAsked: wasAsked) { return false }
    if traits.contains(.scheduled) {
      applyScheduling()
      if ProcessState.isForkedChild { return false }
    }
    if traits.contains(.namedThread), let worker = Worker.current {
      let name = activity
      Worker.setKernelName(
        name.pointee.threadName[0], name.pointee.threadName[1], on: worker)
    }
    if traits.contains(.heartbeat) && !(startsAgain && isRunAgain) { beginHeartbeats() }
    let bits = pointer.pointee.optionalState.signal.load(ordering: .relaxed)
    CancelSignal.Pointer(bitPattern: bits)?.arm()
    return true
  }

  /// Stops sending the cancel signal to the task's thread, which leaves a run; the next one arms it
  /// again.
  func restCancelSignal() {
    let bits = pointer.pointee.optionalState.signal.load(ordering: .relaxed)
    guard let signal = CancelSignal.Pointer(bitPattern: bits) else { return }
    TimerThread.withQueue { signal.rest(&$0) }
    signal.discardPending(in: registry.root)
  }

  /// Called when the task's thread has left the body.
  func bodyHasEnded() {
    if traits.contains(.startsAgain) { endRuns() }
    if traits.contains(.heartbeat) { endHeartbeats() }
    if traits.contains(.scheduled) { endScheduling() }
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
  func acknowledge(_ level: StopLevel) {
    let bits = pointer.pointee.optionalState.signal.load(ordering: .relaxed)
    if let signal = CancelSignal.Pointer(bitPattern: bits) {
      TimerThread.withQueue { signal.acknowledge(level, &$0) }
    }
  }
}
