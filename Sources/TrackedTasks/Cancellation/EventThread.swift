import CPlatform
import Synchronization

// LOCKING
// The timer thread's Monitor guards the queue of events and the number of event threads. An event
// is taken under it and handled without any lock.

/// The event threads, on which the application's callbacks run when something is due: those of
/// tokens whose timeout has passed, and log callbacks about such events.
///
/// The timer thread starts one when there is an event, and another when an event has waited for 20
/// ms. So callbacks run one after the other as long as they are short, and a slow one delays the
/// next by 20 ms at the most, until eight are blocked at once. A thread leaves when there is
/// nothing to do.
enum EventThread {
  // atomic: relaxed; whether the system has refused the last one. Owned by the timer thread.
  private static let refused = Atomic<Bool>(false)

  /// Whether the system has refused the last thread that was to be made; for the timer thread.
  static var isRefused: Bool { refused.load(ordering: .relaxed) }

  /// Starts a thread that is counted already; false if the system refuses it.
  ///
  /// Called by the timer thread.
  static func start() -> Bool {
    let isStarted =
      startThread(
        stackSize: RegistryOptionsCore.defaultStackSize, isDetached: true, argument: nil,
        main: { EventThread.run($0) }
      ).code == 0
    refused.store(!isStarted, ordering: .relaxed)
    return isStarted
  }

  private static func run(_: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    beginOwnThread("taskreg-events")
    // If a callback ends the thread, its event is done, and another thread is made for the
    // remaining ones.
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
    // A token does not know its registry.
    var ofTokens: SignalMask?
    while let timer = TimerThread.change({ $0.takeEvent() }) {
      switch timer.pointee.action {
      case .cancel(let token):
        let mask = ofTokens ?? .ofMain ?? .all
        ofTokens = mask
        mask.whileCalling { token.completeCancel() }
      case .heartbeat(let watch): watch.registry.callbackMask.whileCalling { watch.report() }
      case .start(let runs):
        // It may be the last of the registry, whose log's context is released then.
        runs.pointee.task.registry.callbackMask.whileCalling {
          runs.destroy(onEventThread: true)
        }
      case .systemdFailure(let watch):
        watch.pointee.registry.callbackMask.whileCalling { watch.reportFailure() }
      case .settle(let token):
        free(timer)
        let mask = ofTokens ?? .ofMain ?? .all
        ofTokens = mask
        mask.whileCalling { token.release(callsApplication: true) }
      // These run none of the application's code.
      case .signal, .wake, .systemd: fatalError("such a timer is never posted")
      }
      // The application's code may have forked.
      if ProcessState.isForkedChild { return }
    }
  }
}
