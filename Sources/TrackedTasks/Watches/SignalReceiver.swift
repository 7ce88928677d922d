import CPlatform
import Synchronization

/// The thread that signals wake; see LOCKING in `SignalWatch.swift`.
extension UnsafeMutablePointer<SignalWatch> {
  /// The receiver: forces the deadline and aborts when a second stop has come, and keeps an
  /// answerer.
  ///
  /// None of the application's code runs here.
  func receive() {
    beginOwnThread("taskreg-watch")
    var isOpen = false
    var check = HandlerCheck()
    while true {
      let seen = pointee.event.load(ordering: .acquiring)
      if ProcessState.isForkedChild { return }
      // One thread must be there that the signals can interrupt, in case all others block them. A
      // signal that is pending arrives at once: not before there is a handler.
      if !isOpen && pointee.monitor.withLock({ $0.hasHandlers }) {
        unblockSignals()
        isOpen = true
      }
      answerSecondStop()
      let explainsUntil = leaveStuckAnswerer()
      let (isEnding, isAnswered) = pointee.monitor.withLock { ($0.isEnding, $0.hasAnswerer) }
      if isEnding { return joinAnswerer() }
      let retry = isAnswered || makeAnswerer() ? Deadline.never : Deadline.after(100_000_000)
      check.run(self)
      var until = retry.nanoseconds < check.next.nanoseconds ? retry : check.next
      if explainsUntil.nanoseconds < until.nanoseconds { until = explainsUntil }
      let mainCheck = MainThread.nextCheck
      if mainCheck.nanoseconds < until.nanoseconds { until = mainCheck }
      if waits(beyond: seen, until: until) { return }
    }
  }

  /// Sleeps until there is something to check.
  ///
  /// - Returns: whether the process must end, as no thread is left that a signal could concern.
  func waits(beyond seen: UInt32, until deadline: Deadline) -> Bool {
    MainThread.beginWaiting()
    let isOver = MainThread.isLastToWait
    if !isOver {
      if deadline.isNever {
        cp_futex_wait(self, seen, nil)
      } else {
        var limit = deadline.timespec
        cp_futex_wait(self, seen, &limit)
      }
    }
    MainThread.endWaiting()
    return isOver
  }

  func unblockSignals() {
    let signals = pointee.signals.load(ordering: .relaxed)
    var set = cp_no_signals()
    for number in 1...SignalWatch.lastSignal where signals & SignalWatch.bit(number) != 0 {
      sigaddset(&set, number)
    }
    mustSucceed(pthread_sigmask(SIG_UNBLOCK, &set, nil), "pthread_sigmask")
  }

  /// Forces the deadline of the registry and raises its level to abort, if a second stop has come.
  func answerSecondStop() {
    guard let registry = takeForcedRegistry() else { return }
    raiseFlags(of: registry.token)
    registry.forceDeadline(
      bySecond: pointee.secondStop.load(ordering: .relaxed),
      after: pointee.secondStopAfter.load(ordering: .relaxed),
      of: pointee.firstStop.load(ordering: .sequentiallyConsistent))
    CallbackRun.begin(in: registry) {
      pointee.leavesCallbacks.store(true, ordering: .releasing)
      ring()
    }
    // Not the last one: the watch has another, and is not moved before.
    registry.release()
    pointee.monitor.withLock { $0.isForcing = false }
  }

  /// The registry, with a reference, if a second stop has come and its deadline was not forced yet.
  func takeForcedRegistry() -> RegistryReference? {
    if stops.count < 2 { return nil }
    return pointee.monitor.withLock { state in
      if state.isDeadlineForced { return nil }
      state.isDeadlineForced = true
      state.isForcing = state.registry != nil
      state.registry?.retain()
      return state.registry
    }
  }

  /// Cancels the registry's token for the first stop, if the answerer has not: it may be held up by
  /// what came before.
  private func raiseFlags(of token: TokenReference) {
    // It has yet to run the callbacks of another token, which was watched before.
    if pointee.raised.load(ordering: .relaxed) != 0 { return }
    let number = pointee.firstStop.load(ordering: .sequentiallyConsistent)
    withFixedText {
      $0.append(signal: number)
    } _: {
      if token.raiseFlags(reason: stopReason(of: number), message: $0) {
        token.retain()
        pointee.raised.store(UInt(bitPattern: token.pointer), ordering: .releasing)
        ring()
      }
    }
  }

  /// Whether there is a log in which a lost signal can be reported.
  var isHeard: Bool {
    pointee.monitor.withLock { $0.registry?.options.log.isListening == true }
  }

  /// The signals that have another handler than ours.
  var taken: UInt64 {
    let installed = pointee.installed.load(ordering: .acquiring)
    var taken: UInt64 = 0
    for number in 1...SignalWatch.lastSignal where installed & SignalWatch.bit(number) != 0 {
      if !cp_has_plain_handler(number, SignalWatch.handler) { taken |= SignalWatch.bit(number) }
    }
    return taken
  }

  func report(lost signals: UInt64) {
    pointee.lost.bitwiseOr(signals, ordering: .releasing)
    ring()
  }

  /// Logs the signals for which the application has installed another handler.
  ///
  /// The callback may end the thread: then the next answerer reports those that are left.
  func reportLostSignals() {
    if pointee.lost.load(ordering: .acquiring) == 0 { return }
    guard let registry = beginLogging() else { return }
    for number in 1...SignalWatch.lastSignal {
      let bit = SignalWatch.bit(number)
      if pointee.lost.load(ordering: .acquiring) & bit == 0 { continue }
      pointee.lost.bitwiseAnd(~bit, ordering: .acquiringAndReleasing)
      let empty: StaticString = ""
      withFixedText {
        $0.append(signal: number)
        $0.append(" has another handler now, and shuts nothing down any more")
      } _: {
        registry.sendUnheld(
          LogRecord(
            level: LogEventNumber.warning, event: LogEventNumber.signalLost, code: number,
            task: empty.utf8Start, message: $0, registry: registry))
      }
      if ProcessState.isForkedChild { return }
    }
    endLogging()
  }
}

/// When the receiver checks whether the handlers are still installed; a change is not reported by
/// the system.
///
/// The first check is after a second; the intervals then double up to a minute. There are none
/// without a log.
struct HandlerCheck {
  private(set) var next = Deadline.never
  private var pause: Int64 = 1_000_000_000
  private var reported: UInt64 = 0

  private static var longestPause: Int64 { 60_000_000_000 }

  /// Checks, if it is time.
  mutating func run(_ watch: SignalWatch.Pointer) {
    if !watch.isHeard {
      next = .never
    } else if next.isNever {
      next = .after(pause)
    } else if next.hasPassed {
      let taken = watch.taken
      if taken & ~reported != 0 { watch.report(lost: taken & ~reported) }
      reported = taken
      pause = min(pause * 2, Self.longestPause)
      next = .after(pause)
    }
  }
}

extension FixedText {
  /// Appends a signal's name, "SIGTERM", or "signal 40" if it has none.
  mutating func append(signal number: Int32) {
    if let name = cp_signal_name(number) {
      append("SIG")
      append(utf8: UnsafeRawPointer(name).assumingMemoryBound(to: UInt8.self))
    } else {
      append("signal ")
      append(number)
    }
  }
}
