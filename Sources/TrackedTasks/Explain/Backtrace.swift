import CPlatform
import Synchronization

// LOCKING
// None, as a signal handler takes part. One capture at a time has the slot, whose word holds the
// step of the capture and is changed by compare-and-swap:
//
//     free → held → asked → claimed → done → free
//                     └──→ free  └──→ abandoned → free
//
//     free → held          [hold], by a thread that wants a backtrace: the asker
//     held → asked         [capture]: the asker has written the thread, sends the signal and sleeps
//     asked → claimed      [answer], by the handler, on the thread that was asked
//     claimed → done       [answered], by the handler: the frames are written
//     done → free          [collect, release], by the asker: it has read them
//     asked → free         [collect], by the asker: no handler came in time
//     claimed → abandoned  [collect], by the asker: the handler did not finish in time
//     abandoned → free     [answered, release], by the handler
//
// A handler that comes after its asker has withdrawn does nothing: the word counts the captures, so
// it cannot claim the next one. A handler that has claimed the slot and does not finish, as in an
// unwinder that waits for a lock, keeps the slot until it does: an asker never waits beyond its
// deadline, and the frames belong to the slot, not to the asker.
//
// The slot is made once and never freed: signals may arrive at any later time.

/// The backtraces of stragglers, taken by a signal handler on their own threads (E12).
struct Backtrace: ~Copyable {
  // atomic: a `Stage` in the lowest three bits, and above it the number of the capture. The first
  // field, so that its address is known; askers sleep on it. Each transition acquires what was
  // written before the last one.
  let word = Atomic<UInt32>(0)
  // atomic: relaxed; the kernel's id of the thread that is asked. Written while held.
  let threadID = Atomic<Int32>(0)
  // atomic: relaxed; the record of the task that is meant, as bits. Written while held.
  let record = Atomic<UInt>(0)
  // atomic: relaxed; this and the frames are written by the handler while claimed or abandoned, and
  // read while done. A frame count of -1: the thread does not run that task any more.
  let frameCount = Atomic<Int32>(0)
  // atomic: like the frame count; the system call that the thread is in, -1 if unknown.
  let syscall = Atomic<Int32>(-1)
  // immutable after init
  /// Room for the addresses, in the same allocation.
  let frames: UnsafeMutablePointer<UnsafeMutableRawPointer?>

  private init(frames: UnsafeMutablePointer<UnsafeMutableRawPointer?>) { self.frames = frames }

  private typealias Pointer = UnsafeMutablePointer<Backtrace>

  /// The steps of a capture.
  enum Stage {
    /// No capture is under way.
    static var free: UInt32 { 0 }
    /// An asker is preparing.
    static var held: UInt32 { 1 }
    /// The handler of the thread is awaited.
    static var asked: UInt32 { 2 }
    /// The handler is writing the frames.
    static var claimed: UInt32 { 3 }
    /// The asker is reading the frames.
    static var done: UInt32 { 4 }
    /// The handler is writing the frames, but no asker is waiting any more.
    static var abandoned: UInt32 { 5 }

    static var mask: UInt32 { 7 }
    /// What is added to the word for a new capture.
    static var oneCapture: UInt32 { 8 }
  }

  /// The outcome of a request for a backtrace; the numbers are those of `TR_BACKTRACE_…`.
  enum Outcome: UInt32 {
    /// Backtraces are not enabled, or none was asked for.
    case notEnabled = 0
    /// There are frames.
    case taken = 1
    /// The thread blocks the signal, or the signal has another handler.
    case blocked = 2
    /// The thread did not answer in time.
    case unanswered = 3
    /// The task had ended, or was not yet in its thread, when the thread was asked.
    case ended = 4
    /// The time or the room for the backtraces of one report was used up before.
    case left = 5

    /// Its name in JSON.
    var text: StaticString {
      switch self {
      case .notEnabled: "not-enabled"
      case .taken: "taken"
      case .blocked: "blocked"
      case .unanswered: "unanswered"
      case .ended: "ended"
      case .left: "left-out"
      }
    }

    /// Why there is no backtrace, as text; nil if there is one, or none was asked for.
    var reason: StaticString? {
      switch self {
      case .notEnabled, .taken: nil
      case .blocked: "its thread blocks the signal"
      case .unanswered: "its thread did not answer"
      case .ended: "it ended before its thread was asked"
      case .left: "no time or room was left for it"
      }
    }
  }

  /// The most frames a backtrace has.
  static var mostFrames: Int { 48 }
  /// How long a thread has to answer, in nanoseconds.
  private static var patience: Int64 { 100_000_000 }

  /// The one slot, as bits; 0 before it is needed.
  ///
  /// atomic: stored with release once it is made.
  private static let slot = Atomic<UInt>(0)
  /// The signal; 0 before there is one.
  ///
  /// atomic: stored once its handler is installed, and never changed again.
  private static let number = Atomic<Int32>(0)
  /// The signal whose handler is installed, or is being installed; 0 is none.
  ///
  /// atomic: the first thread that stores a signal here decides; no thread waits for it.
  private static let claimed = Atomic<Int32>(0)

  /// The signal that tasks unblock; 0 is none.
  @inline(__always)
  static var signal: Int32 { number.load(ordering: .relaxed) }

  // MARK: Enabling

