import CPlatform
import Synchronization

/// The answerer's thread: it is made, replaced if a callback ends it or it is stuck, and joined; see
/// LOCKING in `SignalWatch.swift`.
extension UnsafeMutablePointer<SignalWatch> {
  /// Makes an answerer; false if the system refuses a thread.
  func makeAnswerer() -> Bool {
    // Before the thread runs: it may have ended when this continues.
    pointee.monitor.withLock { state in
      state.answerer = cp_thread(0)
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
  /// An answerer whose thread a callback has ended, or that is stuck, is replaced, so that nothing
  /// is left unanswered. If no thread is available for it, the rest is answered here.
  func joinAnswerer() {
    while true {
      let seen = pointee.event.load(ordering: .acquiring)
      answerSecondStop()
      let explainsUntil = leaveStuckAnswerer()
      let (isThere, hasFinished, thread) = pointee.monitor.withLock {
        ($0.hasAnswerer, $0.hasAnswererFinished, $0.answerer)
      }
      if hasFinished {
        // EINVAL if a callback has detached it, as code does that takes the thread for its own.
        _ = cp_thread_join(thread)
        // The receiver may have left callbacks to it since it looked for the last time.
        if !hasLeftCallbacks { return }
        forgetAnswerer()
        continue
      }
      if !isThere && !makeAnswerer() {
        _ = answerAll()
        return
      }
      if explainsUntil.isNever {
        cp_futex_wait(self, seen, nil)
      } else {
        var limit = explainsUntil.timespec
        cp_futex_wait(self, seen, &limit)
      }
    }
  }

  /// Leaves an answerer to the explanation that it has been writing for too long.
  ///
  /// From now on there is none, and the caller makes another. It is detached.
  ///
  /// - Returns: when the present one would be left; never if it writes nothing.
  func leaveStuckAnswerer() -> Deadline {
    pointee.monitor.withLock { state in
      if !state.explainsUntil.hasPassed { return state.explainsUntil }
      _ = cp_thread_detach(state.answerer)  // EINVAL if a callback has done so
      pointee.leftWriting.wrappingAdd(1, ordering: .relaxed)
      state.answerer = cp_thread(0)
      state.hasAnswerer = false
      state.explainsUntil = .never
      return .never
    }
  }

  /// Answers what has come since the threads ended, on a new answerer.
  ///
  /// Called by the thread that ends the watch, once no handler can record anything any more.
  func answerLateComers() {
    answerSecondStop()
    if pointee.arrived.load(ordering: .acquiring) == 0
      && pointee.requests.load(ordering: .acquiring) == 0 && !hasLeftCallbacks
    {
      return
    }
    forgetAnswerer()
    withCancellationDisabled { joinAnswerer() }
  }

  /// Whether there are callbacks for the answerer to run, of flags that are up.
  private var hasLeftCallbacks: Bool {
    pointee.raised.load(ordering: .relaxed) != 0
      || pointee.leavesCallbacks.load(ordering: .acquiring)
  }

  /// Makes room for another answerer, as the last one was joined.
  private func forgetAnswerer() {
    pointee.monitor.withLock { state in
      state.hasAnswererFinished = false
      state.hasAnswerer = false
    }
  }

  /// Called when a callback of the application's ends the answerer's thread: the receiver makes
  /// another one.
  ///
  /// It detaches itself: destructors of the application's may take long in it.
  func answererLeaves() {
    if ProcessState.isForkedChild { return }
    _ = cp_thread_detach(cp_thread_self())  // EINVAL if the callback has done so
    pointee.monitor.withLock { if $0.isOwnThread { $0.hasAnswerer = false } }
    ring()
  }
}
