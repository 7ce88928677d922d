import CPlatform
import Synchronization

// LOCKING
// The topmost registry's Monitor guards how many runs are under way. The thread of a run holds a reference
// to its registry, which keeps those above it alive, until it has counted itself out.

/// The callbacks of tasks that a deadline has asked to stop, run on a thread of the library's own: a
/// callback may take its time, and the call that waited has a deadline (C7, J4).
struct CallbackRun {
  private let topmost: RegistryReference

  /// How long the call waits for its callbacks: most of them are brief, and have run when it returns.
  private static var patience: Int64 { 10_000_000 }

  /// Begins to run the callbacks of those tasks of `registry` and the groups below that were asked to stop.
  ///
  /// Called after flags have risen, under no lock. Where the system refuses the thread, the caller runs them.
  ///
  /// - Returns: the run; nil if there is nothing to be run, or it is done.
  static func begin(in registry: RegistryReference) -> CallbackRun? {
    if !registry.hasCallbacksToRun { return nil }
    let topmost = registry.topmost
    registry.retainStorage()
    topmost.monitor.withLock { $0.callbackRuns += 1 }
    let code = startThread(
      stackSize: RegistryOptionsCore.defaultStackSize, isDetached: true,
      argument: UnsafeMutableRawPointer(registry.pointer)
    ) { argument in
      beginOwnThread("taskreg-cancel")
      // One that leaves the thread ends this run alone.
      cp_call_guarded({ CallbackRun.run($0) }, { CallbackRun.end($0) }, argument)
      CallbackRun.end(argument)
      return nil
    }.code
    if code == 0 { return CallbackRun(topmost: topmost) }
    run(UnsafeMutableRawPointer(registry.pointer))
    end(UnsafeMutableRawPointer(registry.pointer))
    return nil
  }

  private static func run(_ argument: UnsafeMutableRawPointer?) {
    guard let registry = RegistryReference(of: argument) else { return }
    registry.callbackMask.whileCalling {
      registry.forEachInTree {
        $0.runTaskCallbacks()
        return !ProcessState.isForkedChild
      }
    }
  }

  private static func end(_ argument: UnsafeMutableRawPointer?) {
    guard !ProcessState.isForkedChild, let registry = RegistryReference(of: argument) else {
      return
    }
    registry.topmost.monitor.withLock { state in
      state.callbackRuns -= 1
      state.waiters.wake(WaitKey.callbacks)
    }
    registry.releaseStorage()
  }

  /// Waits until all runs are over, for a moment.
  func wait() { _ = topmost.waitForCallbackRuns(until: .after(Self.patience)) }
}

extension RegistryReference {
  fileprivate init?(of argument: UnsafeMutableRawPointer?) {
    guard let argument else { return nil }
    self.init(argument.assumingMemoryBound(to: RegistryStorage.self))
  }

  /// Whether a task that was asked to stop has a callback that nobody runs.
  fileprivate var hasCallbacksToRun: Bool {
    var has = false
    forEachInTree { registry in
      if registry.pointer.pointee.taskCallbacks.load(ordering: .sequentiallyConsistent) == 0 {
        return true
      }
      registry.pointer.pointee.records.forEach { task in
        has = !task.pointer.pointee.callbacks.isEmpty && task.word.isCancelRequested
        return !has
      }
      return !has
    }
    return has
  }

  /// Waits until no callbacks are being run on threads made for that, which the topmost registry counts, and none that
  /// `sendUnheld` calls.
  fileprivate func waitForCallbackRuns(until deadline: Deadline) -> WaitEnd {
    monitor.wait(for: WaitKey.callbacks, until: deadline) { hasNoCallbackRuns }
  }

  /// The same for a shutdown, which a second signal leaves so many nanoseconds.
  func waitForCallbackRuns(until deadline: Deadline, ifForced allowance: Int64) -> WaitEnd {
    let end = monitor.wait(for: WaitKey.callbacks, until: deadline) {
      hasNoCallbackRuns || isDeadlineForced
    }
    if end != .ready || hasNoCallbackRuns { return end }
    let forced = Deadline.after(allowance)
    return waitForCallbackRuns(
      until: forced.nanoseconds < deadline.nanoseconds ? forced : deadline)
  }

  /// One of them may be the caller.
  private var hasNoCallbackRuns: Bool {
    let isOwn = CallFrame.isHoldingUp {
      if case .log(let registry) = $0 { registry.isWithin(self) } else { false }
    }
    return monitor.withLock { $0.callbackRuns == (isOwn ? 1 : 0) }
  }
}
