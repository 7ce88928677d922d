import CPlatform
import Synchronization

// LOCKING
// There is one watch in a process; `owner` says whose. Whoever starts or ends it claims that first, so that
// it is freed once. What is told, and when, is the timer thread's own business; whether it may be
// queued is guarded by that thread's Monitor. Datagrams are sent, and tasks looked at, without any
// lock; whoever ends the watch takes it from the queue under the lock and waits for a datagram that is
// being sent, and for the log callback that hears that one could not be.
//
// The socket is connected once, so that what the program does to its root, its mounts or its rights later does not
// matter. Only when nobody listens there any more is it connected again, to whoever has taken the place.

/// What tells systemd how the service is, as sd_notify(3) says (E11).
struct SystemdWatch {
  /// When to tell something next; the first field, so that its address is known.
  var timer: Timer
  /// The report of a datagram that could not be sent: posted, and never queued.
  ///
  /// The second field, likewise.
  var failure: Timer

  // immutable after init
  /// A reference of the application's is held.
  let registry: RegistryReference
  let socket: Int32
  /// Where it is connected to; behind the watch, in its own memory.
  let address: UnsafeMutablePointer<CChar>
  let addressLength: Int
  /// Room for what is told of a stop, behind the address: a temporary allocation of more than 1024 bytes would
  /// be one on the heap, which may fail.
  let texts: UnsafeMutablePointer<UInt8>
  /// Nanoseconds from one sign of life to the next; 0 is none.
  let watchdogPause: Int64
  /// Nanoseconds from one status to the next.
  let statusPause: Int64

  // Owned by whoever starts the watch, then by whoever ends it.
  var callback: CancelCallback.Pointer?

  // Guarded by the timer thread's Monitor.
  var isArmed = false
  var isReporting = false
  /// What it was about, and the error number; while `isReporting`, the reporter's own.
  var failedTo: StaticString = ""
  var failureError: Int32 = 0

  // Owned by the timer thread once armed.
  var nextWatchdog = Int64.max
  var nextStatus = Int64.max
  var isStopping = false
  var hasSentStopping = false
  /// Whether the last datagram could not be sent.
  var isFailing = false
  /// The last status; nil before the first.
  var status: StopStatus?

  typealias Pointer = UnsafeMutablePointer<SystemdWatch>

  /// The registry whose watch it is, as bits; 0 when there is none, 1 while one is being started or ended.
  ///
  /// atomic: acquire and release with `current`.
  private static let owner = Atomic<UInt>(0)
  /// The watch, as bits; of use to whoever has claimed `owner`.
  ///
  /// atomic: relaxed, see `owner`.
  private static let current = Atomic<UInt>(0)
  /// Whether the timer thread is telling something.
  ///
  /// atomic: sequentially consistent with the list of the registry's waiters.
  static let isNotifying = Atomic<Bool>(false)

  /// Bytes of a datagram that tells of a stop.
  static var datagramRoom: Int { StopStatus.room + 128 }
  /// Bytes of `texts`: the line, what it is made of, and the datagram.
  private static var textRoom: Int { 2 * StopStatus.room + datagramRoom }

  private static var busy: UInt { 1 }
  /// Pauses are never shorter, in nanoseconds.
  private static var shortestPause: Int64 { 1_000_000 }

  // MARK: Starting and ending

  /// Tells that the service is ready, and starts the watch.
  ///
  /// - Parameters:
  ///   - registry: what the service is made of; the caller has a reference.
  ///   - socket: where to send; nil is what the environment says.
  ///   - watchdog: nanoseconds in which a sign of life is due; 0 is what the environment says; negative is
  ///     never.
  ///   - status: nanoseconds from one status to the next; 0 is one second.
  /// - Returns: `.ok`, also if the environment knows no socket: then nothing is kept; `.invalid`, also when
  ///   there is a watch already; `.noMemory`; `.again` when the system refuses a thread; `.system`, with
  ///   errno set.
  static func start(
    for registry: RegistryReference, socket: UnsafePointer<UInt8>?, watchdog: Int64, status: Int64
  ) -> Status {
    if status < 0 { return .invalid("tr_systemd_start", "options.status_ns is negative") }
    if let socket, SystemdAddress(socket) == nil {
      return .invalid("tr_systemd_start", "options.socket is neither a path nor '@' and a name")
    }
    let (isMine, _) = owner.compareExchange(
      expected: 0, desired: busy, ordering: .acquiringAndReleasing)
    if !isMine {
      return .invalid("tr_systemd_start", "systemd is told already; end that with tr_systemd_stop")
    }
    // To send is a cancellation point.
    let (result, error, watch) = withCancellationDisabled {
      make(registry, socket, watchdog: watchdog, status: status)
    }
    current.store(UInt(bitPattern: watch), ordering: .relaxed)
    owner.store(watch == nil ? 0 : UInt(bitPattern: registry.pointer), ordering: .releasing)
    if result == .system { cp_set_errno(error) }
    return result
  }

