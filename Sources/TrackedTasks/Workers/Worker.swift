import CPlatform
import Synchronization

// LOCKING
// A worker belongs to one registry and is freed with it, as part of its batch. Its links are guarded by the
// registry's Monitor; its mailbox follows M1 of `MailboxWord`; the rest is its own thread's.

/// One thread of a registry: it runs a task, and then perhaps another.
struct Worker: ~Copyable {
  typealias Pointer = UnsafeMutablePointer<Worker>

  // What spawners look at. Hints aside, only the mailbox is written while the thread lives.
  // atomic: what the worker is to do next; see `MailboxWord`. Posted with release, so that the
  // record is seen complete.
  let mailbox = Atomic<UInt>(0)
  // atomic: relaxed, a hint; the processor it runs on.
  let cpu = Atomic<Int32>(-1)
  // atomic: relaxed, a hint; the processor of the spawner of its task.
  let spawnerCPU = Atomic<Int32>(-1)
  // immutable after init
  let registry: RegistryReference
  let parker: Parker
  /// Whether its thread has ended.
  let life: ThreadLife.Pointer
  private let padding = InlineArray<1, UInt64>(repeating: 0)

  // owned by the worker thread; on a line of their own, as spawners poll the one above
  /// The task it runs, from before the body until its end is known.
  var task: TaskReference?
  /// How far the end of the task has come, should the thread leave in the middle.
  var stage = Stage.body
  var ending = TaskWord.Ending.none
  /// Whether the thread leaves after its task; set by the creator before the thread exists, and by a thread that
  /// could not be scheduled as it should.
  var isSingleUse = false
  /// Whether nobody has looked what its last body changed of the thread, as the registry had closed: then no task is
  /// handed to it.
  ///
  /// Owned by the worker thread while it is not idle, else guarded by the registry's monitor.
  var isUnchecked = false
  /// The kernel's id of the thread; set by the thread itself, read by others after it departed.
  var threadID: Int32 = 0
  /// The first two words of the task name the kernel was last told.
  var kernelName: (UInt64, UInt64) = (0, 0)
  /// The signal for backtraces that the thread lets through in bodies; 0 is none.
  var backtraceSignal: Int32 = 0
  /// How the thread started out, and what has to be looked at.
  var threadState = ThreadState()
  /// The lowest byte of its place in the arena, where the guard lies; nil before it is first
  /// needed.
  ///
  /// Set by the creator of a thread, read by whoever takes its end up.
  var stack: UnsafeMutableRawPointer?

  // guarded by the registry's Monitor
  /// Where the thread says whether it could begin, if its creator waits for that.
  ///
  /// SAFETY: it points to the creator's stack. The creator leaves only when it has been told, and
  /// the thread looks at it once, under the lock, to tell.
  var beginning: UnsafeMutablePointer<Beginning>?
  var next: Pointer?
  var previous: Pointer?
  var isIdle = false

  // rarely touched
  /// A stack of another size than the registry's, for one thread; where its guard lies, and without that how
  /// many bytes it has.
  ///
  /// Likewise.
  var ownStack: UnsafeMutableRawPointer?
  var ownStackSize = 0
  /// The id of the last task that was reported as late; owned by the worker thread.
  var lateReported: UInt64 = 0
  // atomic: relaxed; the processor time the thread had used when it took up its task, in nanoseconds, give or
  // take some milliseconds; -1 if that is not known. Written by the thread; see `ThreadClock.swift`.
  let cpuBase = Atomic<Int64>(0)
  /// Ticks of bodies since `cpuBase` was noted; owned by the worker thread.
  var ticksSinceBase: UInt64 = 0

  /// How far the end of a task has come.
  enum Stage {
    /// The stage while the body runs.
    case body
    /// The stage while `drop` runs.
    case drop
    /// The stage while the log callback runs.
    case log
    /// The stage once only the library's own steps are left.
    case done
  }

  /// What became of a new thread; on its creator's stack.
  enum Beginning {
    /// The beginning before the thread has come that far.
    case awaited
    /// The beginning of a thread that goes on.
    case made
    /// The beginning of a thread that had no memory to know its worker by, and ends (S6).
    case rejected
  }

  init(registry: RegistryReference, parker: Parker, life: ThreadLife.Pointer) {
    self.registry = registry
    self.parker = parker
    self.life = life
  }

  // MARK: The calling thread

  // Workers are aligned, so the low bits of the thread-specific value are free: 0 while the thread
  // serves a registry, and once its worker has departed how many more rounds of destructors it
  // stays known for.
  private static var roundsMask: UInt { 3 }

  /// The worker that the calling thread is, or nil.
  @inline(__always)
  static var current: Pointer? {
    let value = ProcessState.threadValue
    return value & roundsMask == 0 ? Pointer(bitPattern: value) : nil
  }

  /// The worker that the calling thread is, or was before it departed: other destructors of its
  /// thread-specific data may run after that.
  static var currentOrDeparted: Pointer? {
    Pointer(bitPattern: ProcessState.threadValue & ~roundsMask)
  }

  /// Makes `worker` the calling thread's.
  static func setCurrent(_ worker: Pointer) {
    ProcessState.setThreadValue(UInt(bitPattern: worker))
  }

  /// Makes `worker` one that the calling thread was, for this round of destructors and the next
  /// two.
  ///
  /// Not for the fourth, the last that POSIX promises: ThreadSanitizer has taken down its own part
  /// of the thread by then, and no code of ours may run.
  static func setDeparted(_ worker: Pointer) {
    ProcessState.setThreadValue(UInt(bitPattern: worker) | 2)
  }

  /// A round of destructors has come.
  ///
  /// - Parameter value: what the thread-specific value was.
  /// - Returns: how many came since `setDeparted`; 0 before that.
  static func laterRound(_ value: UInt) -> Int {
    let rounds = value & roundsMask
    if rounds > 1 { ProcessState.setThreadValue(value - 1) }
    return rounds == 0 ? 0 : Int(3 - rounds)
  }

  /// The task that the calling thread runs, or nil.
  @inline(__always)
  static var currentTask: TaskReference? { current?.pointee.task }
}

/// Runs `body` with a place for the calling thread to sleep: its worker's, or one on the stack.
func withParker<Result>(_ body: (Parker) -> Result) -> Result {
  if let worker = Worker.current { return body(worker.pointee.parker) }
  return withParkerOfItsOwn(body)
}
