import Synchronization

/// How a token is cancelled, and everything below it; LOCKING stands in `TokenStorage.swift`.
extension TokenReference {
  /// Cancels the token and everything below it (C1, C2).
  ///
  /// When it returns, to the first caller or a later one, every flag below is up. A token that
  /// another thread is cancelling is waited for; such waits lead down the tree only, so that they
  /// cannot form a circle, and last no longer than raising flags does. Callbacks run after that, so
  /// that one of them may cancel whatever it likes.
  ///
  /// - Returns: whether this call was the first.
  func cancel(reason: UInt32, message: UnsafePointer<UInt8>?) -> Bool {
    guard var cancelled = raiseFlags(reason: reason, message: message) else { return false }
    cancelled.conclude()
    return true
  }

  /// Raises the flags of the token and of everything below it, as `cancel` does, and calls nothing.
  ///
  /// - Returns: what is to be concluded; nil if this call was not the first.
  private func raiseFlags(reason: UInt32, message: UnsafePointer<UInt8>?) -> CancelledTokens? {
    if !claim(reason: reason, message: message) {
      waitUntilSettled()
      return nil
    }
    retain()
    // The tokens claimed by this call, in the order in which they are dealt with: a list instead
    // of a recursion, however deep the tree.
    var last = self
    var next: TokenReference? = self
    var registries: RegistryReference?
    while let token = next {
      while let registry = token.takeRegistry() {
        registry.tokenWasCancelled()
        registry.pointer.pointee.nextCancelled = registries
        registries = registry
      }
      while let child = token.takeChild() {
        if child.claim(copying: token) {
          last.pointer.pointee.nextClaimed = child
          last = child
        } else {
          child.waitUntilSettled()
          child.release()
        }
      }
      next = token.pointer.pointee.nextClaimed
    }
    next = self
    while let token = next {
      next = token.pointer.pointee.nextClaimed
      token.settle()
    }
    return CancelledTokens(first: self, registries: registries)
  }

  /// Every flag below is up.
  func settle() {
    monitor.withLock { state in
      state.isSettled = true
      state.waiters.wake(WaitKey.settled)
    }
  }

  /// Waits until whoever claimed the token has settled it; the caller's own flag is no matter.
  private func waitUntilSettled() {
    _ = monitor.wait(for: WaitKey.settled, until: .never, heedsFlag: false) {
      monitor.withLock { $0.isSettled }
    }
  }

  /// Records reason and message and raises the flag, unless somebody did before.
  private func claim(reason: UInt32, message: UnsafePointer<UInt8>?) -> Bool {
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

  /// The token's timeout has passed: raises flags, and calls nothing.
  ///
  /// - Returns: whether there are callbacks for `concludeExpiry` to run.
  func expire() -> Bool {
    let message: StaticString = "the token's timeout has passed"
    guard
      var cancelled = raiseFlags(reason: CancelReason.deadline, message: message.utf8Start)
    else { return false }
    if cancelled.wantsCallbacks {
      pointer.pointee.expiredRegistries = cancelled.registries
      return true
    }
    cancelled.conclude()
    return false
  }

  /// Runs the callbacks that `expire` left, and gives up the caller's reference.
  func concludeExpiry() {
    var cancelled = CancelledTokens(first: self, registries: pointer.pointee.expiredRegistries)
    cancelled.conclude()
    if !ProcessState.isForkedChild { release() }
  }

  /// A descriptor that is readable once the token is cancelled (C6).
  func openDescriptor() -> (Status, Int32) {
    pointer.pointee.descriptor.open {
      pointer.pointee.flag.load(ordering: .sequentiallyConsistent) != 0
    }
  }

  /// Claims with the reason and message of a cancelled token.
  @discardableResult
  func claim(copying other: TokenReference) -> Bool {
    other.withMessage { message, _ in claim(reason: other.reason, message: message) }
  }

  /// Takes a registry that is alive off the list, with a reference to its memory.
  private func takeRegistry() -> RegistryReference? {
    monitor.withLock { state in
      while let registry = state.firstRegistry {
        Self.remove(registry, from: &state)
        if registry.retainStorageIfAlive() { return registry }
      }
      return nil
    }
  }

  /// Takes a child that is alive off the list, with a reference.
  private func takeChild() -> TokenReference? {
    monitor.withLock { state in
      while let child = state.firstChild {
        Self.remove(child, from: &state)
        if child.retainIfAlive() { return child }
      }
      return nil
    }
  }
}

/// What one call has cancelled, with every flag up and the callbacks still to be run.
struct CancelledTokens {
  /// The tokens, each with a reference, linked by `nextClaimed`.
  private var tokens: TokenReference?
  /// The registries, each with a reference to its memory, linked by `nextCancelled`.
  private(set) var registries: RegistryReference?

  fileprivate init(first: TokenReference, registries: RegistryReference?) {
    tokens = first
    self.registries = registries
  }

  /// Whether any callbacks are to be run.
  ///
  /// One that is registered from now on finds the flags up, and runs where it is registered.
  var wantsCallbacks: Bool {
    var nextToken = tokens
    while let token = nextToken {
      if !token.pointer.pointee.callbacks.isEmpty { return true }
      nextToken = token.pointer.pointee.nextClaimed
    }
    var nextRegistry = registries
    while let registry = nextRegistry {
      if registry.hasTaskCallbacks { return true }
      nextRegistry = registry.pointer.pointee.nextCancelled
    }
    return false
  }

  /// Runs the callbacks, and gives back the references.
  ///
  /// A callback may end the thread: then the others run all the same.
  mutating func conclude() {
    if !wantsCallbacks { return goOn() }
    withUnsafeMutablePointer(to: &self) { cancelled in
      let goOn: CallFrame.Function = { cancelled in
        // SAFETY: it is the one that is handed over with this function.
        cancelled.unsafelyUnwrapped.assumingMemoryBound(to: CancelledTokens.self).pointee.goOn()
      }
      CallFrame.call(.library, cancelled, goOn, ifLeft: goOn)
    }
  }

  /// Goes on where it left off.
  private mutating func goOn() {
    while let registry = registries {
      registry.runTaskCallbacks()
      if ProcessState.isForkedChild { return }
      registries = registry.pointer.pointee.nextCancelled
      registry.releaseStorage()
    }
    while let token = tokens {
      CancelCallback.Owner.token(token).runCallbacks()
      if ProcessState.isForkedChild { return }
      tokens = token.pointer.pointee.nextClaimed
      token.release()
    }
  }
}