  /// Makes a watch, if there is a socket, and lets it begin.
  private static func make(
    _ registry: RegistryReference, _ given: UnsafePointer<UInt8>?, watchdog: Int64, status: Int64
  ) -> (Status, error: Int32, Pointer?) {
    guard let text = given ?? SystemdAddress.inEnvironment else { return (.ok, 0, nil) }
    guard let address = SystemdAddress(text) else { return (.system, EAFNOSUPPORT, nil) }
    let size = MemoryLayout<SystemdWatch>.stride
    guard let memory = malloc(size + address.length + textRoom) else { return (.noMemory, 0, nil) }
    let socket = cp_datagram_socket()
    if socket < 0 {
      let error = cp_errno()
      free(memory)
      return (.system, error, nil)
    }
    memcpy(memory + size, text, address.length)
    let rejected = cp_connect_datagrams(
      socket, (memory + size).assumingMemoryBound(to: CChar.self), address.length)
    let held = rejected == 0 ? TimerThread.hold() : .system
    if held != .ok {
      cp_close(socket)
      free(memory)
      return (held, rejected, nil)
    }
    let due = watchdog == 0 ? SystemdAddress.watchdogInEnvironment : max(0, watchdog)
    registry.retain()
    let watch = memory.bindMemory(to: SystemdWatch.self, capacity: 1)
    watch.initialize(
      to: SystemdWatch(
        timer: Timer(.systemd(watch)), failure: Timer(.systemdFailure(watch)), registry: registry,
        socket: socket,
        address: (memory + size).assumingMemoryBound(to: CChar.self),
        addressLength: address.length,
        texts: (memory + size + address.length).assumingMemoryBound(to: UInt8.self),
        watchdogPause: due == 0 ? 0 : max(due / 2, shortestPause),
        statusPause: status == 0 ? 1_000_000_000 : max(status, shortestPause)))
    let registered = CancelCallback.register(
      { context in
        // SAFETY: the context is the watch, which lives until the callback is deregistered.
        context?.assumingMemoryBound(to: SystemdWatch.self).tokenWasCancelled()
      }, watch, drop: nil, with: .token(registry.token),
      publish: { watch.pointee.callback = $0 })
    if registered == .noMemory {
      watch.pointee.callback = nil
      watch.destroy()
      return (.noMemory, 0, nil)
    }
    let ready: StaticString = "READY=1"
    let error = watch.send(ready.utf8Start, ready.utf8CodeUnitCount)
    if error != 0 {
      watch.destroy()
      return (.system, error, nil)
    }
    watch.arm()
    return (.ok, 0, watch)
  }

  private static var noWatch: Status {
    .invalid("tr_systemd_stop", "systemd is not told of this registry")
  }

