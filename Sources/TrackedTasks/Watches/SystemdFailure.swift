import CPlatform

// LOCKING: see `SystemdWatch.swift`.

/// What is logged when a datagram could not be sent.
extension UnsafeMutablePointer<SystemdWatch> {
  var failure: Timer.Pointer {
    // SAFETY: the second field lies behind the first, which has the same type.
    (UnsafeMutableRawPointer(self) + MemoryLayout<Timer>.stride).assumingMemoryBound(to: Timer.self)
  }

  /// Posts a report that something could not be sent, once until something is sent again (O2).
  ///
  /// Called on the timer thread.
  func didFail(to what: StaticString, _ error: Int32) {
    if pointee.isFailing { return }
    pointee.isFailing = true
    if !pointee.registry.options.log.isListening { return }
    TimerThread.change { state in
      if !pointee.isArmed || pointee.isReporting { return }
      pointee.isReporting = true
      pointee.failedTo = what
      pointee.failureError = error
      pointee.registry.retainStorage()
      state.post(failure)
    }
  }

  /// Logs the failure.
  ///
  /// Called by an event thread.
  func reportFailure() {
    let end: CallFrame.Function = { watch in
      // SAFETY: it is the watch that is passed with this function, which lives until the report is
      // over.
      watch.unsafelyUnwrapped.assumingMemoryBound(to: SystemdWatch.self).endReport()
    }
    CallFrame.call(
      .library, holdingUp: .systemd(pointee.registry), self,
      { watch in
        // SAFETY: likewise.
        let watch = watch.unsafelyUnwrapped.assumingMemoryBound(to: SystemdWatch.self)
        watch.logFailure()
        if !ProcessState.isForkedChild { watch.endReport() }
      }, ifLeft: end)
  }

  private func logFailure() {
    let registry = pointee.registry
    withFixedText {
      $0.append("systemd could not be notified of ")
      $0.append(pointee.failedTo)
      $0.append(": error ")
      $0.append(pointee.failureError)
    } _: {
      let empty: StaticString = ""
      registry.sendUnheld(
        LogRecord(
          level: LogEventNumber.warning, event: LogEventNumber.systemdUnreachable,
          code: pointee.failureError, task: empty.utf8Start, message: $0,
          registry: registry))
    }
  }

  private func endReport() {
    let registry = pointee.registry
    let key = UInt(bitPattern: self)
    TimerThread.withQueue { _ in pointee.isReporting = false }
    // From here on the watch may be gone.
    registry.monitor.withLock { $0.waiters.wake(key) }
    registry.releaseStorage()
  }
}
