import CPlatform
import Synchronization

// LOCKING
// The watch's Monitor guards the registry that it is for and the state of its threads. Handlers
// take no lock: they use only atomics, and calls that signal-safety(7) lists, in memory that is
// never freed. So a late handler finds the watch in any state: it records its signal as long as
// there is a watch, including one that is being started or ended; without one it makes the signal
// do what it does now.
//
// Starting takes the stage from `none` by compare-and-swap; ending takes it from `watching` under
// the lock, under which the watch is also moved. The thread that ends the watch first restores what
// the signals did before, then waits until no handler is left that could record anything, and then
// makes the threads finish.
//
// There are two threads, so that a second signal counts whatever the callbacks of the first one do.
// The receiver runs none of the application's code: it forces the deadline, and makes sure that
// there is an answerer. The answerer cancels tokens, and so runs callbacks, which may block and may
// end their thread: then the receiver makes another one.

/// Turns signals into the shutdown of a registry, and requests from signal handlers into the
/// cancellation of tokens: two threads and one set of handlers for the process, while a watch is
/// started (C13, C14).
struct SignalWatch: ~Copyable {
  // atomic: incremented for each event that the threads must handle; they sleep on it by futex(2).
  // The first field, so that its address is known. Released by the thread that changed something,
  // acquired by the watch's threads.
  fileprivate let event = Atomic<UInt32>(0)
  // atomic: the process that started the watch; relaxed. A child that shares this memory, or has a
  // copy of it, is another process (vfork, clone), even if no handler of pthread_atfork(3) ran in
  // it.
  fileprivate let process = Atomic<Int32>(0)
  // atomic: the stage; see `Stage`. Sequentially consistent with `visitors`.
  fileprivate let stage = Atomic<UInt8>(Stage.none)
  // atomic: how many threads are in a handler or a request, about to record something. Sequentially
  // consistent with `stage`.
  fileprivate let visitors = Atomic<Int>(0)
  // atomic: relaxed; the signals that are watched, one bit each: number 1 is bit 0.
  fileprivate let signals = Atomic<UInt64>(0)
  // atomic: those of them whose handler may be ours; `previousActions` has what they did before.
  // Stored with release after that, loaded with acquire.
  fileprivate let installed = Atomic<UInt64>(0)
  // atomic: relaxed; whether SIGHUP requests a reload, and nothing more when it comes again.
  fileprivate let hangUpReloads = Atomic<Bool>(false)
  // atomic: signals that have arrived and were not handled yet. Released by the handler, acquired
  // by the answerer.
  fileprivate let arrived = Atomic<UInt64>(0)
  // atomic: how often a signal other than a reload has come. Relaxed but for the order of `event`.
  fileprivate let stops = Atomic<UInt64>(0)
  // atomic: the first such signal, 0 while there is none. Kept after the end of the watch if the
  // registry's token did not report it. Sequentially consistent.
  fileprivate let firstStop = Atomic<Int32>(0)
  // atomic: the tokens whose cancellation was requested, the last first, each with a reference; as
  // bits. Pushed with release, taken with acquire, one at a time.
  fileprivate let requests = Atomic<UInt>(0)
  // atomic: relaxed; the token that is being cancelled, with a reference, as bits. Owned by the
  // answerer.
  fileprivate let answered = Atomic<UInt>(0)
  // atomic: signals that were found to have another handler, which was not logged yet. Released by
  // the receiver, acquired by the answerer.
  fileprivate let lost = Atomic<UInt64>(0)

  // immutable after init
  fileprivate let monitor: Monitor<WatchState>
  /// What the signals did before, by number; owned by the thread that starts the watch until
  /// `installed` says so.
  fileprivate let previousActions: UnsafeMutablePointer<sigaction>

  typealias Pointer = UnsafeMutablePointer<SignalWatch>

  /// The stages of the watch.
  enum Stage {
    /// The stage while nothing is watched.
    static var none: UInt8 { 0 }
    /// The stage while a thread starts it.
    static var starting: UInt8 { 1 }
    /// The stage while signals are watched.
    static var watching: UInt8 { 2 }
    /// The stage while a thread ends it.
    static var ending: UInt8 { 3 }
  }

