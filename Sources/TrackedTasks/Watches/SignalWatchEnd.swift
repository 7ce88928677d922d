import CPlatform
import Synchronization

/// How a watch ends or goes to another registry, and what it knows of stops; see LOCKING in
/// `SignalWatch.swift`.
extension SignalWatch {
  /// Ends the watch, if it is for `registry`: the signals do again what they did before.
  ///
  /// - Returns: `.ok`; `.invalid` if there is no such watch; `.deadlock` on a thread of its own.
  static func end(for registry: RegistryReference) -> Status {
    let status = existing?.pointee.monitor.withLock { state in
      if state.registry != registry { return Status.invalid }
      if state.isOwnThread { return .deadlock }
      return existing?.take(from: Stage.watching, to: Stage.ending) == true ? .ok : .invalid
    }
    if status == .ok { existing?.end() }
    if status == .deadlock { return .deadlock }
    return status == .ok ? .ok : .invalid("tr_signal_watch_stop", noWatch)
  }

  /// Makes the watch, which is for `registry`, shut down another one from now on, without a moment
  /// at which no signal is watched.
  ///
  /// A stop that has come goes with it, whether it was answered or not: the caller continues with
  /// the other registry.
  ///
  /// - Returns: `.ok`; `.invalid` if there is no such watch.
  static func move(from registry: RegistryReference, to other: RegistryReference) -> Status {
    guard let this = existing else { return .invalid("tr_signal_watch_move", noWatch) }
    other.retain()
    this.awaitForcing(of: registry)
    let isMoved = this.pointee.monitor.withLock { state in
      if state.registry != registry { return false }
      if this.pointee.stage.load(ordering: .relaxed) != Stage.watching { return false }
      state.registry = other
      state.isDeadlineForced = false
      return true
    }
    (isMoved ? registry : other).release()
    if !isMoved { return .invalid("tr_signal_watch_move", noWatch) }
    this.takeOverStop(for: other)
    return .ok
  }

  static var noWatch: StaticString { "there is no watch for this registry" }

  /// The first stop that has come and that no token has reported; 0 is none.
  static var pendingStop: Int32 {
    guard let this = existing, this.isInItsProcess else { return 0 }
    let number = this.pointee.firstStop.load(ordering: .sequentiallyConsistent)
    return number != 0 && this.isStopDelivered ? 0 : number
  }

  /// Whether a stop has come: to this watch, or to the last one, or to an earlier one whose token
  /// did not report it.
  static var hasStop: Bool {
    guard let this = existing, this.isInItsProcess else { return false }
    return this.pointee.firstStop.load(ordering: .sequentiallyConsistent) != 0
      || this.pointee.hadStop.load(ordering: .sequentiallyConsistent)
  }

  // MARK: In a child of fork

  /// Restores what the signals did before, in this process and in the programs that it executes: a
  /// signal that was ignored is ignored there, too.
  ///
  /// Called by the handler of pthread_atfork(3) in the child, which has one thread.
  static func processHasForked() {
    guard let this = existing else { return }
    this.restoreHandlers()
    // Their threads do not exist here.
    this.pointee.visitors.store(0, ordering: .relaxed)
    this.pointee.leftWriting.store(0, ordering: .relaxed)
  }
}
