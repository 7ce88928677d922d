import CPlatform
import Synchronization

// LOCKING
// The root registry's Monitor guards the number of runs under way. The thread of a run holds a
// reference to its registry, which keeps the ancestors alive, until it has uncounted itself.

/// The callbacks of tasks that a deadline has asked to stop, run on a thread of the library's own:
/// a callback may take long, and the call that waited has a deadline (C7, J4).
struct CallbackRun {
  private let root: RegistryReference

  /// How long the call waits for its callbacks, in nanoseconds: most of them are short, and have
  /// run when it returns.
  private static var patience: Int64 { 10_000_000 }

  /// Starts to run the callbacks of the tasks of `registry`, and of the groups below it, that were
  /// asked to stop.
  ///
  /// Called after flags have risen, without any lock.
  ///
  /// - Parameters:
  ///   - registry: where.
  ///   - elsewhere: called instead of the callbacks if the system refuses the thread; nil: the
  ///     caller runs them.
  /// - Returns: the run; nil if there is nothing to run, or it is done.
  @discardableResult
  static func begin(
    in registry: RegistryReference, orElse elsewhere: (() -> Void)? = nil
  ) -> CallbackRun? {
    if !registry.hasCallbacksToRun { return nil }
    let root = registry.root
    registry.retainStorage()
    root.monitor.withLock { $0.callbackRuns += 1 }
    let code = startThread(
      stackSize: RegistryOptionsCore.defaultStackSize, isDetached: true,
      argument: UnsafeMutableRawPointer(registry.pointer)
    ) { argument in
      beginOwnThread("taskreg-cancel")
      // A callback may end the thread.
      cp_call_guarded({ CallbackRun.run($0) }, { CallbackRun.end($0) }, argument)
      CallbackRun.end(argument)
      return nil
    }.code
    if code == 0 { return CallbackRun(root: root) }
    let argument = UnsafeMutableRawPointer(registry.pointer)
    if let elsewhere {
      elsewhere()
    } else {
      CallFrame.call(
        .library, argument, { CallbackRun.run($0) }, ifLeft: { CallbackRun.end($0) })
    }
    end(argument)
    return nil
  }

  private static func run(_ argument: UnsafeMutableRawPointer?) {
    guard let registry = RegistryReference(of: argument) else { return }
    registry.callbackMask.whileCalling { TreeCallbacks.run(in: registry) }
  }

  private static func end(_ argument: UnsafeMutableRawPointer?) {
    guard !ProcessState.isForkedChild, let registry = RegistryReference(of: argument) else {
      return
    }
    registry.root.monitor.withLock { state in
      state.callbackRuns -= 1
      state.waiters.wake(WaitKey.callbacks)
    }
    registry.releaseStorage()
  }

  /// Waits briefly until all runs are over.
  func wait() { _ = root.waitForCallbackRuns(until: .after(Self.patience)) }
}

extension RegistryReference {
  fileprivate init?(of argument: UnsafeMutableRawPointer?) {
    guard let argument else { return nil }
    self.init(argument.assumingMemoryBound(to: RegistryStorage.self))
  }

  /// Whether a task that was asked to stop has a callback that no thread is running.
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

  /// Waits until no callbacks run on threads made for them, which the root registry counts, and
  /// none that `sendUnheld` calls.
  fileprivate func waitForCallbackRuns(until deadline: Deadline) -> WaitEnd {
    monitor.wait(for: WaitKey.callbacks, until: deadline) { hasNoCallbackRuns }
  }

  /// The same for a shutdown; once its deadline is forced, it waits `allowance` nanoseconds more at
  /// the most.
  func waitForCallbackRuns(until deadline: Deadline, ifForced allowance: Int64) -> WaitEnd {
    let end = monitor.wait(for: WaitKey.callbacks, until: deadline) {
      hasNoCallbackRuns || isDeadlineForced
    }
    if end != .ready || hasNoCallbackRuns { return end }
    let forced = Deadline.after(allowance)
    return waitForCallbackRuns(
      until: forced.nanoseconds < deadline.nanoseconds ? forced : deadline)
  }

  /// The caller may be in one of them.
  private var hasNoCallbackRuns: Bool {
    let isOwn = CallFrame.isHoldingUp {
      if case .log(let registry) = $0 { registry.isWithin(self) } else { false }
    }
    return monitor.withLock { $0.callbackRuns == (isOwn ? 1 : 0) }
  }
}
