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
  /// The Swift task goes on exactly once: by whoever takes the state from `waiting` to `ended`, or,
  /// if that came first, by `end()` itself.
  final class AsyncWait: Sendable {
    // Not a Mutex, which ThreadSanitizer does not know, so that it would report its users' programs.
    // atomic: acquire and release; `waiting` publishes the continuation.
    private let state = Atomic<UInt8>(0)
    // SAFETY: written before `waiting` is stored, read by the one that replaces it.
    private nonisolated(unsafe) var continuation: CheckedContinuation<End, Never>?

    private static var created: UInt8 { 0 }
    private static var waiting: UInt8 { 1 }

    /// What ended a wait; the numbers are those of the state.
    enum End: UInt8 {
      case ready = 2
      case timedOut = 3
      case cancelled = 4
    }

    /// Ends the wait; only the first call has an effect.
    func end(with end: End) {
      var seen = state.load(ordering: .acquiring)
      while seen <= Self.waiting {
        let (done, now) = state.compareExchange(
          expected: seen, desired: end.rawValue, ordering: .acquiringAndReleasing)
        if done {
          if seen == Self.waiting { continuation.unsafelyUnwrapped.resume(returning: end) }
          return
        }
        seen = now
      }
    }

    /// Suspends the surrounding Swift task until the wait has ended; called once.
    func end() async -> End {
      await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          self.continuation = continuation
          let (done, seen) = state.compareExchange(
            expected: Self.created, desired: Self.waiting, ordering: .acquiringAndReleasing)
          // SAFETY: any other state is the number of an end.
          if !done { continuation.resume(returning: End(rawValue: seen).unsafelyUnwrapped) }
        }
      } onCancel: {
        self.end(with: .cancelled)
      }
    }
  }

#endif
