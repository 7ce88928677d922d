import CPlatform
import Synchronization

// LOCKING
// None: what stands here is touched by signal handlers, so all of it is atomics and calls that
// signal-safety(7) lists. `SignalWatch.current` says whether there is a watch. A handler counts itself
// as a visitor before it looks there; who ends the watch changes it first and then waits until no
// visitor is left, each of which is on a few instructions. Starting and ending exclude each other by
// the same atomic.

/// What turns signals into the shutdown of a registry, and requests from signal handlers into the
/// cancelling of tokens: one thread and one set of handlers for the process, while somebody wants
/// them (C13, C14).
struct SignalWatch: ~Copyable {
  // immutable after init
  /// A reference of the application's is held.
  let registry: RegistryReference
  /// An eventfd that the thread reads.
  let event: Int32
  /// The signals, a bit each: number 1 is bit 0.
  let signals: UInt64
  /// Whether SIGHUP asks for a reload, and for nothing more when it comes again.
  let hangUpReloads: Bool
  /// What the signals did before, by number.
  let previousActions: UnsafeMutablePointer<sigaction>

  // Owned by the one who starts the watch until it is published, then by the one who ends it.
  fileprivate var thread = pthread_t()

  // atomic: those that came and have not been dealt with, as in `signals`. Released by the handler,
  // acquired by the thread.
  fileprivate let arrived = Atomic<UInt64>(0)
  // atomic: how often a signal that is no reload came. Relaxed but for the order of `arrived`.
  fileprivate let count = Atomic<UInt64>(0)
  // atomic: stored with release before the last write to `event`.
  fileprivate let isEnding = Atomic<Bool>(false)

  typealias Pointer = UnsafeMutablePointer<SignalWatch>

  /// The watch, as bits; 0 when there is none, 1 while one is being started or ended.
  ///
  /// atomic: sequentially consistent with `visitors`.
  private static let current = Atomic<UInt>(0)
  /// How many are in a handler or a request.
  ///
  /// atomic: sequentially consistent with `current`.
  private static let visitors = Atomic<Int>(0)
  /// The tokens that are asked to be cancelled, the last first, each with a reference; as bits.
  ///
  /// atomic: pushed with release, taken with acquire, all at once.
  private static let requests = Atomic<UInt>(0)

  private static var busy: UInt { 1 }
  /// Signal numbers on Linux are 1 to 64.
  private static var lastSignal: Int32 { 64 }

  /// The bit of a signal in `signals`.
  static func bit(_ number: Int32) -> UInt64 { 1 << UInt64(number - 1) }

  /// The bits of the signals in a set.
  static func signals(in set: UnsafePointer<sigset_t>) -> UInt64 {
    var signals: UInt64 = 0
    for number in 1...lastSignal where sigismember(set, number) == 1 { signals |= bit(number) }
    return signals
  }

  // MARK: Starting and ending

  /// Starts the watch.
  ///
  /// - Parameters:
  ///   - registry: what to shut down; the caller has a reference.
  ///   - wanted: as the property `signals`; nil is SIGINT and SIGTERM but for those that are ignored, and
  ///     SIGHUP if that reloads.
  ///   - hangUpReloads: as in the property.
  /// - Returns: `.ok`; `.invalid` when there is a watch already, or for a signal that can have no
  ///   handler; `.noMemory`; `.system` without a descriptor; `.again` when the system refuses a thread.
  static func start(
    for registry: RegistryReference, signals wanted: UInt64?, hangUpReloads: Bool
  ) -> Status {
    let signals = wanted ?? defaultSignals(hangUpReloads: hangUpReloads)
    for number in 1...lastSignal where signals & bit(number) != 0 {
      if !cp_may_have_handler(number) { return .invalid }
    }
    let (isMine, _) = current.compareExchange(
      expected: 0, desired: busy, ordering: .sequentiallyConsistent)
    if !isMine { return .invalid }
    let (status, watch) = make(registry, signals, hangUpReloads: hangUpReloads)
    current.store(UInt(bitPattern: watch), ordering: .sequentiallyConsistent)
    guard let watch else { return status }
    for number in 1...lastSignal where signals & bit(number) != 0 {
      let action = watch.pointee.previousActions + Int(number)
      mustSucceed(cp_set_handler(number, handler, action))
    }
    return .ok
  }

