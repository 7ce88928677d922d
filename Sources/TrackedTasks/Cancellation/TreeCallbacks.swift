/// What is left to do on a thread that runs the callbacks of the tasks of a registry, and of the
/// groups below it, that were asked to stop (C7).
struct TreeCallbacks {
  private let top: RegistryReference
  /// Where the next callbacks are, with a reference if it is a group below; nil when all have run.
  private var place: RegistryReference?
  /// Whether a reference to `top` is released at the end.
  private let releasesTop: Bool

  /// Runs the callbacks.
  ///
  /// A callback may end the thread: the others run all the same.
  ///
  /// Called after flags have risen, without any lock.
  ///
  /// - Parameters:
  ///   - top: where, with a reference to its memory.
  ///   - releasesTop: whether a reference to it is released afterwards.
  static func run(in top: RegistryReference, thenReleasing releasesTop: Bool = false) {
    var rest = TreeCallbacks(top: top, place: top, releasesTop: releasesTop)
    withUnsafeMutablePointer(to: &rest) { rest in
      let goOn: CallFrame.Function = {
        // SAFETY: it is `rest`, in both functions; the frames of the callers still exist.
        $0.unsafelyUnwrapped.assumingMemoryBound(to: TreeCallbacks.self).pointee.goOn()
      }
      CallFrame.call(.library, rest, goOn, ifLeft: goOn)
    }
  }

  /// Continues where the last call stopped.
  private mutating func goOn() {
    while let place {
      place.runTaskCallbacks()
      if ProcessState.isForkedChild { return }
      self.place = place.takeSuccessor(within: top)
    }
    if releasesTop { top.release() }
  }
}
