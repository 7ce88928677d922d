#if !hasFeature(Embedded)

  /// What the thread of a straggler waits for.
  ///
  /// A holder is named only if it is proven: the lock and its owner were read twice, the owner is a
  /// live thread of this process, and the thread was in the same wait before and after.
  public struct WaitReport: Hashable, Sendable, Codable {
    /// What it is.
    @nonexhaustive
    public enum Kind: UInt32, Hashable, Sendable, Codable, CaseIterable {
      /// Not known; `unknownBecause` says why.
      case unknown = 0
      /// It runs.
      case nothing = 1
      /// A mutex, which `holderThreadID` holds.
      case mutex = 2
      /// A read-write lock, which the writer `holderThreadID` holds, or `count` readers.
      case rwlock = 3
      /// A condition variable or a semaphore: it waits to be signalled by any thread.
      case signal = 4
      /// The end of the thread `holderThreadID`.
      case thread = 5
      /// `descriptor`.
      case descriptor = 6
      /// Several descriptors; `count` if it is known how many.
      case descriptors = 7
      /// A lock of a file, through `descriptor`.
      case fileLock = 8
      /// The end of a child process.
      case child = 9
      /// It sleeps.
      case time = 10
      /// The end of the task `holderTaskID`, in a wait of the library.
      case task = 11
      /// The end of all tasks of a registry, in a wait of the library; `holderTaskID` is one of
      /// them.
      case tasks = 12
      /// The cancellation of a token, in a wait of the library.
      case token = 13
      /// That it is asked to stop, in a wait of the library.
      case stop = 14
      /// Room for another task, in a wait of the library.
      case room = 15
    }

    /// What it is.
    public let kind: Kind
    /// Why that is not known, for people; nil if it is.
    public let unknownBecause: String?
    /// The kernel's id of the thread that holds the lock, or has to end, or runs the task that has
    /// to; nil: none, or not known.
    public let holderThreadID: Int32?
    /// The straggler of the same report that this thread runs; nil if it runs none.
    ///
    /// For `.task` the task that has to end, in this report or not.
    public let holderTaskID: UInt64?
    /// The name of that straggler, or the kernel's name of the thread; nil if it is not known.
    public let holderName: String?
    /// Whether that thread is known to be the one that took the lock, or that task the one that has
    /// to end; see `tr_straggler`'s `holder_is_certain`.
    public let holderIsCertain: Bool
    /// The address of the lock, or of what is to be signalled; nil: none.
    public let address: UInt64?
    /// The descriptor; nil: none.
    public let descriptor: Int32?
    /// The process that has to end, or that holds the lock of a file; nil: none, any child, or not
    /// known.
    public let process: Int32?
    /// How many readers hold the lock, how many descriptors there are, or how many stragglers the
    /// wait for all tasks of a registry is for; nil: none, or not known.
    public let count: Int?
    /// Whether the wait for a lock or for the end of a thread has a time limit, or any wait of the
    /// library.
    public let givesUp: Bool

    init(_ edge: WaitEdge, _ holder: WaitHolder) {
      kind = Kind(rawValue: edge.kind.rawValue) ?? .unknown
      unknownBecause = edge.gap.text?.description
      let thread = edge.holder != 0 ? edge.holder : holder.thread
      holderThreadID = thread == 0 ? nil : thread
      holderTaskID = holder.task == 0 ? nil : holder.task
      let name = holder.name.withText { String(cString: $0) }
      holderName = name.isEmpty ? nil : name
      holderIsCertain =
        (holderThreadID != nil || holderTaskID != nil) && !holder.isDoubtful(edge)
      address = edge.address == 0 ? nil : edge.address
      descriptor = edge.descriptor < 0 ? nil : edge.descriptor
      process = edge.process == 0 ? nil : edge.process
      count = edge.count == 0 ? nil : Int(edge.count)
      givesUp = edge.isTimed
    }
  }

#endif