  /// Those that ask programs to end, unless whoever started this one has them ignored, as nohup(1)
  /// does.
  private static func defaultSignals(hangUpReloads: Bool) -> UInt64 {
    var signals = hangUpReloads ? bit(SIGHUP) : 0
    if !cp_is_ignored(SIGINT) { signals |= bit(SIGINT) }
    if !cp_is_ignored(SIGTERM) { signals |= bit(SIGTERM) }
    return signals
  }

  /// Makes a watch and its thread.
  private static func make(
    _ registry: RegistryReference, _ signals: UInt64, hangUpReloads: Bool
  ) -> (Status, Pointer?) {
    let size = MemoryLayout<SignalWatch>.stride
    let actions = MemoryLayout<sigaction>.stride * Int(lastSignal + 1)
    guard let memory = malloc(size + actions) else { return (.noMemory, nil) }
    let event = cp_eventfd()
    if event < 0 {
      free(memory)
      return (.system, nil)
    }
    let watch = memory.bindMemory(to: SignalWatch.self, capacity: 1)
    let previous = (memory + size).bindMemory(to: sigaction.self, capacity: Int(lastSignal + 1))
    watch.initialize(
      to: SignalWatch(
        registry: registry, event: event, signals: signals, hangUpReloads: hangUpReloads,
        previousActions: previous))
    registry.retain()
    let (code, thread) = startThread(
      stackSize: RegistryOptionsCore.defaultStackSize, argument: watch,
      main: { SignalWatch.run($0) })
    if code != 0 {
      destroy(watch)
      return (.again, nil)
    }
    watch.pointee.thread = thread
    return (.ok, watch)
  }

  /// Ends the watch, if it is for `registry`: the signals do again what they did before.
  ///
  /// - Returns: `.ok`; `.invalid` when there is no such watch; `.deadlock` on its own thread.
  static func end(for registry: RegistryReference) -> Status {
    var status = Status.invalid
    var claimed: Pointer?
    // As a visitor, so that nobody else who ends it frees it meanwhile.
    _ = withWatch { watch in
      if watch.pointee.registry != registry { return }
      if pthread_equal(watch.pointee.thread, pthread_self()) != 0 {
        status = .deadlock
        return
      }
      let (isMine, _) = current.compareExchange(
        expected: UInt(bitPattern: watch), desired: busy, ordering: .sequentiallyConsistent)
      if isMine { claimed = watch }
    }
    guard let watch = claimed else { return status }
    for number in 1...lastSignal where watch.pointee.signals & bit(number) != 0 {
      cp_restore_handler(number, handler, watch.pointee.previousActions + Int(number))
    }
    // To join and to close are cancellation points.
    withCancellationDisabled {
      while visitors.load(ordering: .sequentiallyConsistent) != 0 { sched_yield() }
      watch.pointee.isEnding.store(true, ordering: .releasing)
      cp_eventfd_raise(watch.pointee.event)
      mustSucceed(pthread_join(watch.pointee.thread, nil))
      destroy(watch)
    }
    current.store(0, ordering: .sequentiallyConsistent)
    return .ok
  }

  private static func destroy(_ watch: Pointer) {
    let registry = watch.pointee.registry
    close(watch.pointee.event)
    free(watch)
    registry.release()
  }

  // MARK: In a signal handler

  /// Runs `body` with the watch, if there is one, which stays until it returns.
  ///
  /// Async-signal-safe if `body` is; leaves errno as it was.
  ///
  /// - Returns: whether there is one.
  private static func withWatch(_ body: (Pointer) -> Void) -> Bool {
    visitors.wrappingAdd(1, ordering: .sequentiallyConsistent)
    let bits = current.load(ordering: .sequentiallyConsistent)
    let watch = bits == busy ? nil : Pointer(bitPattern: bits)
    if let watch {
      let error = cp_errno()
      body(watch)
      cp_set_errno(error)
    }
    visitors.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    return watch != nil
  }