  /// The only one, as bits; made at the first use and never freed.
  ///
  /// atomic: stored with release, loaded with acquire.
  private static let shared = Atomic<UInt>(0)

  private static var existing: Pointer? { Pointer(bitPattern: shared.load(ordering: .acquiring)) }

  /// Signal numbers on Linux are 1 to 64.
  fileprivate static var lastSignal: Int32 { 64 }

  /// The bit of a signal in a set.
  static func bit(_ number: Int32) -> UInt64 { 1 << UInt64(number - 1) }

  /// The bits of the signals in a set.
  static func signals(in set: UnsafePointer<sigset_t>) -> UInt64 {
    var signals: UInt64 = 0
    for number in 1...lastSignal where sigismember(set, number) == 1 { signals |= bit(number) }
    return signals
  }

  /// Whether a signal is watched, so that it must not be sent to the process for another purpose.
  static func watches(_ number: Int32) -> Bool {
    guard let this = existing, number >= 1, number <= lastSignal else { return false }
    return this.pointee.signals.load(ordering: .sequentiallyConsistent) & bit(number) != 0
  }

  // MARK: Starting

  /// Starts the watch.
  ///
  /// A stop that an earlier watch has received, and that the token of its registry did not report,
  /// counts as received by this watch: when the call returns, the token is cancelled for it.
  ///
  /// - Parameters:
  ///   - registry: what to shut down; the caller has a reference.
  ///   - wanted: the signals, one bit each; nil is SIGINT and SIGTERM, and SIGHUP if that reloads,
  ///     without those that are ignored.
  ///   - hangUpReloads: as in the property.
  /// - Returns: `.ok`; `.invalid` if there is a watch already, or for a signal that cannot have a
  ///   handler or is used for something else; `.noMemory`; `.again` if the system refuses a thread;
  ///   `.system` if it refuses a handler.
  static func start(
    for registry: RegistryReference, signals wanted: UInt64?, hangUpReloads: Bool
  ) -> Status {
    let signals = wanted ?? defaultSignals(hangUpReloads: hangUpReloads)
    for number in 1...lastSignal where signals & bit(number) != 0 {
      if !cp_may_have_handler(number) {
        return .invalid(
          "tr_signal_watch_start", "set has a signal that cannot have a handler, or is a fault")
      }
      if number == Backtrace.signal {
        return .invalid("tr_signal_watch_start", "set has the signal of tr_enable_backtraces")
      }
    }
    guard let this = existingOrNew() else { return .noMemory }
    if !this.take(from: Stage.none, to: Stage.starting) {
      return .invalid(
        "tr_signal_watch_start", "there is a watch already; tr_signal_watch_move hands it over")
    }
    this.pointee.process.store(cp_process(), ordering: .relaxed)
    this.pointee.hangUpReloads.store(hangUpReloads, ordering: .relaxed)
    // Before the check whether a task uses one of them: see `CancelSignal.make`.
    this.pointee.signals.store(signals, ordering: .sequentiallyConsistent)
    var status = Status.ok
    for number in 1...lastSignal where signals & bit(number) != 0 && CancelSignal.uses(number) {
      status = .invalid(
        "tr_signal_watch_start", "set has a signal that is a cancel_signal, or has its handler")
    }
    if status == .ok { status = this.begin(for: registry) }
    if status != .ok {
      this.pointee.signals.store(0, ordering: .sequentiallyConsistent)
      this.pointee.stage.store(Stage.none, ordering: .sequentiallyConsistent)
      return status
    }
    this.pointee.stage.store(Stage.watching, ordering: .sequentiallyConsistent)
    this.takeOverStop(for: registry)
    return .ok
  }

  /// The signals that request the end of a program, without those that its parent has set to be
  /// ignored, as nohup(1) does.
  private static func defaultSignals(hangUpReloads: Bool) -> UInt64 {
    var signals: UInt64 = 0
    if hangUpReloads && !cp_is_ignored(SIGHUP) { signals |= bit(SIGHUP) }
    if !cp_is_ignored(SIGINT) { signals |= bit(SIGINT) }
    if !cp_is_ignored(SIGTERM) { signals |= bit(SIGTERM) }
    return signals
  }

