/// The section of a report for the threads of the process that run none of its tasks (Q7).
extension ReportReference {
  /// How many threads the section lists.
  var threadCount: Int {
    pointer.pointee.graph.hasThreads ? pointer.pointee.graph.otherCount : 0
  }

  /// Writes the section: first the threads that hold something up, then the others, of which those
  /// that do the same are one line.
  func writeOtherThreads(to writer: inout TextWriter) {
    let graph = pointer.pointee.graph
    if !graph.hasThreads { return }
    let first = pointer.pointee.stragglerCount
    writer.write("other threads of the process: ")
    writer.write(graph.otherCount + graph.unlistedThreads)
    if graph.unlistedThreads > 0 {
      writer.write(", ")
      writer.write(graph.unlistedThreads)
      writer.write(" of them not listed")
    }
    if graph.threadsFailure != 0 {
      writer.write(", and perhaps more: ")
      writer.write(failure: graph.threadsFailure)
    }
    writer.write("\n")
    for node in first..<nodeCount where isHoldingUp(node) { write(threadOfNode: node, to: &writer) }
    for node in first..<nodeCount where !isHoldingUp(node) {
      // A report has few of them.
      if (first..<node).contains(where: { areAlike($0, node) }) { continue }
      write(threadOfNode: node, to: &writer)
    }
  }

  @inline(never)
  private func isHoldingUp(_ node: Int) -> Bool {
    let held = heldUp(ofNode: node)
    return held.direct > 0 || held.tasks > 0
  }

  private func write(threadOfNode node: Int, to writer: inout TextWriter) {
    let held = heldUp(ofNode: node)
    writer.write("  ")
    write(nameOfNode: node, to: &writer)
    writer.write(" (thread ")
    writer.write(threadID(ofNode: node))
    writer.write(")")
    if isHoldingUp(node) {
      let count = max(held.direct, held.tasks)
      writer.write(" holds up ")
      writer.write(count)
      writer.write(count == 1 ? " task" : " tasks")
      if held.direct == 0 { writer.write(" through others") }
      if ProbedProcess.showsDoubt && held.isDoubtful {
        writer.write(" (unless thread ids have come round)")
      }
      writer.write(", and")
    }
    write(doingOfNode: node, to: &writer)
    writeChain(from: node, to: &writer)
    if !isHoldingUp(node) { writeAlike(to: node, to: &writer) }
    writer.write("\n")
  }

  /// Writes "; so do 4 more: pool-2, pool-3, …".
  private func writeAlike(to node: Int, to writer: inout TextWriter) {
    var count = 0
    for other in node + 1..<max(nodeCount, node + 1) where areAlike(node, other) { count += 1 }
    if count == 0 { return }
    writer.write(count == 1 ? "; so does 1 more: " : "; so do ")
    if count > 1 {
      writer.write(count)
      writer.write(" more: ")
    }
    var named = 0
    for other in node + 1..<nodeCount where areAlike(node, other) {
      if named > 0 { writer.write(", ") }
      if named == Self.mostNamed { return writer.write("\u{2026}") }
      withName(ofNode: other) {
        // A core file does not have it.
        if $0[0] == 0 { writer.write(threadID(ofNode: other)) } else { writer.write(text: $0) }
      }
      named += 1
    }
  }

  private static var mostNamed: Int { 5 }

  /// Whether two threads that hold up nobody do the same, but for what is to be signalled.
  @inline(never)
  private func areAlike(_ one: Int, _ other: Int) -> Bool {
    if isHoldingUp(one) || isHoldingUp(other) { return false }
    if holder(ofNode: one).node >= 0 || isInCircle(one) { return false }
    var (edge, otherEdge) = (edge(ofNode: one), edge(ofNode: other))
    if edge.kind == .signal {
      edge.address = 0
      otherEdge.address = 0
    }
    let reporter = pointer.pointee.graph.reporter
    return edge == otherEdge
      && self.other(one).pointee.probe.syscall
        == self.other(other).pointee.probe.syscall
      && threadID(ofNode: one) != reporter && threadID(ofNode: other) != reporter
  }

  /// Writes the members `threads`, `threads_unlisted` and `threads_error`.
  func writeOtherThreads(toJSON writer: inout TextWriter) {
    let graph = pointer.pointee.graph
    if !graph.hasThreads {
      writer.write(",\"threads\":null,\"threads_unlisted\":null,\"threads_error\":null")
      return
    }
    writer.write(",\"threads\":[")
    for index in 0..<graph.otherCount {
      let node = pointer.pointee.stragglerCount + index
      if index > 0 { writer.write(",") }
      let probe = probe(ofNode: node)
      let held = heldUp(ofNode: node)
      writer.write("{\"thread_id\":", threadID(ofNode: node))
      writer.write(",\"name\":")
      withName(ofNode: node) { writer.write(json: $0) }
      writer.write(json: probe)
      writer.write(",\"cpu_ns\":", orNull: probe.cpu)
      writer.write(",\"run_queue_ns\":", orNull: probe.runQueue)
      writer.write(",\"probe_error\":", orNull: probe.failure == 0 ? -1 : Int64(probe.failure))
      writer.write(",\"holds_up\":", held.tasks)
      writer.write(",\"holds_up_directly\":", held.direct)
      writer.write(",\"is_certain\":", !held.isDoubtful)
      writer.write(",\"waits_for\":")
      writer.write(probe.edge, holder(ofNode: node), waitedAtLeast(ofNode: node))
      writer.write("}")
    }
    writer.write("],\"threads_unlisted\":", graph.unlistedThreads)
    writer.write(
      ",\"threads_error\":", orNull: graph.threadsFailure == 0 ? -1 : Int64(graph.threadsFailure))
  }
}
