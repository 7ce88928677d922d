import CPlatform

/// What the threads of a report wait for, in words (Q5).
extension ReportReference {
  /// How many links of a chain are written.
  private static var mostLinks: Int { 16 }

  /// Writes the line of a straggler that says what it waits for.
  func writeWait(ofNode node: Int, to writer: inout TextWriter) {
    let edge = edge(ofNode: node)
    // The straggler's first line says in which wait of the library it is.
    if node < pointer.pointee.stragglerCount, stragglers[node].diagnosis == .idle {
      if holder(ofNode: node).node < 0 { return }
    }
    switch edge.kind {
    case .nothing: return
    case .descriptor where node < pointer.pointee.stragglerCount && stragglers[node].face != nil:
      // There is a line for the descriptor.
      return
    case .unknown:
      // The first line of the straggler says as much.
      switch edge.gap {
      case .unread, .call, .noThread: return
      default: break
      }
    default: break
    }
    writer.write(" ")
    write(doingOfNode: node, to: &writer)
    writeChain(from: node, to: &writer)
    writer.write("\n")
  }

  /// Writes on, from holder to holder; at the end for how long the last one has waited.
  func writeChain(from first: Int, to writer: inout TextWriter) {
    var node = first
    let startsInCircle = isInCircle(first)
    for _ in 0..<Self.mostLinks {
      let last = node
      node = Int(holder(ofNode: node).node)
      if node == first { return }
      if node < 0 {
        if last != first { write(waitOfNode: last, to: &writer) }
        return
      }
      if !startsInCircle && isInCircle(node) {
        return writer.write(", which is in a circle of waits")
      }
      writer.write(", which")
      write(doingOfNode: node, to: &writer)
    }
    writer.write(", and so on")
  }

  /// Writes ", for at least 4.10 s", or nothing if that is not known.
  func write(waitOfNode node: Int, to writer: inout TextWriter) {
    let time = waitedAtLeast(ofNode: node)
    if time >= 1_000_000 { writer.write(",") }
    writer.write(waitedAtLeast: time)
  }

  /// Writes a predicate with a space before it: " waits for mutex journal_lock (0x…) held by …".
  func write(doingOfNode node: Int, to writer: inout TextWriter) {
    let edge = edge(ofNode: node)
    switch edge.kind {
    case .nothing:
      let isReporter = threadID(ofNode: node) == pointer.pointee.graph.reporter
      writer.write(isReporter ? " makes this report" : " runs")
    case .unknown:
      if node < pointer.pointee.stragglerCount, stragglers[node].diagnosis == .starting {
        writer.write(" has not started")
        return
      }
      if node < pointer.pointee.stragglerCount, stragglers[node].diagnosis == .waiting {
        writer.write(" waits to start again")
        return
      }
      write(callOfNode: node, to: &writer)
      if edge.gap == .call { return }
      writer.write("; what it waits for is not known, because ")
      if let reason = edge.gap.text { writer.write(reason) }
    case .mutex, .rwlock:
      writer.write(" waits for ")
      write(lock: edge, to: &writer)
      if edge.count > 0 {
        writer.write(" held by ")
        writer.write(edge.count)
        writer.write(edge.count == 1 ? " reader" : " readers")
      } else {
        writer.write(" held by ")
        write(holderOfNode: node, to: &writer)
      }
    case .thread:
      writer.write(" waits for the end of ")
      write(holderOfNode: node, to: &writer)
    case .signal:
      writer.write(" waits to be signalled: ")
      write(lock: edge, to: &writer)
    case .descriptor:
      write(callOfNode: node, to: &writer)
      let face = node < pointer.pointee.stragglerCount ? stragglers[node].face : nil
      writer.write(face == nil ? " on descriptor " : " on fd ")
      writer.write(edge.descriptor)
      if let face {
        writer.write(": ")
        face.pointee.withText { writer.write(text: $0) }
      }
    case .descriptors:
      write(callOfNode: node, to: &writer)
      if edge.count > 0 {
        writer.write(" on ")
        writer.write(edge.count)
        writer.write(" descriptors")
      }
    case .fileLock:
      writer.write(" waits for a lock of the file of descriptor ")
      writer.write(edge.descriptor)
      if edge.process == 0 { return }
      writer.write(", held by process ")
      writer.write(edge.process)
      if edge.process == ProbedProcess.id { writer.write(" (this one)") }
    case .child:
      writer.write(" waits for the end of ")
      if edge.process == 0 {
        writer.write("a child process")
      } else {
        writer.write("process ")
        writer.write(edge.process)
      }
    case .time: writer.write(" sleeps")
    case .task:
      writer.write(" waits for task #")
      writer.write(edge.task)
      writeListed(holder(ofNode: node), to: &writer)
    case .tasks:
      writer.write(" waits for all tasks of a registry")
      let holder = holder(ofNode: node)
      if holder.node < 0 { return }
      writer.write(edge.count == 1 ? ": " : ", among them ")
      write(nameOfNode: Int(holder.node), to: &writer)
    case .token: writer.write(" waits for a token")
    case .stop: writer.write(" waits to be asked to stop")
    case .room: writer.write(" waits for room in a registry")
    }
  }