  private static func existingOrNew() -> Pointer? {
    if let existing { return existing }
    guard let monitor = Monitor(WatchState()) else { return nil }
    let size = MemoryLayout<SignalWatch>.stride
    let actions = MemoryLayout<sigaction>.stride * Int(lastSignal + 1)
    guard let memory = malloc(size + actions) else {
      monitor.destroy()
      return nil
    }
    let this = memory.bindMemory(to: SignalWatch.self, capacity: 1)
    let previous = (memory + size).bindMemory(to: sigaction.self, capacity: Int(lastSignal + 1))
    this.initialize(to: SignalWatch(monitor: monitor, previousActions: previous))
    let (done, seen) = shared.compareExchange(
      expected: 0, desired: UInt(bitPattern: this), ordering: .acquiringAndReleasing)
    if done { return this }
    // Another thread was faster.
    monitor.destroy()
    free(memory)
    return Pointer(bitPattern: seen)
  }

  // MARK: Ending and handing over

  /// Ends the watch, if it is for `registry`: the signals do again what they did before.
  ///
  /// - Returns: `.ok`; `.invalid` if there is no such watch; `.deadlock` on a thread of its own.
  static func end(for registry: RegistryReference) -> Status {
    let status = existing?.pointee.monitor.withLock { state in
      if state.registry != registry { return Status.invalid }
      if state.isOwnThread { return .deadlock }
      return existing?.take(from: Stage.watching, to: Stage.ending) == true ? .ok : .invalid
    }
    if status == .ok { existing?.finish() }
    if status == .deadlock { return .deadlock }
    return status == .ok ? .ok : .invalid("tr_signal_watch_stop", noWatch)
  }

  /// Makes the watch, which is for `registry`, shut down another one from now on, without a moment
  /// at which no signal is watched.
  ///
  /// A stop that has come goes with it, whether it was answered or not: the caller continues with
  /// the other registry.
  ///
  /// - Returns: `.ok`; `.invalid` if there is no such watch.
  static func move(from registry: RegistryReference, to other: RegistryReference) -> Status {
    guard let this = existing else { return .invalid("tr_signal_watch_move", noWatch) }
    other.retain()
    let isMoved = this.pointee.monitor.withLock { state in
      if state.registry != registry { return false }
      if this.pointee.stage.load(ordering: .relaxed) != Stage.watching { return false }
      state.registry = other
      state.isDeadlineForced = false
      return true
    }
    (isMoved ? registry : other).release()
    if !isMoved { return .invalid("tr_signal_watch_move", noWatch) }
    this.takeOverStop(for: other)
    return .ok
  }

  private static var noWatch: StaticString { "there is no watch for this registry" }

  /// The first stop that has come and that no token has reported; 0 is none.
  static var pendingStop: Int32 {
    guard let this = existing, this.isInItsProcess else { return 0 }
    let number = this.pointee.firstStop.load(ordering: .sequentiallyConsistent)
    return number != 0 && this.isStopDelivered ? 0 : number
  }

  // MARK: In a signal handler

  fileprivate static var handler: @convention(c) (Int32) -> Void {
    { SignalWatch.signalCame($0) }
  }

  private static func signalCame(_ number: Int32) {
    guard let this = existing else { return }
    let error = cp_errno()
    if this.isInItsProcess {
      let isRecorded = this.asVisitor { this.record(number) }
      if !isRecorded {
        // The watch has ended since the signal was delivered here, or another thread has installed
        // our handler again.
        cp_restore_handler(number, handler, this.pointee.previousActions + Int(number))
        cp_raise(number)
      }
    } else {
      // A signal for a child, which does not have the registry. Nothing of the parent's is touched.
      cp_restore_handler(number, handler, this.pointee.previousActions + Int(number))
      cp_raise(number)
    }
    cp_set_errno(error)
  }

