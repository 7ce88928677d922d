import CPlatform
import Synchronization

/// The notifications that the timer thread sends to systemd; for LOCKING see `SystemdWatch.swift`.
extension UnsafeMutablePointer<SystemdWatch> {
  // MARK: On the timer thread

  /// Prepares a notification that is due.
  ///
  /// Requires the lock. `notify` must follow without it; the registry's memory is retained for it.
  func willNotify() {
    SystemdWatch.isNotifying.store(true, ordering: .sequentiallyConsistent)
    pointee.registry.retainStorage()
  }

  /// Sends what is due.
  func notify() {
    let registry = pointee.registry
    sendDue()
    if ProcessState.isForkedChild { return }
    TimerThread.withQueue { queue in
      let due = min(pointee.nextWatchdog, pointee.nextStatus)
      // The token may have been cancelled meanwhile, and the timer have been queued for that.
      if pointee.isArmed && !timer.pointee.isQueued && due != .max {
        queue.insert(timer, due: due)
      }
      SystemdWatch.isNotifying.store(false, ordering: .sequentiallyConsistent)
    }
    // From here on the watch may be gone.
    let key = UInt(bitPattern: self)
    registry.monitor.withLock { $0.waiters.wake(key) }
    registry.releaseStorage()
  }

  private func sendDue() {
    let now = monotonicNow()
    if !pointee.isStopping && pointee.registry.token.isCancelled {
      pointee.isStopping = true
      pointee.nextStatus = now
    }
    if now >= pointee.nextStatus {
      sendStatus(at: now)
      // The last reference to a group may have been released during the walk, and with it a log's
      // context, by the application's code, which may have forked.
      if ProcessState.isForkedChild { return }
    }
    if now >= pointee.nextWatchdog {
      let isHealthy = pointee.registry.isHealthy
      if ProcessState.isForkedChild { return }
      let alive: StaticString = "WATCHDOG=1"
      if isHealthy {
        let error = send(alive.utf8Start, alive.utf8CodeUnitCount)
        if error == 0 { pointee.isFailing = false } else { didFail(to: alive, error) }
      }
      let next = later(pointee.nextWatchdog, by: pointee.watchdogPause)
      pointee.nextWatchdog = next > now ? next : later(now, by: pointee.watchdogPause)
    }
  }

  /// Sends a stop or a reload that systemd was not notified of, at the end of the watch.
  ///
  /// Requires that the watch is not armed, and that the timer thread is sending nothing.
  func notifyLast() {
    if pointee.registry.token.isCancelled && !pointee.hasSentStopping {
      // A failure need not be logged now: the caller ends the watch.
      pointee.isFailing = true
      sendStatus(at: monotonicNow())
    }
  }

  /// Sends what the stop is waiting for; that it has started, until that was sent; and that more
  /// time is needed, if a task has ended or reported progress since the last time.
  ///
  /// A stop with the reason reload is a reload (sd_notify(3)): systemd is notified of its start,
  /// and would take STOPPING=1 for the end of the service. READY=1 of the next watch is its end.
  private func sendStatus(at now: Int64) {
    let reloads = pointee.registry.token.reason == CancelReason.reloadRequested
    var line = FixedText(in: text(0, StopStatus.room))
    line.append(reloads ? "STATUS=reloading: " : "STATUS=stopping: ")
    let before = pointee.status
    let status = StopStatus(
      of: pointee.registry, after: before ?? StopStatus(), in: &line,
      with: text(StopStatus.room, StopStatus.room))
    if ProcessState.isForkedChild { return }
    let moves = before.map { status.moves(since: $0) } ?? false
    var datagram = FixedText(in: text(2 * StopStatus.room, SystemdWatch.datagramRoom))
    if !pointee.hasSentStopping {
      if reloads {
        datagram.append("RELOADING=1\nMONOTONIC_USEC=")
        datagram.append(now / 1_000)
        datagram.append("\n")
      } else {
        datagram.append("STOPPING=1\n")
      }
    }
    if moves {
      datagram.append("EXTEND_TIMEOUT_USEC=")
      datagram.append(timeAskedFor / 1_000)
      datagram.append("\n")
    }
    datagram.append(utf8: line.text)
    let error = send(datagram.text, strlen(datagram.text))
    let isSent = error == 0
    if !isSent { didFail(to: reloads ? "of the reload" : "of the stop", error) }
    if isSent {
      pointee.isFailing = false
      pointee.hasSentStopping = true
      // Progress before a datagram that was lost extends the time with the next one.
      pointee.status = status
    }
    // There is nothing more to send once systemd knows that all tasks have ended.
    pointee.nextStatus =
      isSent && status.count == 0 ? .max : later(now, by: pointee.statusPause)
  }

  /// A part of `texts`.
  private func text(_ offset: Int, _ count: Int) -> UnsafeMutableBufferPointer<UInt8> {
    UnsafeMutableBufferPointer(start: pointee.texts + offset, count: count)
  }

  /// How much time is requested, in nanoseconds: enough to request more.
  private var timeAskedFor: Int64 {
    let (twice, overflow) = pointee.statusPause.multipliedReportingOverflow(by: 2)
    return max(overflow ? .max : twice, 2_000_000_000)
  }

  func later(_ moment: Int64, by pause: Int64) -> Int64 {
    let (sum, overflow) = moment.addingReportingOverflow(pause)
    return overflow ? .max : sum
  }

  /// Sends a datagram if that is possible without blocking.
  ///
  /// - Returns: 0, or the error number.
  func send(_ text: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    let error = cp_send_datagram(pointee.socket, text, count)
    // The socket at the other end is gone: connect to the one that has its address now.
    if error != ECONNREFUSED && error != ENOTCONN && error != ECONNRESET { return error }
    let rejected = cp_connect_datagrams(pointee.socket, pointee.address, pointee.addressLength)
    return rejected == 0 ? cp_send_datagram(pointee.socket, text, count) : error
  }
}