  /// Ends the watch, if it is for `registry`: nothing more is sent, but for a stop or a reload that systemd does not
  /// know of yet.
  ///
  /// - Returns: `.ok`; `.invalid` when there is no such watch; `.deadlock` in the log callback that hears of a
  ///   datagram of its.
  static func end(for registry: RegistryReference) -> Status {
    let bits = UInt(bitPattern: registry.pointer)
    if owner.load(ordering: .acquiring) != bits { return noWatch }
    let isOwnReport = CallFrame.isHoldingUp {
      if case .systemd(let held) = $0 { held == registry } else { false }
    }
    if isOwnReport { return .deadlock }
    let (isMine, _) = owner.compareExchange(
      expected: bits, desired: busy, ordering: .acquiringAndReleasing)
    // SAFETY: a registry that owns it has a watch.
    guard isMine, let watch = Pointer(bitPattern: current.load(ordering: .relaxed)) else {
      return noWatch
    }
    // To close is a cancellation point.
    withCancellationDisabled {
      watch.disarm()
      _ = registry.monitor.wait(for: UInt(bitPattern: watch), until: .never, isCancellable: false) {
        !isNotifying.load(ordering: .sequentiallyConsistent)
          && TimerThread.withQueue { _ in !watch.pointee.isReporting }
      }
      registry.retirePromises(forWatchdog: true)
      watch.notifyLast()
      if ProcessState.isForkedChild { return }
      watch.destroy()
    }
    owner.store(0, ordering: .releasing)
    return .ok
  }
}

extension SystemdWatch {
  /// The registry whose watchdog is to be told something, with a reference to its memory, and in how many nanoseconds;
  /// nil if there is none.
  static func watchdogInUse() -> (RegistryReference, pause: Int64)? {
    TimerThread.ifExisting { state in
      guard let watch = state.systemd, watch.pointee.watchdogPause > 0 else { return nil }
      watch.pointee.registry.retainStorage()
      return (watch.pointee.registry, watch.pointee.watchdogPause)
    }
  }

  /// Whether the watch is one of `registry`.
  static func isInUse(for registry: RegistryReference) -> Bool {
    TimerThread.ifExisting { state in state.systemd?.pointee.registry == registry ? true : nil }
      != nil
  }
}

extension UnsafeMutablePointer<SystemdWatch> {
  var timer: Timer.Pointer {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: Timer.self)
  }

  private var failure: Timer.Pointer {
    // SAFETY: the second field lies behind the first, which has the same type.
    (UnsafeMutableRawPointer(self) + MemoryLayout<Timer>.stride).assumingMemoryBound(to: Timer.self)
  }

  // MARK: What could not be sent

  /// Has the log told that something could not be sent, once until something is sent again (O2).
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

  /// Tells the log.
  ///
  /// Called by a thread of `EventThread`.
  func reportFailure() {
    let end: CallFrame.Function = { watch in
      // SAFETY: it is the watch that is handed over with this function, which lives until the report is over.
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
      $0.append("systemd could not be told ")
      $0.append(pointee.failedTo)
      $0.append(": error ")
      $0.append(pointee.failureError)
    } _: {
      let empty: StaticString = ""
      registry.sendUnheld(
        LogRecord(
          level: LogEventNumber.warning, event: LogEventNumber.systemdUnreachable,
          code: pointee.failureError, task: empty.utf8Start, message: $0))
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

  // MARK: Its life

  /// Lets the timer thread begin.
  func arm() {
    let now = monotonicNow()
    if pointee.watchdogPause > 0 {
      pointee.nextWatchdog = later(now, by: pointee.watchdogPause)
    }
    TimerThread.change { state in
      pointee.isArmed = true
      state.systemd = self
      // The one who cancelled the token before now has found nothing armed.
      let due = pointee.registry.token.isCancelled ? now : pointee.nextWatchdog
      if due != .max { state.queue.insert(timer, due: due) }
    }
  }

  /// Sends nothing more, but for what is being sent.
  func disarm() {
    let isWithdrawn = TimerThread.change { state in
      pointee.isArmed = false
      state.systemd = nil
      state.queue.remove(timer)
      let isWithdrawn = state.withdraw(failure)
      if isWithdrawn { pointee.isReporting = false }
      return isWithdrawn
    }
    if isWithdrawn { pointee.registry.releaseStorage() }
  }

  /// Gives up everything the watch holds.
  ///
  /// Requires that it is not armed, and nothing is being sent.
  func destroy() {
    if let callback = pointee.callback { CancelCallback.deregister(callback) }
    let registry = pointee.registry
    cp_close(pointee.socket)
    free(self)
    TimerThread.letGo()
    registry.release()
  }

  /// The registry's token is cancelled: the timer thread is to tell at once.
  func tokenWasCancelled() {
    TimerThread.withQueue { queue in
      if !pointee.isArmed { return }
      queue.remove(timer)
      queue.insert(timer, due: monotonicNow())
    }
  }
}