  /// Requests the cancellation of a token, to which the caller has a reference; async-signal-safe.
  ///
  /// - Returns: `.ok`; `.invalid` if there is no watch that could do it; `.forked` in a child.
  static func request(_ token: TokenReference, reason: UInt32) -> Status {
    guard let this = existing else { return .invalid("tr_request_shutdown", noWatch) }
    let error = cp_errno()
    defer { cp_set_errno(error) }
    if !this.isInItsProcess { return .forked }
    var isTaken = false
    _ = this.asVisitor {
      if this.pointee.stage.load(ordering: .relaxed) != Stage.watching { return }
      isTaken = true
      this.push(token, reason: reason)
    }
    return isTaken ? .ok : .invalid("tr_request_shutdown", noWatch)
  }

  /// Wakes the watch's threads, if they exist, so that they check everything.
  static func wake() { existing?.ring() }

  // MARK: In a child of fork

  /// Restores what the signals did before, in this process and in the programs that it executes: a
  /// signal that was ignored is ignored there, too.
  ///
  /// Called by the handler of pthread_atfork(3) in the child, which has one thread.
  static func processHasForked() {
    guard let this = existing else { return }
    this.restoreHandlers()
    // Their threads do not exist here.
    this.pointee.visitors.store(0, ordering: .relaxed)
  }
}

/// What the watch's Monitor guards.
///
/// Watch1: there is a registry from the start of a watch to its end; a reference of the
///         application's is held.
private struct WatchState: MonitorState {
  var registry: RegistryReference?
  /// Whether the deadline of the registry was forced.
  var isDeadlineForced = false
  /// Whether the threads must finish.
  var isEnding = false
  var receiver = pthread_t()
  /// The thread of the answerer, once it runs.
  var answerer = pthread_t()
  /// Whether there is an answerer, or one that has finished and was not joined.
  var hasAnswerer = false
  var hasAnswererFinished = false

  /// Whether the calling thread is the answerer.
  var isOwnThread: Bool { hasAnswerer && pthread_equal(answerer, pthread_self()) != 0 }

  func checkInvariants() {
    if hasAnswererFinished && !hasAnswerer {
      fatalError("an answerer has finished that was not there")
    }
  }
}

extension UnsafeMutablePointer<SignalWatch> {
  /// Whether the caller is in the process that started the watch, not in a child of it.
  ///
  /// Async-signal-safe. getpid(2) is a system call of some 50 ns, and right in a child, however it
  /// was made.
  fileprivate var isInItsProcess: Bool {
    !ProcessState.isForkedChild && pointee.process.load(ordering: .relaxed) == cp_process()
  }

  fileprivate func take(from stage: UInt8, to next: UInt8) -> Bool {
    pointee.stage.compareExchange(
      expected: stage, desired: next, ordering: .sequentiallyConsistent
    ).exchanged
  }

  /// Wakes both threads; async-signal-safe.
  fileprivate func ring() {
    pointee.event.wrappingAdd(1, ordering: .releasing)
    cp_futex_wake(self)
  }

  // MARK: Handlers

  /// Runs `body` if there is a watch, whose end waits for it; async-signal-safe if `body` is.
  ///
  /// - Returns: whether there is one.
  fileprivate func asVisitor(_ body: () -> Void) -> Bool {
    pointee.visitors.wrappingAdd(1, ordering: .sequentiallyConsistent)
    let isWatching = pointee.stage.load(ordering: .sequentiallyConsistent) != SignalWatch.Stage.none
    if isWatching { body() }
    pointee.visitors.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    return isWatching
  }

  /// Records a signal that has come.
  fileprivate func record(_ number: Int32) {
    if !isReload(number) {
      _ = pointee.firstStop.compareExchange(
        expected: 0, desired: number, ordering: .sequentiallyConsistent)
      let count = pointee.stops.wrappingAdd(1, ordering: .relaxed).newValue
      if count >= 3 { _exit(128 + number) }
    }
    pointee.arrived.bitwiseOr(SignalWatch.bit(number), ordering: .acquiringAndReleasing)
    ring()
  }

  private func isReload(_ number: Int32) -> Bool {
    number == SIGHUP && pointee.hangUpReloads.load(ordering: .relaxed)
  }

