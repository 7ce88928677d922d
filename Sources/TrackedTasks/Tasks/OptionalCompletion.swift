// LOCKING: see `Completion.swift`.

/// The end of a task that has optional state.
extension TaskReference {
  /// Ends the task as `complete` does, and its optional state.
  ///
  /// It is called again if the thread leaves in the middle, which only functions that `finalize`
  /// and `leaveList` call can do.
  func completeWithOptionalState(_ how: TaskWord.Ending) {
    // The last step may release the record's reference to its group.
    let registry = self.registry
    finalize(how, in: registry)
    if ProcessState.isForkedChild { return }
    if registry.isMeasured { measureEnd(how, in: registry) }
    if !leaveList(how) { return }
    // None of the application's code runs in the task any more.
    if traits.contains(.hasWaitPlace) { WaitDescriptor.leave(self) }
    let token = traits.contains(.ownsToken) ? giveUpOwnToken() : nil
    registry.retainStorage()
    if word.isCancelRequested { recordStop(how) }
    let phase = traits.phase
    if traits.contains(.unjoined) {
      Worker.current?.endsUnjoinedTask()
      registry.unjoinedTaskEnds(phase)
    }
    if phase != 0 { registry.phasedTaskEnds(phase) }
    registry.countUpwards(how)
    let before = advance { $0.ended() }
    wakeWaiters(before, in: registry)
    registry.forEachUpwards { $0.wakeJoinersIfEmpty() }
    if token != nil || before?.isAwaited == true && hasEndCallbacks {
      return EndCallbacks.run(for: self, thenReleasing: registry, token)
    }
    registry.releaseAfterTask()
  }

  /// Carries out what the end of the task means for its registry, and releases what the task held.
  ///
  /// Called on the task's own thread, while it is still alive for all other threads: the callbacks
  /// that the cancel runs may take long, and waits for the task have deadlines. Because it is
  /// finalizing, its own flag stays down, so that its outcome does not say that it was asked to
  /// stop when it was the one that asked.
  private func finalize(_ how: TaskWord.Ending, in registry: RegistryReference) {
    let traits = self.traits
    if traits.contains(.essential)
      || (how != .returned && traits.contains(.essentialOnFailure))
    {
      add(.finalizing)
      let reason = how == .returned ? CancelReason.requestedByRun : CancelReason.fatal
      name.withText { _ = registry.token.cancel(reason: reason, message: $0) }
      if ProcessState.isForkedChild { return }
    }
  }
}
