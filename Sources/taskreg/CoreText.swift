import CPlatform

/// What is said of a core file, apart from what was in the process.
extension Target {
  /// The signal that ended the process; 0: none, as in the file of a debugger.
  private var signal: Int32 {
    guard let first = core?.notes.threads.first else { return 0 }
    // Those that a debugger stops a process with.
    let isStop = first.facts.signal == SIGSTOP || first.facts.signal == SIGTRAP
    return isStop ? 0 : first.facts.signal
  }

  /// Writes whose core file it is, and what ended the process; nothing of one that lives.
  ///
  /// - Parameters:
  ///   - snapshots: of its registries.
  ///   - hasHolders: whether what follows names holders of locks.
  ///   - writer: where to.
  func writeHead(
    _ snapshots: [Snapshot], hasHolders: Bool = true, to writer: inout TextWriter
  ) {
    guard let core else { return }
    writer.write("core file of ")
    Failure.write(process, name, to: &writer)
    if signal != 0 {
      writer.write(", ended by signal ")
      writer.write(signal)
      if let text = strsignal(signal) {
        writer.write(" (")
        writer.write(text: UnsafeRawPointer(text).assumingMemoryBound(to: UInt8.self))
        writer.write(")")
      }
      let thread = core.notes.threads[0].id
      writer.write(" in thread ")
      writer.write(thread)
      for snapshot in snapshots {
        for task in snapshot.tasks where task.facts.threadID == thread {
          writer.write(", task ")
          writer.write(path: snapshot.registries[task.registry].path, name: task.facts.name)
        }
      }
    }
    if !snapshots.isEmpty {
      writer.write("; times are as of the last event that its memory tells of")
    }
    if hasHolders {
      writer.write("; who holds a lock is so unless thread ids have come round")
    }
    writer.write("\n")
  }

  /// Writes the member of JSON that says the same; null for a process that lives.
  func writeCore(to writer: inout TextWriter) {
    guard let core else { return writer.write(",\"core\":null") }
    writer.write(",\"core\":{\"signal\":", orNull: signal == 0 ? -1 : Int64(signal))
    writer.write(",\"thread_id\":", core.notes.threads[0].id)
    writer.write("}")
  }

  /// Writes sentences on what of a core file could not be read.
  func writeMissing(to writer: inout TextWriter) {
    guard let core else { return }
    if core.missing > 0 {
      writer.write("taskreg: the core file was cut off: ")
      writer.write(core.missing)
      writer.write(" bytes are missing at its end (see `ulimit -c`, or how much room there is)\n")
    }
    core.files.writeMissing(of: core, to: &writer)
  }
}
