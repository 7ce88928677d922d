import CPlatform
import Synchronization

/// The handlers of a signal watch: what they record, how they are installed and restored.
extension UnsafeMutablePointer<SignalWatch> {
  /// Runs `body` if there is a watch, whose end waits for it; async-signal-safe if `body` is.
  ///
  /// - Returns: whether there is one.
  func asVisitor(_ body: () -> Void) -> Bool {
    pointee.visitors.wrappingAdd(1, ordering: .sequentiallyConsistent)
    let isWatching = pointee.stage.load(ordering: .sequentiallyConsistent) != SignalWatch.Stage.none
    if isWatching { body() }
    pointee.visitors.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    return isWatching
  }

  /// Records a signal that has come.
  func record(_ number: Int32) {
    if !isReload(number) {
      _ = pointee.firstStop.compareExchange(
        expected: 0, desired: number, ordering: .sequentiallyConsistent)
      let count = pointee.stops.wrappingAdd(1, ordering: .relaxed).newValue
      if count >= 3 { _exit(128 + number) }
      ExitBy.stopHasCome()
    }
    pointee.arrived.bitwiseOr(SignalWatch.bit(number), ordering: .acquiringAndReleasing)
    ring()
  }

  func isReload(_ number: Int32) -> Bool {
    number == SIGHUP && pointee.hangUpReloads.load(ordering: .relaxed)
  }

  /// Puts a token on the list of requests, once.
  func push(_ token: TokenReference, reason: UInt32) {
    if token.pointer.pointee.isRequested.exchange(true, ordering: .relaxed) { return }
    token.retain()
    token.pointer.pointee.requestedReason = reason
    var first = pointee.requests.load(ordering: .relaxed)
    while true {
      token.pointer.pointee.nextRequested = first
      let (done, seen) = pointee.requests.compareExchange(
        expected: first, desired: UInt(bitPattern: token.pointer), ordering: .releasing)
      if done { break }
      first = seen
    }
    ring()
  }

  /// Installs the handlers; on failure the previous ones are restored.
  func installHandlers() -> Status {
    let signals = pointee.signals.load(ordering: .relaxed)
    for number in 1...SignalWatch.lastSignal where signals & SignalWatch.bit(number) != 0 {
      let action = pointee.previousActions + Int(number)
      // Stored before ours is installed, as a child may need it at once.
      let isKnown = cp_get_previous(number, SignalWatch.handler, action) == 0
      pointee.installed.bitwiseOr(SignalWatch.bit(number), ordering: .acquiringAndReleasing)
      if !isKnown || cp_set_handler(number, SignalWatch.handler) != 0 {
        restoreHandlers()
        return .system
      }
    }
    return .ok
  }

  /// Restores what the signals did before, except where the application has installed another
  /// handler.
  func restoreHandlers() {
    let installed = pointee.installed.exchange(0, ordering: .acquiringAndReleasing)
    for number in 1...SignalWatch.lastSignal where installed & SignalWatch.bit(number) != 0 {
      cp_restore_handler(number, SignalWatch.handler, pointee.previousActions + Int(number))
    }
  }
}