  /// Puts a token on the list of requests, once.
  fileprivate func push(_ token: TokenReference, reason: UInt32) {
    if token.pointer.pointee.isRequested.exchange(true, ordering: .relaxed) { return }
    token.retain()
    token.pointer.pointee.requestedReason = reason
    var first = pointee.requests.load(ordering: .relaxed)
    while true {
      token.pointer.pointee.nextRequested = first
      let (done, seen) = pointee.requests.compareExchange(
        expected: first, desired: UInt(bitPattern: token.pointer), ordering: .releasing)
      if done { break }
      first = seen
    }
    ring()
  }

  /// Installs the handlers; on failure the previous ones are restored.
  private func installHandlers() -> Status {
    let signals = pointee.signals.load(ordering: .relaxed)
    for number in 1...SignalWatch.lastSignal where signals & SignalWatch.bit(number) != 0 {
      let action = pointee.previousActions + Int(number)
      // Stored before ours is installed, as a child may need it at once.
      let isKnown = cp_get_previous(number, SignalWatch.handler, action) == 0
      pointee.installed.bitwiseOr(SignalWatch.bit(number), ordering: .acquiringAndReleasing)
      if !isKnown || cp_set_handler(number, SignalWatch.handler) != 0 {
        restoreHandlers()
        return .system
      }
    }
    return .ok
  }

  /// Restores what the signals did before, except where the application has installed another
  /// handler.
  fileprivate func restoreHandlers() {
    let installed = pointee.installed.exchange(0, ordering: .acquiringAndReleasing)
    for number in 1...SignalWatch.lastSignal where installed & SignalWatch.bit(number) != 0 {
      cp_restore_handler(number, SignalWatch.handler, pointee.previousActions + Int(number))
    }
  }

  // MARK: Starting and ending

  /// Makes the threads and installs the handlers.
  ///
  /// Requires the stage `starting`.
  fileprivate func begin(for registry: RegistryReference) -> Status {
    registry.retain()
    pointee.monitor.withLock { state in
      state = WatchState()
      state.registry = registry
    }
    pointee.lost.store(0, ordering: .relaxed)
    var status = makeAnswerer() ? Status.ok : .again
    if status == .ok {
      let (code, thread) = startThread(
        stackSize: RegistryOptionsCore.defaultStackSize, argument: self,
        main: {
          // SAFETY: the watch, which is never freed.
          $0.unsafelyUnwrapped.assumingMemoryBound(to: SignalWatch.self).receive()
          return nil
        })
      if code == 0 {
        pointee.monitor.withLock { $0.receiver = thread }
        status = installHandlers()
        if status != .ok { endThreads_() }
      } else {
        status = .again
        pointee.monitor.withLock { $0.isEnding = true }
        ring()
        withCancellationDisabled { joinAnswerer() }
      }
    }
    if status != .ok {
      pointee.monitor.withLock { $0.registry = nil }
      registry.release()
    }
    return status
  }

  /// Ends the watch.
  ///
  /// Requires the stage `ending`.
  fileprivate func finish() {
    restoreHandlers()
    // A handler that is about to record something does so within its next instructions, if it is
    // scheduled. One that is not, as a debugger has stopped it, records it for the next watch.
    let limit = Deadline.after(1_000_000_000)
    while pointee.visitors.load(ordering: .sequentiallyConsistent) != 0 && !limit.hasPassed {
      withCancellationDisabled {
        withParkerOfItsOwn { _ = $0.park(until: .after(50_000)) }
      }
    }
    endThreads_()
    if isStopDelivered {
      pointee.firstStop.store(0, ordering: .sequentiallyConsistent)
      pointee.stops.store(0, ordering: .relaxed)
    }
    let registry = pointee.monitor.withLock { state in
      let registry = state.registry
      state.registry = nil
      return registry
    }
    pointee.signals.store(0, ordering: .sequentiallyConsistent)
    pointee.stage.store(SignalWatch.Stage.none, ordering: .sequentiallyConsistent)
    registry?.release()
  }

