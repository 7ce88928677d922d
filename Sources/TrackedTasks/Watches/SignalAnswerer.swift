import CPlatform
import Synchronization

/// The thread that cancels tokens for signals and requests; see LOCKING in `SignalWatch.swift`.
extension UnsafeMutablePointer<SignalWatch> {
  func answer() {
    beginOwnThread("taskreg-signals")
    pointee.monitor.withLock { $0.answerer = cp_thread_self() }
    // The token that the previous answerer was cancelling, or the registry for which it was logging,
    // when a callback ended its thread.
    giveUpAnswered()
    endLogging()
    while true {
      let seen = pointee.event.load(ordering: .acquiring)
      // Read before the rest: what was requested before the end is done. Without the handlers a
      // signal that this mask lets through would do what it does without a watch.
      let (isEnding, mask) = pointee.monitor.withLock {
        ($0.isEnding, $0.hasHandlers ? $0.registry?.callbackMask : nil)
      }
      var goesOn = true
      (mask ?? .all).whileCalling { goesOn = answerAll() }
      if !goesOn { return }
      if isEnding || waits(beyond: seen, until: MainThread.nextCheck) { break }
    }
    pointee.monitor.withLock { $0.hasAnswererFinished = true }
    ring()
  }

  /// Answers everything that has come.
  ///
  /// - Returns: false if the thread must leave: it is in a child of fork, or is not the answerer any
  ///   more.
  @inline(never)
  func answerAll() -> Bool {
    answerRequests()
    if ProcessState.isForkedChild || !answerSignals() { return false }
    completeRaised()
    if ProcessState.isForkedChild { return false }
    runLeftCallbacks()
    if ProcessState.isForkedChild { return false }
    reportLostSignals()
    return !ProcessState.isForkedChild
  }

  /// Runs the callbacks of the token whose flags the receiver has raised.
  private func completeRaised() {
    let bits = pointee.raised.exchange(0, ordering: .acquiring)
    if let pointer = UnsafeMutablePointer<TokenStorage>(bitPattern: bits) {
      TokenReference(pointer).completeCancel()
    }
  }

  /// Runs the callbacks of aborted tasks for which the receiver got no thread.
  private func runLeftCallbacks() {
    if !pointee.leavesCallbacks.exchange(false, ordering: .acquiring) { return }
    let registry = pointee.monitor.withLock { state in
      state.registry?.retain()
      return state.registry
    }
    if let registry { TreeCallbacks.run(in: registry, thenReleasing: true) }
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
  ///
  /// - Returns: as `answerAll`.
  private func answerSignals() -> Bool {
    let first = pointee.firstStop.load(ordering: .sequentiallyConsistent)
    if first != 0 && !answer(first) { return false }
    for number in (1...SignalWatch.lastSignal).reversed() where !answer(number) { return false }
    return true
  }

  /// Cancels the registry's token for a signal, or explains, if it has come.
  ///
  /// - Returns: as `answerAll`.
  private func answer(_ number: Int32) -> Bool {
    let bit = SignalWatch.bit(number)
    if pointee.arrived.load(ordering: .acquiring) & bit == 0 { return true }
    pointee.arrived.bitwiseAnd(~bit, ordering: .acquiringAndReleasing)
    let role = role(of: number)
    let token = pointee.monitor.withLock { state in
      let token = state.registry?.token
      token?.retain()
      return token
    }
    guard let token else { return true }
    // A stop that an earlier watch has left is one, whatever its signal asks for now.
    let isLeft =
      !role.isStop && !token.isCancelled
      && pointee.firstStop.load(ordering: .sequentiallyConsistent) == number
    if role.kind == .explain && !isLeft {
      token.release()
      return explain(number)
    }
    let reload = role.reason != 0 ? role.reason : CancelReason.reloadRequested
    withFixedText {
      $0.append(signal: number)
    } _: {
      cancel(
        token, reason: role.isStop || isLeft ? stopReason(of: number) : reload, message: $0)
    }
    return !ProcessState.isForkedChild
  }

  /// The reason that a token gets for a stop by a signal, or, if the number is 0, by none.
  func stopReason(of number: Int32) -> UInt32 {
    let role = role(of: number)
    return role.isStop && role.reason != 0 ? role.reason : CancelReason.userRequested
  }

  /// How long an explanation is written, in nanoseconds, and how much later the answerer is left to
  /// it: a stop may have come.
  private static var explainTime: Int64 { 1_000_000_000 }
  private static var explainPatience: Int64 { 500_000_000 }

  /// Writes what the live tasks are doing to the descriptor of a signal; a failure is not reported.
  ///
  /// What the descriptor does not take within `explainTime` is left out. A write that blocks for
  /// longer holds up this thread, which is not the answerer any more then; as long as it does,
  /// further explanations are left out, and so is one for which there is no answerer.
  ///
  /// - Returns: as `answerAll`.
  private func explain(_ number: Int32) -> Bool {
    if pointee.leftWriting.load(ordering: .relaxed) != 0 { return true }
    if !pointee.monitor.withLock({ $0.isOwnThread }) { return true }
    guard let registry = beginLogging() else { return true }
    let report = registry.explain().1
    if ProcessState.isForkedChild { return false }
    endLogging()
    guard let report else { return true }
    let descriptor = pointee.explainTo[Int(number)].load(ordering: .relaxed)
    let limit = Deadline.after(Self.explainTime)
    pointee.monitor.withLock { $0.explainsUntil = limit.extended(by: Self.explainPatience) }
    // The receiver watches the time.
    ring()
    // Other threads of the library must not wait for this one to wait (P9).
    MainThread.beginWaiting()
    _ = report.writeText(to: .descriptor(descriptor, until: limit))
    MainThread.endWaiting()
    let isAnswerer = pointee.monitor.withLock { state in
      if !state.isOwnThread { return false }
      state.explainsUntil = .never
      return true
    }
    if !isAnswerer { pointee.leftWriting.wrappingSubtract(1, ordering: .relaxed) }
    report.destroy()
    return isAnswerer
  }

  /// The registry, with a reference that `endLogging` releases, also if a log callback ends the
  /// thread before.
  func beginLogging() -> RegistryReference? {
    let registry = pointee.monitor.withLock { state in
      state.registry?.retain()
      return state.registry
    }
    if let registry {
      pointee.logging.store(UInt(bitPattern: registry.pointer), ordering: .relaxed)
    }
    return registry
  }

  func endLogging() {
    let bits = pointee.logging.exchange(0, ordering: .relaxed)
    if let pointer = UnsafeMutablePointer<RegistryStorage>(bitPattern: bits) {
      RegistryReference(pointer).release()
    }
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
