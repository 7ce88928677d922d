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
// the lock, under which the watch is also moved. The thread that ends the watch first makes the
// threads finish, which let the signals through even if the program blocks them; then restores what
// the signals did before, waits until no handler is left that could record anything, and has what
// they recorded meanwhile answered.
//
// There are two threads, so that a second signal counts whatever the callbacks of the first one do.
// The receiver runs none of the application's code: it forces the deadline, and makes sure that
// there is an answerer. The answerer cancels tokens, and so runs callbacks, which may block and may
// end their thread: then the receiver makes another one. If a callback of another token holds the
// answerer up when the second stop comes, the receiver raises the flags of the first, and leaves
// the callbacks to the answerer.
//
// An explanation is written by the answerer, and a write may block, whatever poll(2) has said: to a
// terminal with little room, for instance. Then the receiver leaves that thread to it, and makes
// another answerer. The thread that was left looks, under the lock, whether it is still the
// answerer as soon as its write returns, and ends if it is not.

/// Turns signals into the shutdown of a registry, and requests from signal handlers into the
/// cancellation of tokens: two threads and one set of handlers for the process, while a watch is
/// started (C13, C14).
struct SignalWatch: ~Copyable {
  // atomic: incremented for each event that the threads must handle; they sleep on it by futex(2).
  // The first field, so that its address is known. Released by the thread that changed something,
  // acquired by the watch's threads.
  let event = Atomic<UInt32>(0)
  // atomic: the process that started the watch; relaxed. A child that shares this memory, or has a
  // copy of it, is another process (vfork, clone), even if no handler of pthread_atfork(3) ran in
  // it.
  let process = Atomic<Int32>(0)
  // atomic: the stage; see `Stage`. Sequentially consistent with `visitors`.
  let stage = Atomic<UInt8>(Stage.none)
  // atomic: how many threads are in a handler or a request, about to record something. Sequentially
  // consistent with `stage`.
  let visitors = Atomic<Int>(0)
  // atomic: relaxed; the signals that are watched, one bit each: number 1 is bit 0.
  let signals = Atomic<UInt64>(0)
  // atomic: those of them whose handler may be ours; `previousActions` has what they did before.
  // Stored with release after that, loaded with acquire.
  let installed = Atomic<UInt64>(0)
  // atomic: relaxed; the role of each signal by number, see `SignalRole`, and for one that explains
  // the descriptor to which. Stored before the handlers are installed.
  let roles = InlineArray<65, Atomic<UInt64>> { _ in Atomic(0) }
  let explainTo = InlineArray<65, Atomic<Int32>> { _ in Atomic(-1) }
  // atomic: signals that have arrived, to explain or to cancel, and were not handled yet. Released
  // by the handler, acquired by the answerer.
  let arrived = Atomic<UInt64>(0)
  // atomic: how many stops have come that were counted; see `StopCount`. Released by the handler,
  // acquired by the receiver.
  let stops = Atomic<UInt64>(0)
  // atomic: relaxed; when the first stop came, and how much later the second; and its number.
  // Stored before `stops` says that they came.
  let firstStopAt = Atomic<Int64>(0)
  let secondStopAfter = Atomic<Int64>(0)
  let secondStop = Atomic<Int32>(0)
  // atomic: relaxed; stops within this time of the last one that was counted are not counted, in
  // nanoseconds.
  let debounce = Atomic<Int64>(0)
  // atomic: whether callbacks of aborted tasks are left to the answerer, as there was no thread for
  // them. Released by the receiver, acquired by the answerer.
  let leavesCallbacks = Atomic<Bool>(false)
  // atomic: the token whose flags the receiver has raised, with a reference, as bits; its callbacks
  // are left to the answerer. Released by the receiver, acquired by the answerer.
  let raised = Atomic<UInt>(0)
  // atomic: the first stop, 0 while there is none. Kept after the end of the watch if the
  // registry's token did not report it. Sequentially consistent.
  let firstStop = Atomic<Int32>(0)
  // atomic: whether the last watch, which has ended, had received a stop. Sequentially consistent:
  // stored before `firstStop` is cleared.
  let hadStop = Atomic<Bool>(false)
  // atomic: the tokens whose cancellation was requested, the last first, each with a reference; as
  // bits. Pushed with release, taken with acquire, one at a time.
  let requests = Atomic<UInt>(0)
  // atomic: relaxed; the token that is being cancelled, with a reference, as bits. Owned by the
  // answerer.
  let answered = Atomic<UInt>(0)
  // atomic: relaxed; the registry for which the answerer calls a log callback, with a reference, as
  // bits. Owned by the answerer.
  let logging = Atomic<UInt>(0)
  // atomic: relaxed; how many threads were left to an explanation, and write it still.
  let leftWriting = Atomic<UInt32>(0)
  // atomic: signals that were found to have another handler, which was not logged yet. Released by
  // the receiver, acquired by the answerer.
  let lost = Atomic<UInt64>(0)

