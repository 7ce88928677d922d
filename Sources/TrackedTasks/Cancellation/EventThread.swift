import CPlatform

// LOCKING
// What the threads are to do, and how many there are, the timer thread's Monitor guards. An event is taken under it
// and performed without any lock.

/// The threads of the library on which the application's callbacks run when something is due: those of tokens whose
/// timeout has passed, and log callbacks that hear of it.
///
/// The timer thread starts one when there is an event, and another when an event has waited for 20 ms: so callbacks
/// run one after the other as long as they are brief, and one that is not delays the next by no more, up to eight
/// that block at once. Each leaves when there is nothing to be done.
enum EventThread {
  /// Starts one that is counted already; false when the system refuses it.
  static func start() -> Bool {
    startThread(
      stackSize: RegistryOptionsCore.defaultStackSize, isDetached: true, argument: nil,
      main: { EventThread.run($0) }
    ).code == 0
  }

  private static func run(_: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    beginOwnThread("taskreg-events")
    // A callback may end the thread: then it has done its part, and another is made for what is left.
    CallFrame.call(
      .library, holdingUp: .ownThread, nil, { _ in EventThread.work() },
      ifLeft: { _ in
        TimerThread.change {
          $0.eventThreadIsGone()
          $0.threadLeaves()
        }
      })
    return nil
  }

  private static func work() {
    // A token does not know whose it is.
    var ofTokens: SignalMask?
    while let timer = TimerThread.change({ $0.takeEvent() }) {
      switch timer.pointee.action {
      case .cancel(let token):
        let mask = ofTokens ?? .ofMain ?? .all
        ofTokens = mask
        mask.whileCalling { token.completeCancel() }
      case .heartbeat(let watch): watch.registry.callbackMask.whileCalling { watch.report() }
      case .systemdFailure(let watch):
        watch.pointee.registry.callbackMask.whileCalling { watch.reportFailure() }
      // Not the application's code.
      case .signal, .wake, .systemd: fatalError("such a timer is never posted")
      }
      // The application's code may have forked.
      if ProcessState.isForkedChild { return }
    }
  }
}
