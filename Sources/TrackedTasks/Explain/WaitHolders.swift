import CPlatform

/// The search for who holds what the stragglers of a report wait for (Q3).
extension ReportReference {
  /// Finds out who the holders are, and what they wait for in turn.
  ///
  /// Called once the stragglers have been probed, and while there are references to them.
  ///
  /// - Parameter withThreads: lists other threads of the process, too (Q7).
  func findHolders(withThreads: Bool) {
    let count = pointer.pointee.stragglerCount
    var held = 0
    for node in 0..<count where isHeldUp(node) { held += 1 }
    pointer.pointee.graph.hasThreads = withThreads
    if held == 0 && !withThreads { return }
    pointer.pointee.graph.reporter = ProbedProcess.examiner
    if withThreads { pointer.pointee.graph.threadsFailure = ENOMEM }
    // Without memory the holders are ids without names.
    let mostNodes = count + WaitGraph.mostOthers
    guard let (threads, tasks) = NodeTable.makeTwo(for: mostNodes) else { return }
    defer { threads.free() }
    guard let others = malloc(WaitGraph.mostOthers * MemoryLayout<OtherThread>.stride) else {
      return
    }
    pointer.pointee.graph.others = others.bindMemory(
      to: OtherThread.self, capacity: WaitGraph.mostOthers)
    for node in 0..<count {
      _ = tasks.find(Self.hash(ofTask: stragglers[node].facts.id), orAdd: node) { _ in false }
      // Of one that has ended, the thread may run another by now.
      if stragglers[node].diagnosis == .ended { continue }
      if threadID(ofNode: node) != 0 { add(node, to: threads) }
    }
    followEdges(from: 0, threads, tasks)
    if withThreads {
      let known = nodeCount
      listThreads(threads)
      followEdges(from: known, threads, tasks)
    }
    findMembers()
    findCircles()
  }

  /// Describes the holders of nodes, and adds those that are no nodes yet.
  private func followEdges(from first: Int, _ threads: NodeTable, _ tasks: NodeTable) {
    let count = pointer.pointee.stragglerCount
    var node = first
    while node < nodeCount {
      let edge = edge(ofNode: node)
      if edge.holder != 0 {
        let found = self.node(ofThread: edge.holder, in: threads) ?? add(edge.holder, threads)
        var holder = describe(found, edge.holder)
        if !edge.isForEnd { holder.isFirst = isFirst(found, edge.holder) }
        if node < count {
          stragglers[node].holder = holder
        } else {
          other(node).pointee.holder = holder
        }
      } else if edge.task != 0 {
        let found = tasks.find(Self.hash(ofTask: edge.task)) {
          stragglers[$0].facts.id == edge.task
        }
        stragglers[node].holder = describe(found, task: edge.task)
      }
      node += 1
    }
  }

  /// Adds the threads of the process that are no nodes yet, in the kernel's order, as long as there
  /// is room, and counts the rest.
  private func listThreads(_ threads: NodeTable) {
    var list = cp_thread_list()
    var failure = ProbedProcess.open(&list)
    if failure == 0 {
      // A process that makes threads all the time is not followed indefinitely.
      for _ in 0..<Self.mostStragglers {
        let thread = ProbedProcess.next(of: &list)
        if thread <= 0 {
          failure = -thread
          break
        }
        if node(ofThread: thread, in: threads) != nil { continue }
        if add(thread, threads) == nil { pointer.pointee.graph.unlistedThreads += 1 }
      }
      cp_thread_list_close(&list)
    }
    pointer.pointee.graph.threadsFailure = failure
  }

  /// Whether a straggler waits for something that a thread holds, or for the end of tasks.
  private func isHeldUp(_ node: Int) -> Bool {
    let edge = stragglers[node].thread.edge
    return edge.holder != 0 || edge.task != 0 || edge.kind == .tasks
  }

  private static func hash(ofThread threadID: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: threadID) &* 2_654_435_761)
  }

  private static func hash(ofTask id: UInt64) -> UInt64 { (id &* 0x9E37_79B9_7F4A_7C15) >> 32 }

  private func add(_ node: Int, to threads: NodeTable) {
    _ = threads.find(Self.hash(ofThread: threadID(ofNode: node)), orAdd: node) { _ in false }
  }

  private func node(ofThread threadID: Int32, in threads: NodeTable) -> Int? {
    threads.find(Self.hash(ofThread: threadID)) {
      self.threadID(ofNode: $0) == threadID && isStillRunning($0)
    }
  }

  /// Whether a node's thread still runs the node's task; if that has ended since it was examined,
  /// the thread may run another, and that may be the one that holds something.
  func isStillRunning(_ node: Int) -> Bool {
    node >= pointer.pointee.stragglerCount || stragglers[node].isRunning
  }

  /// Adds a thread that is not a straggler's, and finds what it waits for.
  private func add(_ threadID: Int32, _ threads: NodeTable) -> Int? {
    let count = pointer.pointee.graph.otherCount
    guard count < WaitGraph.mostOthers, let others = pointer.pointee.graph.others else {
      return nil
    }
    var thread = OtherThread(threadID: threadID)
    thread.name = Self.kernelName(ofThread: threadID)
    thread.probe = ThreadProbe.at(threadID: threadID)
    thread.probe.findEdge(ofThread: threadID)
    (others + count).initialize(to: thread)
    pointer.pointee.graph.otherCount = count + 1
    let node = pointer.pointee.stragglerCount + count
    add(node, to: threads)
    return node
  }

  /// Whether no earlier thread had the thread's id; asked once for each node.
  private func isFirst(_ node: Int?, _ threadID: Int32) -> Bool {
    guard let node else { return ThreadBirth.isFirst(ofItsID: threadID) }
    var held = heldUp(ofNode: node)
    if let isFirst = held.isFirst { return isFirst }
    let isFirst = ThreadBirth.isFirst(ofItsID: threadID)
    held.isFirst = isFirst
    setHeldUp(node, held)
    return isFirst
  }

  func describe(_ node: Int?, _ threadID: Int32) -> WaitHolder {
    guard let node else { return WaitHolder(name: Self.kernelName(ofThread: threadID)) }
    if node >= pointer.pointee.stragglerCount {
      return WaitHolder(node: Int32(node), thread: threadID, name: other(node).pointee.name)
    }
    let facts = stragglers[node].facts
    return WaitHolder(
      node: Int32(node), task: facts.id, thread: facts.threadID, name: facts.name)
  }

  private func describe(_ node: Int?, task: UInt64) -> WaitHolder {
    guard let node else { return WaitHolder(task: task) }
    // While it is alive, a wait for its end that was seen goes on.
    return isStillRunning(node)
      ? describe(node, 0) : WaitHolder(task: task, name: stragglers[node].facts.name)
  }

  private static func kernelName(ofThread threadID: Int32) -> TaskName {
    var name = TaskName()
    withUnsafeMutableBytes(of: &name.words) { bytes in
      bytes.withMemoryRebound(to: UInt8.self) {
        _ = ThreadProbe.readName(
          ofThread: threadID, into: UnsafeMutableBufferPointer(rebasing: $0[0..<32]))
      }
    }
    return name
  }
}
