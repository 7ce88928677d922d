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
    if !claim(reason: reason, message: message) {
      waitUntilSettled()
      return false
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
    while let registry = registries {
      registries = registry.pointer.pointee.nextCancelled
      registry.runTaskCallbacks()
      if ProcessState.isForkedChild { return true }
      registry.releaseStorage()
    }
    next = self
    while let token = next {
      next = token.pointer.pointee.nextClaimed
      CancelCallback.Owner.token(token).runCallbacks()
      if ProcessState.isForkedChild { return true }
      token.release()
    }
    return true
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

  /// The token's timeout has passed.
  func expire() {
    let message: StaticString = "the token's timeout has passed"
    _ = cancel(reason: CancelReason.deadline, message: message.utf8Start)
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
