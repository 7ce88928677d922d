import CPlatform

/// What `taskreg threads` writes: all threads of a process, whether or not it has the library.
struct ThreadLists {
  private let target: Target
  private let report: ReportReference
  private let faces: [DescriptorFace?]

  /// - Parameters:
  ///   - target: whose threads they are.
  ///   - report: on it; the lists are of use as long as that is there.
  init(of target: Target, _ report: ReportReference) {
    self.target = target
    self.report = report
    var budget = DescriptorFace.budget
    var faces: [DescriptorFace?] = []
    for node in 0..<report.nodeCount {
      if target.core != nil {
        faces.append(nil)
        continue
      }
      faces.append(
        DescriptorFace(
          of: report.probe(ofNode: node), threadID: report.threadID(ofNode: node), noted: nil,
          budget: &budget))
    }
    self.faces = faces
  }

  func writeText(to writer: inout TextWriter) {
    let graph = report.pointer.pointee.graph
    Failure.write(target.process, target.name, to: &writer)
    writer.write(": ")
    writer.write(graph.otherCount + graph.unlistedThreads)
    writer.write(graph.otherCount + graph.unlistedThreads == 1 ? " thread" : " threads")
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
    report.writeCauses(to: &writer)
    for node in 0..<report.nodeCount { write(node, to: &writer) }
  }

  private func write(_ node: Int, to writer: inout TextWriter) {
    let probe = report.probe(ofNode: node)
    writer.write("  ")
    report.write(nameOfNode: node, to: &writer)
    writer.write(" (")
    writer.write(report.threadID(ofNode: node))
    if report.threadID(ofNode: node) == target.ownID { writer.write(", main") }
    writer.write(")")
    report.write(doingOfNode: node, to: &writer)
    report.writeChain(from: node, to: &writer)
    if let face = faces[node] {
      writer.write(": ")
      face.withText { writer.write(text: $0) }
    }
    if probe.schedulerState != 0 && probe.schedulerState != UInt8(ascii: "S")
      && probe.schedulerState != UInt8(ascii: "R")
    {
      writer.write("; state ")
      writer.write(byte: probe.schedulerState)
    }
    if probe.cpu >= 0 {
      writer.write("; CPU time ")
      writer.write(duration: probe.cpu)
    }
    if probe.failure != 0 {
      writer.write("; not all is known: ")
      writer.write(failure: probe.failure)
    }
    writer.write("\n")
  }

  /// Writes one JSON object on one line; its schema is docs/schema/threads.json.
  func writeJSON(to writer: inout TextWriter) {
    let graph = report.pointer.pointee.graph
    writer.write("{\"at_unix_ns\":\"", exact: report.pointer.pointee.clocks.wall)
    writer.write("\",\"process_id\":", target.process)
    writer.write(",\"process_name\":")
    target.name.withUnsafeBufferPointer { writer.write(json: $0.baseAddress) }
    target.writeCore(to: &writer)
    writer.write(",")
    report.writeCirclesAndHolders(to: &writer)
    writer.write(",\"threads\":[")
    for node in 0..<report.nodeCount {
      if node > 0 { writer.write(",") }
      write(json: node, to: &writer)
    }
    writer.write("],\"threads_unlisted\":", graph.unlistedThreads)
    writer.write(
      ",\"threads_error\":", orNull: graph.threadsFailure == 0 ? -1 : Int64(graph.threadsFailure))
    writer.write("}\n")
  }

  private func write(json node: Int, to writer: inout TextWriter) {
    let probe = report.probe(ofNode: node)
    writer.write("{\"thread_id\":", report.threadID(ofNode: node))
    writer.write(",\"name\":")
    report.withName(ofNode: node) { writer.write(json: $0) }
    writer.write(",\"main\":", report.threadID(ofNode: node) == target.ownID)
    writer.write(json: probe)
    writer.write(",\"cpu_ns\":", orNull: probe.cpu)
    writer.write(",\"run_queue_ns\":", orNull: probe.runQueue)
    writer.write(",\"probe_error\":", orNull: probe.failure == 0 ? -1 : Int64(probe.failure))
    writer.write(",\"descriptor\":")
    if let face = faces[node] {
      writer.write("{\"number\":", face.number)
      writer.write(",\"kind\":\"")
      writer.write(face.kind.text)
      writer.write("\",\"text\":")
      face.withText { writer.write(json: $0) }
      writer.write("}")
    } else {
      writer.write("null")
    }
    writer.write(",\"waits_for\":")
    writer.write(
      report.edge(ofNode: node), report.holder(ofNode: node), report.waitedAtLeast(ofNode: node))
    writer.write("}")
  }
}
