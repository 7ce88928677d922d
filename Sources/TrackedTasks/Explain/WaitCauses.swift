import CPlatform

/// The first lines of a report: circles, and who holds up how many (Q5).
extension ReportReference {
  /// How many of those who hold others up are written.
  private static var mostCauses: Int { 8 }

  /// Writes the first lines: circles, and who holds up how many.
  func writeCauses(to writer: inout TextWriter) {
    for number in 0..<pointer.pointee.graph.circleCount {
      writeCircle(number, to: &writer)
      writer.write("\n")
    }
    var before = Int32.max
    var place = -1
    for _ in 0..<Self.mostCauses {
      guard let cause = nextCause(&before, &place) else { return }
      if cause >= nodeCount {
        writeCause(peerOf: cause - nodeCount, to: &writer)
      } else if !isInCircle(cause) {
        writeCause(cause, to: &writer)
      }
    }
  }

  private func writeCircle(_ number: Int, to writer: inout TextWriter) {
    let first = Int(pointer.pointee.graph.circles[number])
    writer.write(isTimed(circleAt: first) ? "circle of waits: " : "deadlock: ")
    write(nameOfNode: first, to: &writer)
    write(doingOfNode: first, to: &writer)
    writeChain(from: first, to: &writer)
  }

  /// Reports each circle as an event (Q4); the time that takes is added to the report's.
  ///
  /// Called without a lock, when the report is complete. The log callback may end the thread, so
  /// the caller's `CallFrame` frees the report then; and it may fork.
  ///
  /// - Parameters:
  ///   - registry: what the report is about.
  ///   - heldUp: what cannot end before this has returned.
  func logCircles(of registry: RegistryReference, holdingUp heldUp: CallFrame.HeldUp? = nil) {
    let log = registry.options.log
    if !log.isListening { return }
    for number in 0..<pointer.pointee.graph.circleCount {
      let isTimed = isTimed(circleAt: Int(pointer.pointee.graph.circles[number]))
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 1024) { memory in
        var length = 0
        _ = withUnsafeMutablePointer(to: &length) { length in
          withTextWriter(.memory(memory.baseAddress, capacity: memory.count, length: length)) {
            writeCircle(number, to: &$0)
          }
        }
        let empty: StaticString = ""
        log.send(
          LogRecord(
            level: isTimed ? LogEventNumber.warning : LogEventNumber.error,
            event: LogEventNumber.deadlock, code: Status.deadlock.rawValue, task: empty.utf8Start,
            // SAFETY: not empty, and the writer has ended the text with NUL.
            message: UnsafePointer(memory.baseAddress.unsafelyUnwrapped), registry: registry),
          holdingUp: heldUp)
      }
      if ProcessState.isForkedChild { return }
    }
    countCallbacks()
  }

  /// Adds the time that the log callback took since the counts were made.
  private func countCallbacks() {
    let times = CallFrame.callbackTimes
    let added = times.total &- pointer.pointee.tally.callbacks.total
    if added <= 0 { return }
    pointer.pointee.tally.callbacks = times
    // An explanation has no time of its own.
    if pointer.pointee.occasion != .explain { pointer.pointee.tally.elapsed &+= added }
  }

  /// Writes "19 tasks wait for tcp 10.0.0.9:5432".
  private func writeCause(peerOf index: Int, to writer: inout TextWriter) {
    guard let face = stragglers[index].face else { return }
    writer.write(stragglers[index].alike.peers)
    writer.write(" tasks wait for ")
    writer.write(face.pointee.kind.text)
    writer.write(" ")
    face.pointee.withPeer { writer.write(text: $0) }
    writer.write("\n")
  }

  /// The cause that holds up the most stragglers among those that hold up fewer than `before`, or
  /// as many and come after `place`: a node, or behind those a straggler whose other end several
  /// wait for; nil: none.
  private func nextCause(_ before: inout Int32, _ place: inout Int) -> Int? {
    var best = -1
    var most: Int32 = 0
    let nodes = nodeCount
    for node in 0..<nodes + pointer.pointee.stragglerCount {
      let peers = node < nodes ? 0 : stragglers[node - nodes].alike.peers
      let tasks = node < nodes ? heldUp(ofNode: node).tasks : peers > 1 ? peers : 0
      let isLater = tasks < before || tasks == before && node > place
      if tasks > most && isLater {
        most = tasks
        best = node
      }
    }
    if best < 0 { return nil }
    before = most
    place = best
    return best
  }

  /// Whether a node is in one of the circles that are listed.
  func isInCircle(_ node: Int) -> Bool { heldUp(ofNode: node).isInCircle }

  /// Whether a wait in a circle gives up at some time.
  private func isTimed(circleAt first: Int) -> Bool {
    var node = first
    repeat {
      if edge(ofNode: node).isTimed { return true }
      node = Int(holder(ofNode: node).node)
    } while node != first
    return false
  }

  /// Writes "38 tasks wait for mutex cache_lock (0x…), held by worker-1, which …".
  private func writeCause(_ node: Int, to writer: inout TextWriter) {
    let held = heldUp(ofNode: node)
    writer.write(held.tasks)
    writer.write(held.tasks == 1 ? " task waits" : " tasks wait")
    if held.direct == 0 {
      writer.write(" through others")
    } else if held.direct != held.tasks {
      writer.write(", ")
      writer.write(held.direct)
      writer.write(" directly and others through them,")
    }
    writer.write(" for ")
    if held.hasLocks {
      if held.hasSeveralLocks {
        writer.write("locks")
      } else {
        write(lock: edge(ofNode: Int(held.waiter)), to: &writer)
      }
      writer.write(" held by ")
    } else {
      writer.write("the end of ")
    }
    write(nameOfNode: node, to: &writer)
    if ProbedProcess.showsDoubt && held.isDoubtful {
      writer.write(" (unless thread ids have come round)")
    }
    if held.hasLocks && held.hasEnds { writer.write(", or for its end") }
    let edge = edge(ofNode: node)
    if edge.kind == .unknown && edge.gap != .call && threadID(ofNode: node) != 0 {
      writer.write(" (thread ")
      writer.write(threadID(ofNode: node))
      writer.write(")")
    }
    writer.write(", which")
    write(doingOfNode: node, to: &writer)
    write(waitOfNode: node, to: &writer)
    writer.write("\n")
  }
}
