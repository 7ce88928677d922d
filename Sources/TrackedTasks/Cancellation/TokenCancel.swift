import Synchronization

/// How a token, and everything below it, is cancelled; for LOCKING see `TokenStorage.swift`.
///
/// A thread that finds a token claimed by another does not depend on that thread, which may be
/// preempted for long (P6): it waits a moment, and then does the same work. Everything that is done
/// below a claimed token may be done by several threads at once, and repeatedly: a claim is made
/// once, flags stay up, wake-ups may be spurious, and each callback is taken by one thread. So
/// nothing is reserved for the first thread, and nothing is taken off a list.
extension TokenReference {
  /// How long a call waits, in nanoseconds, for another one that is raising the flags, before it
  /// helps: while the other makes progress, doing the work twice would take longer for both.
  private static var patience: Int64 { 1_000_000 }

  /// Cancels the token and everything below it (C1, C2), at level abort if that is wanted (C15).
  ///
  /// When it returns, to the first caller or a later one, every flag below is up. Callbacks run
  /// after that, so they may cancel anything.
  ///
  /// - Returns: whether this call was the first for the level.
  func cancel(
    reason: UInt32, message: UnsafePointer<UInt8>?, _ level: StopLevel = .drain
  ) -> Bool {
    let isFirst = claim(reason: reason, message: message, level)
    if !isFirst && isPropagated(level, within: Self.patience) { return false }
    // A callback may release the caller's reference.
    retain()
    raiseFlagsBelow(level, helping: !isFirst)
    completeCancel()
    return isFirst
  }

  /// Cancels the token, whose timeout has passed: raises flags, but calls no callbacks.
  ///
  /// - Returns: whether there are callbacks for `completeCancel` to run.
  func expire() -> Bool {
    let message: StaticString = "the token's timeout has passed"
    return raiseFlags(reason: CancelReason.deadline, message: message.utf8Start)
      && CancelledTokens.wantCallbacks(from: self)
  }

  /// Cancels the token and everything below it, but calls no callbacks.
  ///
  /// - Returns: whether this call was the first; then `completeCancel` has yet to be called.
  func raiseFlags(reason: UInt32, message: UnsafePointer<UInt8>?) -> Bool {
    if !claim(reason: reason, message: message, .drain) { return false }
    raiseFlagsBelow(.drain, helping: false)
    return true
  }

  /// Runs the callbacks of the token, which is cancelled, and of everything below it, and releases
  /// a reference.
  func completeCancel() {
    if CancelledTokens.wantCallbacks(from: self) {
      CancelledTokens.runCallbacks(from: self)
    } else {
      release(callsApplication: true)
    }
  }

  /// Marks the token as propagated: every flag below shows the level.
  func markPropagated(_ level: StopLevel) {
    monitor.withLock { state in
      if state.propagated < level { state.propagated = level }
      state.waiters.wake(WaitKey.propagated)
    }
  }

  private func isPropagated(_ level: StopLevel) -> Bool {
    monitor.withLock { $0.propagated >= level }
  }

  /// Waits up to `patience` nanoseconds for every flag below to show the level; the caller's own
  /// flag does not end this wait.
  private func isPropagated(_ level: StopLevel, within patience: Int64) -> Bool {
    if isPropagated(level) { return true }
    return monitor.wait(
      for: WaitKey.propagated, until: .after(patience), isCancellable: false,
      isReady: { isPropagated(level) }
    ) == .ready
  }

  /// Raises every flag below the token, which is claimed, and marks each token there as propagated.
  ///
  /// - Parameters:
  ///   - level: to what.
  ///   - helping: whether the token was claimed by another thread, whose progress is unknown.
  private func raiseFlagsBelow(_ level: StopLevel, helping: Bool) {
    var walk = TokenWalk(from: self)
    var next: TokenReference? = self
    var helps = helping
    while let token = next {
      if helps { token.endWaits() }
      token.forEachRegistry { $0.tokenWasCancelled(level, helping: helps) }
      next = walk.next()
      // The walk visits children only of tokens that are claimed by now.
      while let child = next, let parent = child.pointer.pointee.parent {
        helps = !child.claim(copying: parent, level)
        if !helps || !child.isPropagated(level) { break }
        next = walk.next(below: false)
      }
    }
    walk = TokenWalk(from: self)
    next = self
    while let token = next {
      token.markPropagated(level)
      next = walk.next()
    }
  }

  /// Raises the flag to a level, unless it shows that already; the first time, records reason and
  /// message.
  private func claim(reason: UInt32, message: UnsafePointer<UInt8>?, _ level: StopLevel) -> Bool {
    // Avoids the lock, which a preempted thread may hold.
    if self.level >= level { return false }
    let kept = message.map { UTF8Text.measure($0, limit: 255).kept } ?? 0
    let (isFirst, before) = monitor.withLock { state in
      let before = self.level
      if before >= level { return (false, before) }
      if before == .none {
        pointer.pointee.reason = reason
        pointer.pointee.messageLength = kept
        if let message { pointer.pointee.message.store(message, length: kept) }
      }
      pointer.pointee.flag.store(level.rawValue, ordering: .sequentiallyConsistent)
      state.waiters.wake(WaitKey.token)
      return (true, before)
    }
    if isFirst {
      // Also if another thread has raised the flag to drain: it may be held up before this.
      endWaits()
      if before == .none, let timer = pointer.pointee.timer { TimerThread.remove(timer) }
    }
    return isFirst
  }

