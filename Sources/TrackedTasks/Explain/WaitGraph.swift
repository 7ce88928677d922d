import CPlatform

/// Who holds what a straggler, or a thread, waits for (Q3).
struct WaitHolder {
  /// Its place among the nodes of the report: the stragglers, then the other threads; -1: none, or
  /// not listed.
  var node: Int32 = -1
  /// The id of the task that it runs, if that is a straggler of the report, or that has to end;
  /// else 0.
  var task: UInt64 = 0
  /// The kernel's id of its thread, if it is a node; 0: none.
  var thread: Int32 = 0
  /// The name of that task, or the kernel's name of the thread; empty if it is not known.
  var name = TaskName()
  /// Whether no earlier thread of the process had the id of the thread that holds a lock; false if
  /// that is not known (Q1).
  var isFirst = false

  /// Whether an earlier thread with the same id may have taken the lock, and ended.
  ///
  /// Every kind of lock keeps the id of an owner then. The kernel marks one that inherits priorities
  /// only if somebody waits, and of robust ones the first 2048 that a thread has.
  func isDoubtful(_ edge: WaitEdge) -> Bool { edge.holder != 0 && !edge.isForEnd && !isFirst }
}

/// How a node holds up others.
struct HeldUp {
  /// How many stragglers wait for it, directly or through others, if it is at the end of a chain.
  var tasks: Int32 = 0
  /// How many stragglers wait for it directly.
  var direct: Int32 = 0
  /// A node that waits for it directly; -1: none.
  var waiter: Int32 = -1
  /// Whether those that wait for it directly wait for different locks.
  var hasSeveralLocks = false
  /// Whether some of them wait for a lock, and some for its end.
  var hasLocks = false
  var hasEnds = false
  /// Whether an earlier thread with the same id may have taken a lock in one of these chains.
  var isDoubtful = false
  /// Whether no earlier thread had its id, once that was asked; see `WaitHolder`.
  var isFirst: Bool?
  /// Whether it is in one of the circles that are listed.
  var isInCircle = false
}

/// A thread that runs no straggler: one that holds something that a node waits for, or, if that is
/// asked for, any (Q7).
struct OtherThread {
  let threadID: Int32
  var name = TaskName()
  var probe = ThreadProbe()
  var holder = WaitHolder()
  var heldUp = HeldUp()
}

/// The threads of a report that wait for each other.
///
/// The nodes are the stragglers, and behind them the other threads that hold something, and then, if
/// they are asked for, those that do not (Q7). A node has
/// an edge to its holder if that is a node. Each edge is proven by itself, at a moment of its own;
/// those of a circle are proven again once it is found (Q4).
struct WaitGraph {
  var others: UnsafeMutablePointer<OtherThread>?
  var otherCount = 0
  /// The first node of each circle, and how many there are.
  var circles = InlineArray<8, Int32>(repeating: -1)
  var circleCount = 0
  /// The kernel's id of the thread that made the report.
  var reporter: Int32 = 0
  /// Whether the other threads of the process were asked for.
  var hasThreads = false
  /// How many of these are not listed.
  var unlistedThreads = 0
  /// The error number because of which others may be missing; 0: none.
  var threadsFailure: Int32 = 0

  /// How many other threads are listed at the most.
  static var mostOthers: Int { ProbedProcess.mostThreads }
  static var mostCircles: Int { 8 }
}

// The accessors are not inlined: each would copy a structure in many places.
extension ReportReference {
  /// How many nodes there are.
  var nodeCount: Int { pointer.pointee.stragglerCount + pointer.pointee.graph.otherCount }

  /// A thread of the process that is not a straggler's.
  ///
  /// Requires a node behind the stragglers.
  func other(_ node: Int) -> UnsafeMutablePointer<OtherThread> {
    // SAFETY: such a node exists only in that memory.
    pointer.pointee.graph.others.unsafelyUnwrapped + (node - pointer.pointee.stragglerCount)
  }

  @inline(never)
  func holder(ofNode node: Int) -> WaitHolder {
    node < pointer.pointee.stragglerCount ? stragglers[node].holder : other(node).pointee.holder
  }

  @inline(never)
  func heldUp(ofNode node: Int) -> HeldUp {
    node < pointer.pointee.stragglerCount ? stragglers[node].heldUp : other(node).pointee.heldUp
  }

  @inline(never)
  func setHeldUp(_ node: Int, _ value: HeldUp) {
    if node < pointer.pointee.stragglerCount {
      stragglers[node].heldUp = value
    } else {
      other(node).pointee.heldUp = value
    }
  }

  /// Passes the name of a node's task, or the kernel's name of its thread; it may be empty.
  func withName(ofNode node: Int, _ body: (UnsafePointer<UInt8>) -> Void) {
    let name =
      node < pointer.pointee.stragglerCount
      ? stragglers[node].facts.name : other(node).pointee.name
    name.withText(body)
  }

  /// Writes the name of a node's task with its groups, or of its thread.
  func write(nameOfNode node: Int, to writer: inout TextWriter) {
    if node < pointer.pointee.stragglerCount {
      writer.write(path: stragglers[node].path, name: stragglers[node].facts.name)
    } else {
      Self.write(thread: other(node).pointee.name, to: &writer)
    }
  }

  /// Writes "thread journal", or "thread" of one that has no name, or whose name is not known.
  @inline(never)
  static func write(thread name: TaskName, to writer: inout TextWriter) {
    writer.write("thread")
    name.withText {
      if $0[0] == 0 { return }
      writer.write(" ")
      writer.write(text: $0)
    }
  }

  @inline(never)
  func edge(ofNode node: Int) -> WaitEdge {
    node < pointer.pointee.stragglerCount
      ? stragglers[node].thread.edge : other(node).pointee.probe.edge
  }

  @inline(never)
  func probe(ofNode node: Int) -> ThreadProbe {
    node < pointer.pointee.stragglerCount ? stragglers[node].thread : other(node).pointee.probe
  }

  /// For how long a node has waited for that, in nanoseconds, at the least; -1: not known.
  func waitedAtLeast(ofNode node: Int) -> Int64 {
    node < pointer.pointee.stragglerCount ? stragglers[node].waitedAtLeast : -1
  }

  func threadID(ofNode node: Int) -> Int32 {
    node < pointer.pointee.stragglerCount
      ? stragglers[node].facts.threadID : other(node).pointee.threadID
  }
}
