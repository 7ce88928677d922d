/// What a thread waits for (Q1): a pure value, made of a system call and of the bytes of a lock.
struct WaitEdge: Equatable {
  var kind = Kind.unknown
  /// Why it is not known; `.none` if it is.
  var gap = Gap.none
  /// Whether it gives up at some time.
  var isTimed = false
  /// The thread that holds the lock, or that has to end; 0: none, or not known.
  var holder: Int32 = 0
  /// How many readers hold the lock; how many descriptors are polled.
  var count: UInt32 = 0
  var descriptor: Int32 = -1
  var process: Int32 = 0
  /// The address of the lock, or of what is to be signalled; 0: none.
  var address: UInt64 = 0
  /// The id of the task that has to end; 0: none.
  var task: UInt64 = 0

  /// The numbers are those of `TR_WAITS_…`.
  enum Kind: UInt32 {
    case unknown = 0
    /// It runs.
    case nothing = 1
    case mutex = 2
    case rwlock = 3
    /// A condition variable or a semaphore.
    case signal = 4
    /// The end of a thread: pthread_join(3).
    case thread = 5
    case descriptor = 6
    /// Several descriptors: poll(2), select(2).
    case descriptors = 7
    /// A lock of a file.
    case fileLock = 8
    /// The end of a child process.
    case child = 9
    case time = 10
    /// The end of a task, in a wait of the library.
    case task = 11
    /// The end of all tasks of a registry, likewise.
    case tasks = 12
    /// The cancellation of a token, likewise.
    case token = 13
    /// That it is asked to stop, likewise.
    case stop = 14
    /// That another task would be admitted, likewise.
    case room = 15

    /// Its name in JSON.
    var text: StaticString {
      switch self {
      case .unknown: "unknown"
      case .nothing: "nothing"
      case .mutex: "mutex"
      case .rwlock: "rwlock"
      case .signal: "signal"
      case .thread: "thread"
      case .descriptor: "descriptor"
      case .descriptors: "descriptors"
      case .fileLock: "file-lock"
      case .child: "child"
      case .time: "time"
      case .task: "task"
      case .tasks: "tasks"
      case .token: "token"
      case .stop: "stop"
      case .room: "room"
      }
    }
  }

  /// Why it is not known; the numbers are those of `TR_GAP_…`.
  enum Gap: UInt32 {
    case none = 0
    /// The files of the thread cannot be read.
    case unread = 1
    /// It does not run and is in no system call.
    case outside = 2
    /// The arguments of this system call say nothing.
    case call = 3
    /// The system call was not made by a lock of the C library.
    case foreign = 4
    /// The lock is not as glibc leaves one that is held.
    case unlike = 5
    /// Other processes may use the lock, whose thread ids may be of another namespace.
    case shared = 6
    /// The lock names no owner.
    case ownerless = 7
    /// The owner that the lock names is not a live thread of this process.
    case ownerGone = 8
    /// It changed while it was examined.
    case changed = 9
    /// The memory of the lock is not mapped.
    case unmapped = 10
    /// The system forbids reading the memory.
    case forbidden = 11
    /// The C library's locks are not those that the library was built for.
    case otherLibrary = 12
    /// The C library's locks could not be tried out.
    case untested = 13
    /// The task has no thread yet, or has ended.
    case noThread = 14

    /// Why it is not known, in words; nil if it is.
    var text: StaticString? {
      switch self {
      case .none: nil
      case .unread: "what Linux says of its thread cannot be read"
      case .outside: "it is in no system call, and does not run"
      case .call: "the arguments of its system call do not say"
      case .foreign: "it is in no lock of the C library's that is known"
      case .unlike: "the lock is not as the C library leaves one that is held"
      case .shared: "other processes may use the lock"
      case .ownerless: "the lock names no owner"
      case .ownerGone: "the owner that the lock names is not a live thread of this process"
      case .changed: "it changed while it was examined"
      case .unmapped: "the memory of the lock is not mapped"
      case .forbidden: "the system forbids reading the memory of the lock"
      case .otherLibrary: "the C library is another one than this library was built for"
      case .untested: "the locks of the C library could not be tried out"
      case .noThread: "it has no thread"
      }
    }
  }

  static func unknown(_ gap: Gap) -> WaitEdge { WaitEdge(kind: .unknown, gap: gap) }

  init(
    kind: Kind = .unknown, gap: Gap = .none, holder: Int32 = 0, count: UInt32 = 0,
    descriptor: Int32 = -1, process: Int32 = 0, address: UInt64 = 0
  ) {
    self.kind = kind
    self.gap = gap
    self.holder = holder
    self.count = count
    self.descriptor = descriptor
    self.process = process
    self.address = address
  }
}
