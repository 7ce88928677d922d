import CPlatform

// LOCKING: see `WorkerLoop.swift`.

/// The end of a worker's thread.
extension Worker {
  /// The destructor of the thread-specific key: the last code of the library that a thread runs.
  ///
  /// It is called in rounds. In the first, it ends the task if that is not done. In the second,
  /// when the application's destructors have run once, the thread leaves the registry.
  static func threadIsEnding(_ value: UnsafeMutableRawPointer?) {
    if ProcessState.isForkedChild { return }
    // SAFETY: the key's value is set by `threadMain`, `adopt` and here alone.
    let bits = UInt(bitPattern: value)
    let round = laterRound(bits)
    if round > 0 {
      if round == 1 { leave(currentOrDeparted.unsafelyUnwrapped) }
      return
    }
    let worker = Pointer(bitPattern: bits).unsafelyUnwrapped
    if worker.pointee.isAdopted { return adoptedThreadIsEnding(worker) }
    // The key reads nil by now, but drop and log callback must find themselves inside the task.
    setCurrent(worker)
    mustSucceed(pthread_setcancelstate(cp_cancel_disable(), nil), "pthread_setcancelstate")
    if let task = worker.pointee.task {
      let stage = worker.pointee.stage
      let how = stage == .resting ? worker.pointee.ending : TaskWord.Ending.exited
      if stage == .body || stage == .resting, task.startsAgain,
        restsAfterRun(task, how, on: worker)
      {
        if ProcessState.isForkedChild { return }
        return departs(worker)
      }
      if task.word.hasOptionalState { task.bodyHasEnded() }
      if worker.pointee.stage == .body { worker.pointee.ending = how }
      releaseAndLog(task, on: worker)
      if ProcessState.isForkedChild { return }
      complete(task, on: worker)
    }
    departs(worker)
  }

  /// The thread, which is ending, has no task any more.
  private static func departs(_ worker: Pointer) {
    setDeparted(worker)
    worker.pointee.registry.endIfUnreachable()
  }

  /// Makes the thread leave its registry; the kernel reports when it has ended.
  private static func leave(_ worker: Pointer) {
    let registry = worker.pointee.registry
    worker.pointee.life.willEnd()
    // Two for one, so that even the last threads of a crowd leave few behind them.
    registry.reapDeparted(atMost: 2, leavesToShutdown: true)
    registry.depart(worker)
    registry.releaseStorage()
  }
}