  private static var handler: @convention(c) (Int32) -> Void { { SignalWatch.signalCame($0) } }

  private static func signalCame(_ number: Int32) {
    _ = withWatch { watch in
      if ProcessState.isForkedChild {
        // Not a signal for this process's registry, which the child does not have.
        cp_raise_as_before(number, watch.pointee.previousActions + Int(number))
        return
      }
      if number != SIGHUP || !watch.pointee.hangUpReloads {
        let count = watch.pointee.count.wrappingAdd(1, ordering: .relaxed).newValue
        if count >= 3 { _exit(128 + number) }
      }
      watch.pointee.arrived.bitwiseOr(bit(number), ordering: .acquiringAndReleasing)
      cp_eventfd_raise(watch.pointee.event)
    }
  }

  /// Asks for the cancelling of a token, which the caller has a reference to; async-signal-safe.
  ///
  /// - Returns: `.ok`; `.invalid` when there is no watch that could do it.
  static func request(_ token: TokenReference, reason: UInt32) -> Status {
    let isHandedOver = withWatch { watch in
      if token.pointer.pointee.isRequested.exchange(true, ordering: .relaxed) { return }
      token.retain()
      token.pointer.pointee.requestedReason = reason
      var first = requests.load(ordering: .relaxed)
      while true {
        token.pointer.pointee.nextRequested = first
        let (done, seen) = requests.compareExchange(
          expected: first, desired: UInt(bitPattern: token.pointer), ordering: .releasing)
        if done { break }
        first = seen
      }
      cp_eventfd_raise(watch.pointee.event)
    }
    return isHandedOver ? .ok : .invalid
  }

  // MARK: The thread

  private static func run(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    // SAFETY: `make` passes a watch, which lives until this thread is joined.
    let watch = argument.unsafelyUnwrapped.assumingMemoryBound(to: SignalWatch.self)
    beginOwnThread("taskreg-signals")
    // Somebody has to be there whom the signals can interrupt, should all others have blocked them.
    unblock(watch.pointee.signals)
    while true {
      cp_eventfd_take(watch.pointee.event)
      // Looked at before the rest: what was asked for before the end is done.
      let isEnding = watch.pointee.isEnding.load(ordering: .acquiring)
      answerRequests()
      if ProcessState.isForkedChild { return nil }
      answerSignals(watch)
      if ProcessState.isForkedChild || isEnding { return nil }
    }
  }

  private static func unblock(_ signals: UInt64) {
    var set = cp_no_signals()
    for number in 1...lastSignal where signals & bit(number) != 0 { sigaddset(&set, number) }
    mustSucceed(pthread_sigmask(SIG_UNBLOCK, &set, nil))
  }

  private static func answerRequests() {
    var bits = requests.exchange(0, ordering: .acquiring)
    while let pointer = UnsafeMutablePointer<TokenStorage>(bitPattern: bits) {
      let token = TokenReference(pointer)
      bits = pointer.pointee.nextRequested
      _ = token.cancel(reason: pointer.pointee.requestedReason, message: nil)
      if ProcessState.isForkedChild { return }
      token.release()
    }
  }

  private static func answerSignals(_ watch: Pointer) {
    let arrived = watch.pointee.arrived.exchange(0, ordering: .acquiringAndReleasing)
    let token = watch.pointee.registry.token
    for number in 1...lastSignal where arrived & bit(number) != 0 {
      let isReload = number == SIGHUP && watch.pointee.hangUpReloads
      let reason = isReload ? CancelReason.reloadRequested : CancelReason.userRequested
      withFixedText {
        if let name = cp_signal_name(number) {
          $0.append("SIG")
          $0.append(utf8: UnsafeRawPointer(name).assumingMemoryBound(to: UInt8.self))
        } else {
          $0.append("signal ")
          $0.append(number)
        }
      } _: {
        _ = token.cancel(reason: reason, message: $0)
      }
      if ProcessState.isForkedChild { return }
    }
    if watch.pointee.count.load(ordering: .relaxed) >= 2 { watch.pointee.registry.hurry() }
  }
}
