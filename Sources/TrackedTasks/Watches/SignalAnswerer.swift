import CPlatform
import Synchronization

/// The thread that cancels tokens for signals and requests; see LOCKING in `SignalWatch.swift`.
extension UnsafeMutablePointer<SignalWatch> {
  /// Makes an answerer; false if the system refuses a thread.
  func makeAnswerer() -> Bool {
    // Before the thread runs: it may have ended when this continues.
    pointee.monitor.withLock { state in
      state.answerer = pthread_t()
      state.hasAnswerer = true
    }
    let (code, _) = startThread(
      stackSize: RegistryOptionsCore.defaultStackSize, argument: self,
      main: {
        cp_call_guarded(
          // SAFETY: the watch, which is never freed.
          { $0.unsafelyUnwrapped.assumingMemoryBound(to: SignalWatch.self).answer() },
          { $0.unsafelyUnwrapped.assumingMemoryBound(to: SignalWatch.self).answererLeaves() }, $0)
        return nil
      })
    if code != 0 { pointee.monitor.withLock { $0.hasAnswerer = false } }
    return code == 0
  }

  /// Waits for the answerer to finish, however long the callbacks take that it runs.
  ///
  /// An answerer whose thread a callback has ended is replaced, so that nothing is left unanswered.
  func joinAnswerer() {
    while true {
      let seen = pointee.event.load(ordering: .acquiring)
      let (isThere, hasFinished, thread) = pointee.monitor.withLock {
        ($0.hasAnswerer, $0.hasAnswererFinished, $0.answerer)
      }
      if hasFinished {
        // EINVAL if a callback has detached it, as code does that takes the thread for its own.
        _ = pthread_join(thread, nil)
        return
      }
      if !isThere && !makeAnswerer() { return answerAll() }
      cp_futex_wait(self, seen, nil)
    }
  }

  /// Called when a callback of the application's ends the answerer's thread: the receiver makes
  /// another one.
  ///
  /// It detaches itself: destructors of the application's may take long in it.
  func answererLeaves() {
    if ProcessState.isForkedChild { return }
    _ = pthread_detach(pthread_self())  // EINVAL if the callback has done so
    pointee.monitor.withLock { $0.hasAnswerer = false }
    ring()
  }

  func answer() {
    beginOwnThread("taskreg-signals")
    pointee.monitor.withLock { $0.answerer = pthread_self() }
    // The token that the previous answerer was cancelling when a callback ended its thread.
    giveUpAnswered()
    while true {
      let seen = pointee.event.load(ordering: .acquiring)
      // Read before the rest: what was requested before the end is done.
      let (isEnding, mask) = pointee.monitor.withLock {
        ($0.isEnding, $0.registry?.callbackMask)
      }
      (mask ?? .all).whileCalling { answerAll() }
      if ProcessState.isForkedChild { return }
      if isEnding || waits(beyond: seen, until: MainThread.nextLook) { break }
    }
    pointee.monitor.withLock { $0.hasAnswererFinished = true }
    ring()
  }

  func answerAll() {
    answerRequests()
    if ProcessState.isForkedChild { return }
    answerSignals()
    if ProcessState.isForkedChild { return }
    runLeftCallbacks()
    if ProcessState.isForkedChild { return }
    reportLostSignals()
  }

  /// Runs the callbacks of aborted tasks for which the receiver got no thread.
  private func runLeftCallbacks() {
    if !pointee.leavesCallbacks.exchange(false, ordering: .acquiring) { return }
    let registry = pointee.monitor.withLock { state in
      state.registry?.retain()
      return state.registry
    }
    guard let registry else { return }
    registry.forEachInTree {
      $0.runTaskCallbacks()
      return !ProcessState.isForkedChild
    }
    if !ProcessState.isForkedChild { registry.release() }
  }

  func answerRequests() {
    var bits = pointee.requests.load(ordering: .acquiring)
    // One at a time, so that none is lost if a callback ends the thread. No other thread takes any
    // off.
    while let pointer = UnsafeMutablePointer<TokenStorage>(bitPattern: bits) {
      let (done, seen) = pointee.requests.compareExchange(
        expected: bits, desired: pointer.pointee.nextRequested, ordering: .acquiring)
      if done {
        cancel(TokenReference(pointer), reason: pointer.pointee.requestedReason, message: nil)
        if ProcessState.isForkedChild { return }
        bits = pointee.requests.load(ordering: .acquiring)
      } else {
        bits = seen
      }
    }
  }

  /// Cancels the registry's token for the signals that have come: for a stop, if there is one, as
  /// it takes precedence over a reload, and for the first of several stops.
  func answerSignals() {
    let first = pointee.firstStop.load(ordering: .sequentiallyConsistent)
    if first != 0 { answer(first) }
    for number in (1...SignalWatch.lastSignal).reversed() where !ProcessState.isForkedChild {
      answer(number)
    }
  }

  /// Cancels the registry's token for a signal, or explains, if it has come.
  func answer(_ number: Int32) {
    let bit = SignalWatch.bit(number)
    if pointee.arrived.load(ordering: .acquiring) & bit == 0 { return }
    pointee.arrived.bitwiseAnd(~bit, ordering: .acquiringAndReleasing)
    let role = role(of: number)
    let token = pointee.monitor.withLock { state in
      let token = state.registry?.token
      token?.retain()
      return token
    }
    guard let token else { return }
    // A stop that an earlier watch has left is one, whatever its signal asks for now.
    let isLeft =
      !role.isStop && !token.isCancelled
      && pointee.firstStop.load(ordering: .sequentiallyConsistent) == number
    if role.kind == .explain && !isLeft {
      token.release()
      return explain(number)
    }
    let isStop = role.isStop || isLeft
    let usual = isStop ? CancelReason.userRequested : CancelReason.reloadRequested
    let reason = role.isStop == isStop && role.reason != 0 ? role.reason : usual
    withFixedText {
      $0.append(signal: number)
    } _: {
      cancel(token, reason: reason, message: $0)
    }
  }

  /// Writes what the live tasks are doing to the descriptor of a signal; a failure is not reported.
  private func explain(_ number: Int32) {
    let registry = pointee.monitor.withLock { state in
      state.registry?.retain()
      return state.registry
    }
    guard let registry else { return }
    if let report = registry.explain().1 {
      _ = report.writeText(
        to: .descriptor(pointee.explainTo[Int(number)].load(ordering: .relaxed)))
      report.destroy()
    }
    registry.release()
  }

  /// Cancels a token, and releases the caller's reference.
  func cancel(_ token: TokenReference, reason: UInt32, message: UnsafePointer<UInt8>?) {
    pointee.answered.store(UInt(bitPattern: token.pointer), ordering: .relaxed)
    _ = token.cancel(reason: reason, message: message)
    if !ProcessState.isForkedChild { giveUpAnswered() }
  }

  func giveUpAnswered() {
    let bits = pointee.answered.exchange(0, ordering: .relaxed)
    if let pointer = UnsafeMutablePointer<TokenStorage>(bitPattern: bits) {
      TokenReference(pointer).release()
    }
  }
}