  // immutable after init
  let monitor: Monitor<WatchState>
  /// What the signals did before, by number; owned by the thread that starts the watch until
  /// `installed` says so.
  let previousActions: UnsafeMutablePointer<sigaction>

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

  static var existing: Pointer? { Pointer(bitPattern: shared.load(ordering: .acquiring)) }

  /// Wrappers deliver Ctrl-C twice: to the process group, and then to their child.
  static var defaultDebounce: Int64 { 100_000_000 }

  /// Signal numbers on Linux are 1 to 64.
  static var lastSignal: Int32 { 64 }

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
  ///   - hangUpReloads: whether SIGHUP requests a reload, and nothing more when it comes again.
  ///   - roles: what the signals ask for, if it is not a stop; these signals are watched, too.
  ///   - debounce: as in the property.
  ///   - function: of the C interface, for `tr_error_detail`.
  ///   - argument: the name that `wanted` has in its declaration.
  /// - Returns: `.ok`; `.invalid` if there is a watch already, or for a signal that cannot have a
  ///   handler or is used for something else; `.noMemory`; `.again` if the system refuses a thread;
  ///   `.system` if it refuses a handler.
  static func start(
    for registry: RegistryReference, signals wanted: UInt64?, hangUpReloads: Bool,
    roles: UnsafeBufferPointer<SignalAssignment>? = nil, debounce: Int64 = defaultDebounce,
    _ function: StaticString = "tr_signal_watch_start", _ argument: StaticString = "set"
  ) -> Status {
    func isInvalid(_ text: StaticString) -> Status {
      ErrorDetail.set(function) {
        $0.append(argument)
        $0.append(text)
      }
      return .invalid
    }
    var signals = wanted ?? defaultSignals(hangUpReloads: hangUpReloads)
    if let roles { for role in roles { signals |= bit(role.number) } }
    for number in 1...lastSignal where signals & bit(number) != 0 {
      if !cp_may_have_handler(number) {
        return isInvalid(" has a signal that cannot have a handler, or is a fault")
      }
      if number == Backtrace.signal {
        return isInvalid(" has the signal of tr_enable_backtraces")
      }
    }
    guard let this = existingOrNew() else { return .noMemory }
    if !this.take(from: Stage.none, to: Stage.starting) {
      return .invalid(
        function, "there is a watch already; tr_signal_watch_move hands it over")
    }
    this.pointee.process.store(cp_process(), ordering: .relaxed)
    this.assign(roles, hangUpReloads: hangUpReloads)
    this.pointee.debounce.store(debounce, ordering: .relaxed)
    this.pointee.hadStop.store(false, ordering: .sequentiallyConsistent)
    // Before the check whether a task uses one of them: see `CancelSignal.make`.
    this.pointee.signals.store(signals, ordering: .sequentiallyConsistent)
    var status = Status.ok
    for number in 1...lastSignal where signals & bit(number) != 0 && CancelSignal.uses(number) {
      status = isInvalid(" has a signal that is a cancel_signal, or has its handler")
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
}
