extension WaitEdge {
  /// Whether it is for the end of a thread, or of tasks, and not for a lock.
  var isForEnd: Bool { kind == .thread || kind == .task || kind == .tasks }

  /// What a thread waits for in a wait of the library; Linux shows only how it sleeps.
  ///
  /// - Parameters:
  ///   - wait: of the task that the thread runs.
  ///   - seen: what its system call says.
  init(_ wait: WaitFacts, seen: WaitEdge) {
    self.init()
    isTimed = wait.until != .max
    switch wait.kind {
    case .none: self = seen
    case .time: kind = .time
    case .cancel: kind = .stop
    case .descriptor:
      kind = .descriptor
      descriptor = Int32(truncatingIfNeeded: wait.object)
    case .condition:
      kind = .signal
      address = seen.kind == .signal ? seen.address : 0
    case .task:
      kind = .task
      task = wait.object
    case .tasks: kind = .tasks
    case .token: kind = .token
    case .room: kind = .room
    case .descriptors:
      kind = .descriptors
      count = UInt32(truncatingIfNeeded: wait.object)
    }
  }
}

extension StragglerFacts {
  /// The kernel's id of the thread that holds it up; 0: none, or not known.
  var holderThread: Int32 { thread.edge.holder != 0 ? thread.edge.holder : holder.thread }
}
