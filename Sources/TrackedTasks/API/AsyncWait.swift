#if !hasFeature(Embedded)
  import Synchronization

  /// One wait in `async` code, which holds no thread.
  ///
  ///     created → waiting → ended
  ///     created → ended
  ///
  ///     created → waiting [end()]: the Swift task is suspended
  ///     … → ended [end(with:)]: what it waits for, its timer, or the cancellation of the
  ///       surrounding Swift task, whichever is first; a Swift task that is suspended goes on
  ///
  /// The Swift task goes on exactly once: only the first call of `end(with:)` finds a continuation,
  /// and nothing calls into Swift's runtime under the lock.
  final class AsyncWait: Sendable {
    private let state = Mutex(State.created)

    private enum State {
      case created
      case waiting(CheckedContinuation<End, Never>)
      case ended(End)
    }

    /// What ended a wait.
    enum End {
      case ready
      case timedOut
      case cancelled
    }

    /// Ends the wait; only the first call has an effect.
    func end(with end: End) {
      let continuation: CheckedContinuation<End, Never>? = state.withLock { state in
        switch state {
        case .created:
          state = .ended(end)
          return nil
        case .waiting(let continuation):
          state = .ended(end)
          return continuation
        case .ended:
          return nil
        }
      }
      continuation?.resume(returning: end)
    }

    /// Suspends the surrounding Swift task until the wait has ended; called once.
    func end() async -> End {
      await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          let ended: End? = state.withLock { state in
            if case .ended(let end) = state { return end }
            state = .waiting(continuation)
            return nil
          }
          if let ended { continuation.resume(returning: ended) }
        }
      } onCancel: {
        self.end(with: .cancelled)
      }
    }
  }

#endif
