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

  /// Cancels the token and everything below it (C1, C2).
  ///
  /// When it returns, to the first caller or a later one, every flag below is up. Callbacks run
  /// after that, so they may cancel anything.
  ///
  /// - Returns: whether this call was the first.
  func cancel(reason: UInt32, message: UnsafePointer<UInt8>?) -> Bool {
    let isFirst = claim(reason: reason, message: message)
    if !isFirst && isPropagated(within: Self.patience) { return false }
    // A callback may release the caller's reference.
    retain()
    raiseFlagsBelow(helping: !isFirst)
    completeCancel()
    return isFirst
  }

  /// Cancels the token, whose timeout has passed: raises flags, but calls no callbacks.
  ///
  /// - Returns: whether there are callbacks for `completeCancel` to run.
  func expire() -> Bool {
    let message: StaticString = "the token's timeout has passed"
    if !claim(reason: CancelReason.deadline, message: message.utf8Start) { return false }
    raiseFlagsBelow(helping: false)
    return CancelledTokens.wantCallbacks(from: self)
  }

  /// Runs the callbacks of the token, which is cancelled, and of everything below it, and releases
  /// a reference.
  func completeCancel() {
    if CancelledTokens.wantCallbacks(from: self) {
      CancelledTokens.runCallbacks(from: self)
    } else {
      release()
    }
  }

  /// Marks the token as propagated: every flag below is up.
  func markPropagated() {
    monitor.withLock { state in
      state.isPropagated = true
      state.waiters.wake(WaitKey.propagated)
    }
  }

  private var isPropagated: Bool { monitor.withLock { $0.isPropagated } }

  /// Waits up to `patience` nanoseconds for every flag below to be up; the caller's own flag does
  /// not end this wait.
  private func isPropagated(within patience: Int64) -> Bool {
    if isPropagated { return true }
    return monitor.wait(
      for: WaitKey.propagated, until: .after(patience), isCancellable: false,
      isReady: { isPropagated }
    ) == .ready
  }

  /// Raises every flag below the token, which is claimed, and marks each token there as propagated.
  ///
  /// - Parameter helping: whether the token was claimed by another thread, whose progress is
  ///   unknown.
  private func raiseFlagsBelow(helping: Bool) {
    var walk = TokenWalk(from: self)
    var next: TokenReference? = self
    var helps = helping
    while let token = next {
      if helps { token.pointer.pointee.descriptor.raise() }
      token.forEachRegistry { $0.tokenWasCancelled(helping: helps) }
      next = walk.next()
      // The walk visits children only of tokens that are claimed by now.
      while let child = next, let parent = child.pointer.pointee.parent {
        helps = !child.claim(copying: parent)
        if !helps || !child.isPropagated { break }
        next = walk.next(below: false)
      }
    }
    walk = TokenWalk(from: self)
    next = self
    while let token = next {
      token.markPropagated()
      next = walk.next()
    }
  }

  /// Records reason and message and raises the flag, unless that was done before.
  private func claim(reason: UInt32, message: UnsafePointer<UInt8>?) -> Bool {
    // Avoids the lock, which a preempted thread may hold.
    if isCancelled { return false }
    let kept = message.map { UTF8Text.measure($0, limit: 255).kept } ?? 0
    let isFirst = monitor.withLock { state in
      if isCancelled { return false }
      pointer.pointee.reason = reason
      pointer.pointee.messageLength = kept
      if let message { pointer.pointee.message.store(message, length: kept) }
      pointer.pointee.flag.store(1, ordering: .sequentiallyConsistent)
      state.waiters.wake(WaitKey.token)
      return true
    }
    if isFirst {
      pointer.pointee.descriptor.raise()
      if let timer = pointer.pointee.timer { TimerThread.remove(timer) }
    }
    return isFirst
  }

  /// A descriptor that is readable once the token is cancelled (C6).
  func openDescriptor() -> (Status, Int32) {
    pointer.pointee.descriptor.open {
      pointer.pointee.flag.load(ordering: .sequentiallyConsistent) != 0
    }
  }

  /// Claims the token with the reason and message of a cancelled one.
  @discardableResult
  func claim(copying other: TokenReference) -> Bool {
    other.withMessage { message, _ in claim(reason: other.reason, message: message) }
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
/// Requires that the token is claimed, and a reference to it. A cancelled token gets no more
/// children, and one that is retained stays in its parent's list. The walk holds a reference to
/// each token on the path from the first to the present one.
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
    first.release()
  }
}
