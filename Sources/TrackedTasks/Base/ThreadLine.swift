import CPlatform

extension TextWriter {
  /// Writes what is known of a thread of the process: its name, its state, what it waits in, and
  /// its CPU time, as one line.
  ///
  /// It allocates nothing and takes no lock.
  ///
  /// - Parameter thread: the kernel's id.
  mutating func write(thread: Int32) {
    write("thread ")
    write(thread)
    if thread == getpid() { write(" (main)") }
    if thread == cp_gettid() {
      write(": writes this report\n")
      return
    }
    let probe = ThreadProbe.at(threadID: thread)
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { name in
      if ThreadProbe.readName(ofThread: thread, into: name) {
        write(" \"")
        // SAFETY: not empty.
        write(text: name.baseAddress.unsafelyUnwrapped)
        write("\"")
      }
    }
    write(": ")
    if probe.schedulerState == 0 {
      write("state not known")
    } else {
      write("state ")
      write(byte: probe.schedulerState)
    }
    // SAFETY: CChar and UInt8 have the same layout; the text is static.
    let call = cp_syscall_name(probe.syscall).map {
      UnsafeRawPointer($0).assumingMemoryBound(to: UInt8.self)
    }
    if let call {
      write(", in ")
      write(text: call)
    } else if probe.syscall >= 0 {
      write(", in system call ")
      write(probe.syscall)
    }
    probe.withWaitChannel { channel in
      if channel[0] == 0 { return }
      write(" (")
      write(text: channel)
      write(")")
    }
    if probe.cpu >= 0 {
      write(", CPU time ")
      write(duration: probe.cpu)
    }
    if probe.failure != 0 {
      write("; not all is known: ")
      write(failure: probe.failure)
    }
    write("\n")
  }

  /// Writes why a file of the kernel's about a thread could not be read.
  mutating func write(failure error: Int32) {
    switch error {
    case EMFILE, ENFILE: write("no descriptor is available")
    case EACCES, EPERM: write("no permission")
    default:
      write("error ")
      write(error)
    }
  }
}
