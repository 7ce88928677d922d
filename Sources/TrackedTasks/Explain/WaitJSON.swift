/// What the threads of a report wait for, as JSON (Q5).
extension ReportReference {
  /// Writes the members `circles` and `holders`.
  func writeCirclesAndHolders(to writer: inout TextWriter) {
    writer.write("\"circles\":[")
    for number in 0..<pointer.pointee.graph.circleCount {
      let first = Int(pointer.pointee.graph.circles[number])
      var node = first
      writer.write(number == 0 ? "[" : ",[")
      repeat {
        if node != first { writer.write(",") }
        write(json: node, to: &writer)
        node = Int(holder(ofNode: node).node)
      } while node != first
      writer.write("]")
    }
    writer.write("],\"holders\":[")
    var isFirst = true
    for node in 0..<nodeCount {
      let held = heldUp(ofNode: node)
      if held.waiter < 0 { continue }
      if !isFirst { writer.write(",") }
      isFirst = false
      write(json: node, held, to: &writer)
    }
    writer.write("]")
  }

  private func write(json node: Int, _ held: HeldUp? = nil, to writer: inout TextWriter) {
    writer.write("{\"thread_id\":", threadID(ofNode: node))
    writer.write(",\"task_id\":")
    let task = taskID(ofNode: node)
    if task == 0 { writer.write("null") } else { writer.write(task) }
    writer.write(",\"name\":")
    withName(ofNode: node) { writer.write(json: $0) }
    if let held {
      writer.write(",\"holds_up\":", held.tasks)
      writer.write(",\"holds_up_directly\":", held.direct)
      writer.write(",\"is_certain\":", !held.isDoubtful)
    }
    writer.write(",\"waits_for\":")
    writer.write(edge(ofNode: node), holder(ofNode: node), waitedAtLeast(ofNode: node))
    writer.write("}")
  }

  func taskID(ofNode node: Int) -> UInt64 {
    node < pointer.pointee.stragglerCount ? stragglers[node].facts.id : 0
  }
}

extension TextWriter {
  /// Writes an object for what a thread waits for.
  @inline(never)
  mutating func write(_ edge: WaitEdge, _ holder: WaitHolder, _ waitedAtLeast: Int64) {
    write("{\"kind\":\"")
    write(edge.kind.text)
    write("\",\"unknown_because\":")
    write(json: edge.gap.text?.utf8Start)
    write(",\"holder\":")
    let thread = edge.holder != 0 ? edge.holder : holder.thread
    if thread == 0 && holder.task == 0 {
      write("null")
    } else {
      write("{\"thread_id\":", orNull: thread == 0 ? -1 : Int64(thread))
      write(",\"task_id\":")
      if holder.task == 0 { write("null") } else { write(holder.task) }
      write(",\"name\":")
      holder.name.withText { write(json: $0[0] == 0 ? nil : $0) }
      write(",\"is_certain\":", !holder.isDoubtful(edge))
      write("}")
    }
    write(",\"address\":")
    if edge.address == 0 {
      write("null")
    } else {
      write("\"0x")
      write(hexadecimal: edge.address)
      write("\"")
    }
    write(",\"symbol\":")
    if edge.address == 0 {
      write("null,\"symbol_offset\":null,\"object\":null,\"object_offset\":null")
    } else {
      withSymbol(of: edge.address, orInFile: .variables) {
        object, objectOffset, symbol, symbolOffset in
        write(json: symbol, limit: 4096)
        write(",\"symbol_offset\":")
        write(offset: symbol == nil ? nil : symbolOffset)
        write(",\"object\":")
        write(json: object, limit: 4096)
        write(",\"object_offset\":")
        write(offset: object == nil ? nil : objectOffset)
      }
    }
    write(",\"descriptor\":", orNull: Int64(edge.descriptor))
    write(",\"process\":", orNull: edge.process == 0 ? -1 : Int64(edge.process))
    write(",\"count\":", orNull: edge.count == 0 ? -1 : Int64(edge.count))
    write(",\"gives_up\":", edge.isTimed)
    write(",\"waited_at_least_ns\":", orNull: waitedAtLeast)
    write("}")
  }

  private mutating func write(offset: UInt64?) {
    guard let offset else { return write("null") }
    write("\"0x")
    write(hexadecimal: offset)
    write("\"")
  }
}