  /// Makes the threads finish what was requested before, and joins them.
  private func endThreads_() {
    let receiver = pointee.monitor.withLock { state in
      state.isEnding = true
      return state.receiver
    }
    ring()
    // EINVAL if a handler of the application's, which replaced ours, has detached it.
    withCancellationDisabled { _ = pthread_join(receiver, nil) }
  }

  /// Whether the registry's token says that a person or a signal requested the shutdown: then the
  /// stop is known.
  fileprivate var isStopDelivered: Bool {
    pointee.monitor.withLock { state in
      guard let token = state.registry?.token else { return false }
      return token.reason == CancelReason.userRequested
    }
  }

  /// Applies a stop that has come before to this registry: its token is cancelled when this
  /// returns, except on the answerer's own thread, which does that next.
  fileprivate func takeOverStop(for registry: RegistryReference) {
    let number = pointee.firstStop.load(ordering: .sequentiallyConsistent)
    if number == 0 { return }
    pointee.arrived.bitwiseOr(SignalWatch.bit(number), ordering: .acquiringAndReleasing)
    ring()
    if pointee.monitor.withLock({ $0.isOwnThread }) { return }
    // The time to raise a flag. If the answerer is in a callback, or not scheduled, the token is
    // cancelled when it continues.
    let token = registry.token
    _ = token.monitor.wait(
      for: WaitKey.token, until: .after(1_000_000_000), isCancellable: false,
      isReady: { token.isCancelled })
  }

  // MARK: The receiver

  /// The receiver: forces the deadline when a second stop has come, and keeps an answerer.
  ///
  /// None of the application's code runs here.
  fileprivate func receive() {
    beginOwnThread("taskreg-watch")
    // One thread must be there that the signals can interrupt, in case all others block them.
    unblockSignals()
    var check = HandlerCheck()
    while true {
      let seen = pointee.event.load(ordering: .acquiring)
      if ProcessState.isForkedChild { return }
      if let registry = takeForcedRegistry() {
        registry.forceDeadline()
        registry.release()
      }
      let (isEnding, isAnswered) = pointee.monitor.withLock { ($0.isEnding, $0.hasAnswerer) }
      if isEnding {
        // If no thread was available for it, the rest is answered here.
        if isAnswered { joinAnswerer() } else { answerAll() }
        return
      }
      let retry = isAnswered || makeAnswerer() ? Deadline.never : Deadline.after(100_000_000)
      check.look(self)
      var until = retry.nanoseconds < check.next.nanoseconds ? retry : check.next
      let look = MainThread.nextLook
      if look.nanoseconds < until.nanoseconds { until = look }
      if waits(beyond: seen, until: until) { return }
    }
  }

  /// Sleeps until there is something to check.
  ///
  /// - Returns: whether the process must end, as no thread is left that a signal could concern.
  private func waits(beyond seen: UInt32, until deadline: Deadline) -> Bool {
    MainThread.beginWaiting()
    let isOver = MainThread.isLastToWait
    if !isOver {
      if deadline.isNever {
        cp_futex_wait(self, seen, nil)
      } else {
        var limit = deadline.timespec
        cp_futex_wait(self, seen, &limit)
      }
    }
    MainThread.endWaiting()
    return isOver
  }

  private func unblockSignals() {
    let signals = pointee.signals.load(ordering: .relaxed)
    var set = cp_no_signals()
    for number in 1...SignalWatch.lastSignal where signals & SignalWatch.bit(number) != 0 {
      sigaddset(&set, number)
    }
    mustSucceed(pthread_sigmask(SIG_UNBLOCK, &set, nil), "pthread_sigmask")
  }

  /// The registry, with a reference, if a second stop has come and its deadline was not forced yet.
  private func takeForcedRegistry() -> RegistryReference? {
    if pointee.stops.load(ordering: .relaxed) < 2 { return nil }
    return pointee.monitor.withLock { state in
      if state.isDeadlineForced { return nil }
      state.isDeadlineForced = true
      state.registry?.retain()
      return state.registry
    }
  }

  // MARK: The answerer