  /// Writes " is in read".
  private func write(callOfNode node: Int, to writer: inout TextWriter) {
    let number = probe(ofNode: node).syscall
    if number < 0 {
      writer.write(" waits")
      return
    }
    writer.write(" is in ")
    if let name = cp_syscall_name(number) {
      // SAFETY: CChar and UInt8 have the same layout; the text is static.
      writer.write(text: UnsafeRawPointer(name).assumingMemoryBound(to: UInt8.self))
    } else {
      writer.write("system call ")
      writer.write(number)
    }
  }

  /// Writes the name of a task that a wait is for, or that the report does not list it.
  private func writeListed(_ holder: WaitHolder, to writer: inout TextWriter) {
    writer.write(" (")
    if holder.node >= 0 {
      write(nameOfNode: Int(holder.node), to: &writer)
    } else if holder.name.words[0] == 0 {
      writer.write("not in this report")
    } else {
      holder.name.withText { writer.write(text: $0) }
      writer.write(", which has ended")
    }
    writer.write(")")
  }

  private func write(holderOfNode node: Int, to writer: inout TextWriter) {
    let holder = holder(ofNode: node)
    if holder.node >= 0 {
      write(nameOfNode: Int(holder.node), to: &writer)
    } else {
      Self.write(thread: holder.name, to: &writer)
    }
    writer.write(" (thread ")
    writer.write(edge(ofNode: node).holder)
    if ProbedProcess.showsDoubt && holder.isDoubtful(edge(ofNode: node)) {
      writer.write(", unless that id has come round")
    }
    writer.write(")")
  }

  /// Writes "mutex journal_lock (0x…)", or where the lock is; nothing behind "condition variable or
  /// semaphore" if it is not known which.
  func write(lock edge: WaitEdge, to writer: inout TextWriter) {
    switch edge.kind {
    case .mutex: writer.write("mutex")
    case .rwlock: writer.write("read-write lock")
    case .signal: writer.write("condition variable or semaphore")
    default: break
    }
    if edge.address == 0 { return }
    writer.write(" ")
    withSymbol(of: edge.address, orInFile: .variables) {
      object, objectOffset, symbol, symbolOffset in
      if let symbol {
        writer.write(text: symbol)
        if symbolOffset > 0 {
          writer.write("+0x")
          writer.write(hexadecimal: symbolOffset)
        }
        writer.write(" ")
      }
      writer.write(symbol == nil ? "0x" : "(0x")
      writer.write(hexadecimal: edge.address)
      if let object, symbol == nil {
        writer.write(" (")
        writer.write(text: object)
        writer.write("+0x")
        writer.write(hexadecimal: objectOffset)
      }
      if symbol != nil || object != nil { writer.write(")") }
    }
  }
}
