import CPlatform
import Synchronization

extension SignalWatch {
  static var handler: @convention(c) (Int32) -> Void {
    { SignalWatch.signalCame($0) }
  }

  private static func signalCame(_ number: Int32) {
    guard let this = existing else { return }
    let error = cp_errno()
    if this.isInItsProcess {
      let isRecorded = this.asVisitor { this.record(number) }
      if !isRecorded {
        // The watch has ended since the signal was delivered here, or another thread has installed
        // our handler again.
        cp_restore_handler(number, handler, this.pointee.previousActions + Int(number))
        cp_raise(number)
      }
    } else {
      // A signal for a child, which does not have the registry. Nothing of the parent's is touched.
      cp_restore_handler(number, handler, this.pointee.previousActions + Int(number))
      cp_raise(number)
    }
    cp_set_errno(error)
  }

  /// Requests the cancellation of a token, to which the caller has a reference; async-signal-safe.
  ///
  /// - Returns: `.ok`; `.invalid` if there is no watch that could do it; `.forked` in a child.
  static func request(_ token: TokenReference, reason: UInt32) -> Status {
    guard let this = existing else { return .invalid("tr_request_shutdown", noWatch) }
    let error = cp_errno()
    defer { cp_set_errno(error) }
    if !this.isInItsProcess { return .forked }
    var isTaken = false
    _ = this.asVisitor {
      if this.pointee.stage.load(ordering: .relaxed) != Stage.watching { return }
      isTaken = true
      this.push(token, reason: reason)
    }
    return isTaken ? .ok : .invalid("tr_request_shutdown", noWatch)
  }

  /// Wakes the watch's threads, if they exist, so that they check everything.
  static func wake() { existing?.ring() }
}

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
    let role = role(of: number)
    if role.isStop {
      _ = pointee.firstStop.compareExchange(
        expected: 0, desired: number, ordering: .sequentiallyConsistent)
      if count(number, role) >= 3 { _exit(128 + number) }
      ExitBy.stopHasCome(by: .signal)
    }
    pointee.arrived.bitwiseOr(SignalWatch.bit(number), ordering: .acquiringAndReleasing)
    ring()
  }

  /// How many stops have come.
  var stops: StopCount { StopCount(bits: pointee.stops.load(ordering: .acquiring)) }

  /// Counts a stop, unless it repeats the last one.
  ///
  /// - Returns: how many have come with it; 0 if it does not count.
  private func count(_ number: Int32, _ role: SignalRole) -> UInt64 {
    let now = monotonicNow()
    let debounce = pointee.debounce.load(ordering: .relaxed)
    var old = stops
    while true {
      guard let new = old.counting(role, at: now, debounce: debounce) else { return 0 }
      // Stored before the count that says that they came. If another thread counts first, it has
      // stored its own, or one of two signals that came at the same time names the other.
      if old.count == 0 { pointee.firstStopAt.store(now, ordering: .relaxed) }
      if old.count < 2 && new.count >= 2 {
        let first = pointee.firstStopAt.load(ordering: .relaxed)
        pointee.secondStop.store(number, ordering: .relaxed)
        pointee.secondStopAfter.store(max(0, now &- first), ordering: .relaxed)
      }
      let (done, seen) = pointee.stops.compareExchange(
        expected: old.bits, desired: new.bits, ordering: .acquiringAndReleasing)
      if done { return new.count }
      old = StopCount(bits: seen)
    }
  }

  /// What a signal asks for.
  func role(of number: Int32) -> SignalRole {
    SignalRole(bits: pointee.roles[Int(number)].load(ordering: .relaxed))
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