  /// Takes backtraces with a signal from now on, for all registries of the process.
  ///
  /// - Parameter wanted: the number of the signal.
  /// - Returns: `.ok`; `.invalid` if the signal cannot have a handler, has another one, or is not
  ///   the one of the first call; `.noMemory`.
  static func enable(signal wanted: Int32) -> Status {
    if !cp_may_have_handler(wanted) {
      return .invalid(
        "tr_enable_backtraces", "signal_number is not a signal that may have a handler")
    }
    let status = ProcessState.prepare()
    if status != .ok { return status }
    guard makeSlot() else { return .noMemory }
    let before = claimed.compareExchange(
      expected: 0, desired: wanted, ordering: .acquiringAndReleasing
    ).original
    var isInstalled = false
    if before == 0 || before == wanted {
      isInstalled = cp_install_context_handler(wanted, handler) == 0
      if isInstalled {
        number.store(wanted, ordering: .releasing)
      } else if number.load(ordering: .acquiring) == 0 {
        _ = claimed.compareExchange(
          expected: wanted, desired: 0, ordering: .acquiringAndReleasing)
      }
    }
    return isInstalled
      ? .ok
      : .invalid(
        "tr_enable_backtraces",
        "signal_number has another handler, is ignored, or is not the one of the first call")
  }

  private static func makeSlot() -> Bool {
    if slot.load(ordering: .acquiring) != 0 { return true }
    let room = MemoryLayout<UnsafeMutableRawPointer?>.stride * mostFrames
    var memory: UnsafeMutableRawPointer?
    guard posix_memalign(&memory, 64, 64 + room) == 0, let memory else { return false }
    let frames = (memory + 64).bindMemory(to: UnsafeMutableRawPointer?.self, capacity: mostFrames)
    frames.initialize(repeating: nil, count: mostFrames)
    let made = memory.bindMemory(to: Backtrace.self, capacity: 1)
    made.initialize(to: Backtrace(frames: frames))
    let (isMine, _) = slot.compareExchange(
      expected: 0, desired: UInt(bitPattern: made), ordering: .acquiringAndReleasing)
    if !isMine { free(memory) }
    return true
  }

  // MARK: Asking

  /// Records where a thread is, and its callers.
  ///
  /// The thread itself checks whether it still runs the task that is meant: the frames are that
  /// task's, even if the signal has made it end its body since, as a poll(2) that returns EINTR
  /// does.
  ///
  /// - Parameters:
  ///   - threadID: the kernel's id of a thread of this process.
  ///   - task: the task that is meant, to which the caller has a reference; nil accepts whatever
  ///     the thread does.
  ///   - buffer: receives the addresses, the innermost first. The first is where the thread is, the
  ///     others are return addresses.
  ///   - capacity: how many there is room for.
  ///   - end: when to give up, if that is sooner than a tenth of a second from now.
  /// - Returns: how many there are, at most `mostFrames`; why there are none; and the number of the
  ///   system call that the thread is in, if it is one that continues after a signal and the
  ///   handler could see it, otherwise -1.
  ///
  /// *Concurrency:* any thread, but not in a forked child; one capture at a time, for whose end the
  /// others wait as long.
  static func capture(
    ofThread threadID: Int32, of task: TaskReference? = nil,
    into buffer: UnsafeMutablePointer<UInt64>, capacity: Int, until end: Deadline = .never
  ) -> (count: Int, outcome: Outcome, syscall: Int32) {
    let signal = number.load(ordering: .acquiring)
    guard signal != 0, let slot = Pointer(bitPattern: slot.load(ordering: .acquiring)) else {
      return (0, .notEnabled, -1)
    }
    if threadID <= 0 { return (0, .ended, -1) }
    // With another handler the signal might end the process.
    if !cp_has_context_handler(signal, handler) || blocks(signal, threadID, until: end) {
      return (0, .blocked, -1)
    }
    let deadline = Deadline(
      nanoseconds: min(Deadline.after(patience).nanoseconds, end.nanoseconds))
    guard let capture = slot.hold(until: deadline) else { return (0, .unanswered, -1) }
    slot.pointee.threadID.store(threadID, ordering: .relaxed)
    slot.pointee.record.store(UInt(bitPattern: task?.pointer), ordering: .relaxed)
    slot.pointee.word.store(capture | Stage.asked, ordering: .releasing)
    let isSent = cp_signal_thread(threadID, signal)
    if isSent { slot.awaitAnswer(to: capture, until: deadline) }
    return slot.collect(capture, into: buffer, capacity)
  }

  /// Whether a thread blocks the signal; not if it does so only because it is about to leave the
  /// handler after an earlier capture: one report may follow another at once.
  private static func blocks(_ signal: Int32, _ threadID: Int32, until end: Deadline) -> Bool {
    for _ in 0..<20 {
      if !ThreadProbe.blocks(signal, threadID: threadID) { return false }
      if end.hasPassed { return true }
      withParkerOfItsOwn { _ = $0.park(until: .after(500_000)) }
    }
    return true
  }

  // MARK: In the signal handler

  /// A computed property: a stored one would be initialised at its first use.
  private static var handler: cp_context_handler { { _, _, context in Backtrace.answer(context) } }

  /// Records the frames, if this thread is asked.
  private static func answer(_ context: UnsafeMutableRawPointer?) {
    let before = cp_errno()
    if let slot = Pointer(bitPattern: slot.load(ordering: .acquiring)) { slot.answer(context) }
    cp_set_errno(before)
  }
}