  /// Makes an answerer; false if the system refuses a thread.
  fileprivate func makeAnswerer() -> Bool {
    // Before the thread runs: it may have ended when this continues.
    pointee.monitor.withLock { state in
      state.answerer = pthread_t()
      state.hasAnswerer = true
    }
    let (code, _) = startThread(
      stackSize: RegistryOptionsCore.defaultStackSize, argument: self,
      main: {
        cp_call_guarded(
          // SAFETY: the watch, which is never freed.
          { $0.unsafelyUnwrapped.assumingMemoryBound(to: SignalWatch.self).answer() },
          { $0.unsafelyUnwrapped.assumingMemoryBound(to: SignalWatch.self).answererLeaves() }, $0)
        return nil
      })
    if code != 0 { pointee.monitor.withLock { $0.hasAnswerer = false } }
    return code == 0
  }

  /// Waits for the answerer to finish, however long the callbacks take that it runs.
  ///
  /// An answerer whose thread a callback has ended is replaced, so that nothing is left unanswered.
  private func joinAnswerer() {
    while true {
      let seen = pointee.event.load(ordering: .acquiring)
      let (isThere, hasFinished, thread) = pointee.monitor.withLock {
        ($0.hasAnswerer, $0.hasAnswererFinished, $0.answerer)
      }
      if hasFinished {
        // EINVAL if a callback has detached it, as code does that takes the thread for its own.
        _ = pthread_join(thread, nil)
        return
      }
      if !isThere && !makeAnswerer() { return answerAll() }
      cp_futex_wait(self, seen, nil)
    }
  }

  /// Called when a callback of the application's ends the answerer's thread: the receiver makes
  /// another one.
  ///
  /// It detaches itself: destructors of the application's may take long in it.
  private func answererLeaves() {
    if ProcessState.isForkedChild { return }
    _ = pthread_detach(pthread_self())  // EINVAL if the callback has done so
    pointee.monitor.withLock { $0.hasAnswerer = false }
    ring()
  }

  private func answer() {
    beginOwnThread("taskreg-signals")
    pointee.monitor.withLock { $0.answerer = pthread_self() }
    // The token that the previous answerer was cancelling when a callback ended its thread.
    giveUpAnswered()
    while true {
      let seen = pointee.event.load(ordering: .acquiring)
      // Read before the rest: what was requested before the end is done.
      let (isEnding, mask) = pointee.monitor.withLock {
        ($0.isEnding, $0.registry?.callbackMask)
      }
      (mask ?? .all).whileCalling { answerAll() }
      if ProcessState.isForkedChild { return }
      if isEnding || waits(beyond: seen, until: MainThread.nextLook) { break }
    }
    pointee.monitor.withLock { $0.hasAnswererFinished = true }
    ring()
  }

  private func answerAll() {
    answerRequests()
    if ProcessState.isForkedChild { return }
    answerSignals()
    if ProcessState.isForkedChild { return }
    reportLostSignals()
  }

  private func answerRequests() {
    var bits = pointee.requests.load(ordering: .acquiring)
    // One at a time, so that none is lost if a callback ends the thread. No other thread takes any
    // off.
    while let pointer = UnsafeMutablePointer<TokenStorage>(bitPattern: bits) {
      let (done, seen) = pointee.requests.compareExchange(
        expected: bits, desired: pointer.pointee.nextRequested, ordering: .acquiring)
      if done {
        cancel(TokenReference(pointer), reason: pointer.pointee.requestedReason, message: nil)
        if ProcessState.isForkedChild { return }
        bits = pointee.requests.load(ordering: .acquiring)
      } else {
        bits = seen
      }
    }
  }

  /// Cancels the registry's token for the signals that have come: for a stop, if there is one, as
  /// it takes precedence over a reload, and for the first of several stops.
  private func answerSignals() {
    let first = pointee.firstStop.load(ordering: .sequentiallyConsistent)
    if first != 0 { answer(first) }
    for number in (1...SignalWatch.lastSignal).reversed() where !ProcessState.isForkedChild {
      answer(number)
    }
  }

