import CPlatform
import Synchronization

// LOCKING
// There is one watch in a process; `owner` is its registry. The thread that starts or ends it
// claims that first, so that it is freed once. The content and time of a notification belong to the
// timer thread; whether it may be queued is guarded by that thread's Monitor. Datagrams are sent,
// and tasks visited, without any lock. The thread that ends the watch takes it out of the queue
// under the lock, and waits for a datagram that is being sent, and for the log callback that
// reports a failure.
//
// The socket is connected once, so that later changes to the process's root, mounts or rights do
// not matter. It is connected again only if the socket at the other end is gone, to the one that
// has its address then.

/// Notifies systemd of the state of the service, as in sd_notify(3) (E11).
struct SystemdWatch {
  /// Due at the next notification; the first field, so that its address is known.
  var timer: Timer
  /// The report of a datagram that could not be sent: posted, never queued.
  ///
  /// The second field, for the same reason.
  var failure: Timer

  // immutable after init
  /// A reference of the application's is held.
  let registry: RegistryReference
  let socket: Int32
  /// The address of the other end; in the same allocation as the watch.
  let address: UnsafeMutablePointer<CChar>
  let addressLength: Int
  /// Room for the texts about a stop, in the same allocation: a temporary allocation of more than
  /// 1024 bytes would be on the heap, which may fail.
  let texts: UnsafeMutablePointer<UInt8>
  /// Nanoseconds between two watchdog notifications; 0 if there are none.
  let watchdogPause: Int64
  /// Nanoseconds between two statuses.
  let statusPause: Int64

  // Owned by the thread that starts the watch, then by the one that ends it.
  var callback: CancelCallback.Pointer?

  // Guarded by the timer thread's Monitor.
  var isArmed = false
  var isReporting = false
  /// What could not be sent, and the error number; while `isReporting`, owned by the reporting
  /// thread.
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

  /// The registry whose watch it is, as bits; 0 if there is none, 1 while one is being started or
  /// ended.
  ///
  /// atomic: acquire and release with `current`.
  private static let owner = Atomic<UInt>(0)
  /// The watch, as bits; valid for the thread that has claimed `owner`.
  ///
  /// atomic: relaxed, see `owner`.
  private static let current = Atomic<UInt>(0)
  /// Whether the timer thread is sending something.
  ///
  /// atomic: sequentially consistent with the list of the registry's waiters.
  static let isNotifying = Atomic<Bool>(false)

  /// The size in bytes of a datagram about a stop.
  static var datagramRoom: Int { StopStatus.room + 128 }
  /// The size of `texts` in bytes: the line, its parts, and the datagram.
  private static var textRoom: Int { 2 * StopStatus.room + datagramRoom }

  private static var busy: UInt { 1 }
  /// The shortest pause, in nanoseconds.
  private static var shortestPause: Int64 { 1_000_000 }

  // MARK: Starting and ending

  /// Notifies systemd that the service is ready, and starts the watch.
  ///
  /// - Parameters:
  ///   - registry: the service's tasks; the caller has a reference.
  ///   - socket: where to send; nil for the address in the environment.
  ///   - watchdog: the watchdog's timeout in nanoseconds; 0 for the one in the environment;
  ///     negative for none.
  ///   - status: nanoseconds between two statuses; 0 is one second.
  /// - Returns: `.ok`, also if the environment names no socket: then nothing is started;
  ///   `.invalid`, also if there is a watch already; `.noMemory`; `.again` if the system refuses a
  ///   thread; `.system`, with errno set.
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
      return .invalid(
        "tr_systemd_start", "systemd is being notified already; tr_systemd_stop ends that")
    }
    // Sending is a cancellation point.
    let (result, error, watch) = withCancellationDisabled {
      make(registry, socket, watchdog: watchdog, status: status)
    }
    current.store(UInt(bitPattern: watch), ordering: .relaxed)
    owner.store(watch == nil ? 0 : UInt(bitPattern: registry.pointer), ordering: .releasing)
    if result == .system { cp_set_errno(error) }
    return result
  }

  /// Makes a watch, if there is a socket, and arms it.
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
        // SAFETY: the context is the watch, which lives until the callback is removed.
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
    .invalid("tr_systemd_stop", "systemd is not being notified of this registry")
  }

  /// Ends the watch, if it is for `registry`: nothing more is sent, except a stop or a reload that
  /// systemd was not notified of yet.
  ///
  /// - Returns: `.ok`; `.invalid` if there is no such watch; `.deadlock` in the log callback that
  ///   reports a failure of this watch.
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
    // Closing is a cancellation point.
    withCancellationDisabled {
      watch.disarm()
      _ = registry.monitor.wait(for: UInt(bitPattern: watch), until: .never, isCancellable: false) {
        !isNotifying.load(ordering: .sequentiallyConsistent)
          && TimerThread.withQueue { _ in !watch.pointee.isReporting }
      }
      registry.retireHeartbeats(forWatchdog: true)
      watch.notifyLast()
      if ProcessState.isForkedChild { return }
      watch.destroy()
    }
    owner.store(0, ordering: .releasing)
    return .ok
  }
}

extension SystemdWatch {
  /// The registry whose watchdog systemd is to be notified for, with a reference to its memory, and
  /// the pause in nanoseconds; nil if there is none.
  static func watchdogInUse() -> (RegistryReference, pause: Int64)? {
    TimerThread.ifExisting { state in
      guard let watch = state.systemd, watch.pointee.watchdogPause > 0 else { return nil }
      watch.pointee.registry.retainStorage()
      return (watch.pointee.registry, watch.pointee.watchdogPause)
    }
  }

  /// Whether there is a watch for `registry`.
  static func isInUse(for registry: RegistryReference) -> Bool {
    TimerThread.ifExisting { state in state.systemd?.pointee.registry == registry ? true : nil }
      != nil
  }
}

extension UnsafeMutablePointer<SystemdWatch> {
  var timer: Timer.Pointer {
    UnsafeMutableRawPointer(self).assumingMemoryBound(to: Timer.self)
  }

  /// Arms the watch: the timer thread sends from now on.
  func arm() {
    let now = monotonicNow()
    if pointee.watchdogPause > 0 {
      pointee.nextWatchdog = later(now, by: pointee.watchdogPause)
    }
    TimerThread.change { state in
      pointee.isArmed = true
      state.systemd = self
      // A thread that cancelled the token before has found the watch unarmed.
      let due = pointee.registry.token.isCancelled ? now : pointee.nextWatchdog
      if due != .max { state.queue.insert(timer, due: due) }
    }
  }

  /// Stops sending, except for a datagram that is being sent.
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

  /// Releases everything that the watch holds.
  ///
  /// Requires that it is not armed, and nothing is being sent.
  func destroy() {
    if let callback = pointee.callback { CancelCallback.remove(callback) }
    let registry = pointee.registry
    cp_close(pointee.socket)
    free(self)
    TimerThread.letGo()
    registry.release()
  }

  /// Makes the timer thread send at once: the registry's token is cancelled.
  func tokenWasCancelled() {
    TimerThread.withQueue { queue in
      if !pointee.isArmed { return }
      queue.remove(timer)
      queue.insert(timer, due: monotonicNow())
    }
  }
}