  /// Ends the waits that have to be ended one by one; a second call does no harm.
  private func endWaits() {
    pointer.pointee.descriptor.raise()
    if level == .abort { pointer.pointee.abortDescriptor.raise() }
    if !pointer.pointee.waits.isEmpty { CancelCallback.Owner.waits(self).runCallbacks() }
  }

  /// A descriptor that is readable once the token is cancelled, or aborted (C6, C15).
  func openDescriptor(_ level: StopLevel = .drain) -> (Status, Int32) {
    func isReached() -> Bool { self.level >= level }
    return level == .abort
      ? pointer.pointee.abortDescriptor.open(isReached)
      : pointer.pointee.descriptor.open(isReached)
  }

  /// Claims the token for a level, with the reason and message of a cancelled one.
  @discardableResult
  func claim(copying other: TokenReference, _ level: StopLevel) -> Bool {
    other.withMessage { message, _ in claim(reason: other.reason, message: message, level) }
  }

  /// The first child that is alive, or the first after `child`, to which the caller has a
  /// reference; with a reference.
  fileprivate func child(after child: TokenReference?) -> TokenReference? {
    monitor.withLock { state in
      var next = state.children.element(after: child)
      while let candidate = next {
        if candidate.retainIfAlive() { return candidate }
        next = state.children.element(after: candidate)
      }
      return nil
    }
  }

  /// The first registry that is alive, or the first after `registry`, to which the caller has a
  /// reference; with a reference to its memory.
  fileprivate func registry(after registry: RegistryReference?) -> RegistryReference? {
    monitor.withLock { state in
      var next = state.registries.element(after: registry)
      while let candidate = next {
        if candidate.retainStorageIfAlive() { return candidate }
        next = state.registries.element(after: candidate)
      }
      return nil
    }
  }

  /// Calls `visit` for every registry that is linked to the token, with a reference to its memory.
  fileprivate func forEachRegistry(_ visit: (RegistryReference) -> Void) {
    var place = registry(after: nil)
    while let registry = place {
      visit(registry)
      place = self.registry(after: registry)
      registry.releaseStorage()
    }
  }
}

/// A walk over a cancelled token and everything below it, parents first: a loop, not a recursion,
/// however deep the tree.
///
/// Requires that the token is claimed, and a reference to it. A cancelled token gets more children
/// only at the front of its list, where the walk has been, and one that is retained stays in its
/// parent's list. The walk holds a reference to each token on the path from the first to the
/// present one.
private struct TokenWalk {
  private let first: TokenReference
  private var present: TokenReference

  init(from first: TokenReference) {
    self.first = first
    present = first
  }

  /// The next token, which is retained until the one after it is taken; nil if there is none.
  ///
  /// - Parameter below: whether the children of the present one are visited.
  /// - Returns: the token.
  mutating func next(below: Bool = true) -> TokenReference? {
    if below, let child = present.child(after: nil) {
      present = child
      return child
    }
    while present != first, let parent = present.pointer.pointee.parent {
      let sibling = parent.child(after: present)
      present.release()
      present = sibling ?? parent
      if sibling != nil { return present }
    }
    return nil
  }
}

/// The callbacks of a cancelled token and of everything below it, whose flags are all up.
private struct CancelledTokens {
  /// The token that was cancelled, with a reference.
  private let first: TokenReference
  private var walk: TokenWalk
  /// The token whose callbacks are being run; nil when all have run.
  private var token: TokenReference?
  /// The registry of that token whose tasks' callbacks are being run, with a reference; then nil.
  private var registry: RegistryReference?

  private init(from first: TokenReference) {
    self.first = first
    walk = TokenWalk(from: first)
    token = first
    registry = first.registry(after: nil)
  }

  /// Whether there are callbacks to run.
  ///
  /// A function that is registered from now on finds the flags up, and is called where it is
  /// registered.
  static func wantCallbacks(from first: TokenReference) -> Bool {
    var walk = TokenWalk(from: first)
    var next: TokenReference? = first
    var want = false
    while let token = next {
      if !want {
        want = !token.pointer.pointee.callbacks.isEmpty
        token.forEachRegistry { if $0.hasTaskCallbacks { want = true } }
      }
      // The walk goes on to its end, as it holds references.
      next = walk.next(below: !want)
    }
    return want
  }

  /// Runs the callbacks, and releases a reference to `first`.
  ///
  /// A callback may end the thread: the others run all the same.
  static func runCallbacks(from first: TokenReference) {
    var cancelled = CancelledTokens(from: first)
    withUnsafeMutablePointer(to: &cancelled) { cancelled in
      let goOn: CallFrame.Function = { cancelled in
        // SAFETY: it is the value that is passed with this function.
        cancelled.unsafelyUnwrapped.assumingMemoryBound(to: CancelledTokens.self).pointee.goOn()
      }
      CallFrame.call(.library, cancelled, goOn, ifLeft: goOn)
    }
  }

  /// Continues where the last call stopped.
  private mutating func goOn() {
    while let token {
      while let registry {
        registry.runTaskCallbacks()
        if ProcessState.isForkedChild { return }
        self.registry = token.registry(after: registry)
        registry.releaseStorage()
      }
      CancelCallback.Owner.token(token).runCallbacks()
      if ProcessState.isForkedChild { return }
      self.token = walk.next()
      registry = self.token?.registry(after: nil)
    }
    first.release(callsApplication: true)
  }
}