  /// Cancels the registry's token for a signal, if it has come.
  private func answer(_ number: Int32) {
    let bit = SignalWatch.bit(number)
    if pointee.arrived.load(ordering: .acquiring) & bit == 0 { return }
    pointee.arrived.bitwiseAnd(~bit, ordering: .acquiringAndReleasing)
    let token = pointee.monitor.withLock { state in
      let token = state.registry?.token
      token?.retain()
      return token
    }
    guard let token else { return }
    let reason = isReload(number) ? CancelReason.reloadRequested : CancelReason.userRequested
    withFixedText {
      $0.append(signal: number)
    } _: {
      cancel(token, reason: reason, message: $0)
    }
  }

  /// Cancels a token, and releases the caller's reference.
  private func cancel(_ token: TokenReference, reason: UInt32, message: UnsafePointer<UInt8>?) {
    pointee.answered.store(UInt(bitPattern: token.pointer), ordering: .relaxed)
    _ = token.cancel(reason: reason, message: message)
    if !ProcessState.isForkedChild { giveUpAnswered() }
  }

  private func giveUpAnswered() {
    let bits = pointee.answered.exchange(0, ordering: .relaxed)
    if let pointer = UnsafeMutablePointer<TokenStorage>(bitPattern: bits) {
      TokenReference(pointer).release()
    }
  }

  // MARK: Signals that are lost

  /// Whether there is a log in which a lost signal can be reported.
  fileprivate var isHeard: Bool {
    pointee.monitor.withLock { $0.registry?.options.log.isListening == true }
  }

  /// The signals that have another handler than ours.
  fileprivate var taken: UInt64 {
    let installed = pointee.installed.load(ordering: .acquiring)
    var taken: UInt64 = 0
    for number in 1...SignalWatch.lastSignal where installed & SignalWatch.bit(number) != 0 {
      if !cp_has_plain_handler(number, SignalWatch.handler) { taken |= SignalWatch.bit(number) }
    }
    return taken
  }

  fileprivate func report(lost signals: UInt64) {
    pointee.lost.bitwiseOr(signals, ordering: .releasing)
    ring()
  }

  /// Logs the signals for which the application has installed another handler.
  private func reportLostSignals() {
    let lost = pointee.lost.exchange(0, ordering: .acquiring)
    if lost == 0 { return }
    let registry = pointee.monitor.withLock { state in
      state.registry?.retain()
      return state.registry
    }
    guard let registry else { return }
    for number in 1...SignalWatch.lastSignal where lost & SignalWatch.bit(number) != 0 {
      let empty: StaticString = ""
      withFixedText {
        $0.append(signal: number)
        $0.append(" has another handler now, and shuts nothing down any more")
      } _: {
        registry.sendUnheld(
          LogRecord(
            level: LogEventNumber.warning, event: LogEventNumber.signalLost, code: number,
            task: empty.utf8Start, message: $0))
      }
      if ProcessState.isForkedChild { return }
    }
    registry.release()
  }
}

/// When the receiver checks whether the handlers are still installed; a change is not reported by
/// the system.
///
/// The first check is after a second; the intervals then double up to a minute. There are none
/// without a log.
private struct HandlerCheck {
  private(set) var next = Deadline.never
  private var pause: Int64 = 1_000_000_000
  private var told: UInt64 = 0

  private static var longestPause: Int64 { 60_000_000_000 }

  mutating func look(_ watch: SignalWatch.Pointer) {
    if !watch.isHeard {
      next = .never
    } else if next.isNever {
      next = .after(pause)
    } else if next.hasPassed {
      let taken = watch.taken
      if taken & ~told != 0 { watch.report(lost: taken & ~told) }
      told = taken
      pause = min(pause * 2, Self.longestPause)
      next = .after(pause)
    }
  }
}

extension FixedText {
  /// Appends a signal's name, "SIGTERM", or "signal 40" if it has none.
  fileprivate mutating func append(signal number: Int32) {
    if let name = cp_signal_name(number) {
      append("SIG")
      append(utf8: UnsafeRawPointer(name).assumingMemoryBound(to: UInt8.self))
    } else {
      append("signal ")
      append(number)
    }
  }
}
