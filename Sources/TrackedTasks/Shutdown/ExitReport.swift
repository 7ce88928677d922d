import CPlatform
import Synchronization

/// What the process was doing when the time of its end came (F2).
///
/// It is written while any thread may hang anywhere, so nothing is used that another thread can
/// hold: no memory is allocated, and no lock of libc's or of the loader's is taken. Tasks are read
/// without a lock, like a snapshot's. The two lists that need one, of the registries and of the
/// groups in each, are read only if the lock is free within a short time; the report says where it
/// was not. References that are taken on the way are never released: that could free memory, and
/// the process is about to end.
struct ExitReport {
  private let request: ExitRequest
  /// When it is written, on `CLOCK_MONOTONIC`.
  private let now = monotonicNow()
  /// Until when locks are waited for.
  private let patience: Deadline
  /// Whether it is written for practice: nothing is shown, and the process goes on.
  private let rehearses: Bool

  /// How long locks are waited for in total, in nanoseconds.
  private static var lockTime: Int64 { 50_000_000 }
  /// How many bytes the reason has at the most: what a container's termination log keeps.
  private static var reasonRoom: Int { 4096 }

  init(_ arming: ExitArming.Pointer, rehearses: Bool = false) {
    request = arming.pointee.request
    patience = Deadline(nanoseconds: now).extended(by: rehearses ? 0 : Self.lockTime)
    self.rehearses = rehearses
  }

  // MARK: Where it goes

  /// Writes the whole to a descriptor.
  func write(to descriptor: Int32) {
    // In two parts, each of which is out before the next is begun.
    _ = withTextWriter(.descriptor(descriptor)) { writer in
      writeSummary(to: &writer)
      writeRegistries(to: &writer)
    }
    _ = withTextWriter(.descriptor(descriptor)) { writer in
      writeThreads(to: &writer)
      writer.write("libtaskreg: end of the report\n")
    }
  }

  /// Appends what fits into a container's termination log.
  func writeReason(to descriptor: Int32) {
    withReason { _ = cp_write_all(descriptor, $0, $1) }
  }

  /// Runs everything once.
  func rehearse() {
    withReason { _, _ in }
    var length = 0
    withUnsafeMutablePointer(to: &length) {
      _ = withTextWriter(.memory(nil, capacity: 0, length: $0)) { writer in
        writeThreads(to: &writer)
      }
    }
    // A descriptor that is not open: the calls are made, and nothing is written.
    let nothing: StaticString = "-"
    _ = cp_write_all(-1, nothing.utf8Start, 1)
  }

  /// Passes the beginning of the report to `body`, with its length.
  private func withReason(_ body: (UnsafePointer<UInt8>, Int) -> Void) {
    // Too long for a temporary allocation, which would not be on the stack.
    var text = InlineArray<512, UInt64>(repeating: 0)
    withUnsafeMutableBytes(of: &text) { bytes in
      bytes.withMemoryRebound(to: UInt8.self) { bytes in
        // SAFETY: never empty.
        let base = bytes.baseAddress.unsafelyUnwrapped
        var length = 0
        withUnsafeMutablePointer(to: &length) {
          _ = withTextWriter(.memory(base, capacity: bytes.count, length: $0)) { writer in
            writeSummary(to: &writer)
            writeThread(getpid(), to: &writer)
            writeRegistries(to: &writer)
          }
        }
        body(UnsafePointer(base), strlen(base))
      }
    }
  }

  // MARK: What it says

  private func writeSummary(to writer: inout TextWriter) {
    writer.write("libtaskreg: the process has not ended within ")
    writer.write(duration: request.after)
    writer.write(request.startsWithSignal ? " of the signal" : "")
    if request.aborts {
      writer.write(", and is aborted now\n")
    } else {
      writer.write(", and ends now with status ")
      writer.write(request.code)
      writer.write("\n")
    }
  }

  /// Writes every registry with its tasks.
  private func writeRegistries(to writer: inout TextWriter) {
    if rehearses {
      // No reference is taken: releasing the last one could call the application.
      _ = MainThread.canReadRegistries(until: patience)
      return
    }
    var number = 0
    var place: RegistryReference?
    while true {
      let (isKnown, found) = MainThread.takeRegistry(after: place, until: patience)
      if !isKnown { writeUnknown(number == 0 ? "registries" : "further registries", to: &writer) }
      guard let registry = found else { return }
      number += 1
      write(registry, number, to: &writer)
      place = registry
    }
  }

  private func writeUnknown(_ what: StaticString, to writer: inout TextWriter) {
    writer.write(what)
    writer.write(": not known, because a thread holds the lock of their list\n")
  }

  private func write(_ registry: RegistryReference, _ number: Int, to writer: inout TextWriter) {
    let count = registry.count
    writer.write("registry ")
    writer.write(number)
    writer.write(": ")
    writer.write(count)
    writer.write(count == 1 ? " task" : " tasks")
    writer.write(registry.gate.isClosed ? ", closed" : ", open")
    let token = registry.token
    if token.isCancelled {
      writer.write(", cancelled (")
      writer.write(Names.reason(token.reason))
      token.withMessage { message, length in
        if length == 0 { return }
        writer.write(": ")
        writer.write(text: message)
      }
      writer.write(")")
    }
    writer.write("\n")
    writeTasks(of: registry, to: &writer)
  }

  /// Writes the tasks of a registry and of the groups in it.
  private func writeTasks(of top: RegistryReference, to writer: inout TextWriter) {
    var place = top
    while true {
      place.pointer.pointee.records.forEach { task in
        if let facts = task.facts(in: place) { write(facts, to: &writer) }
        return true
      }
      // Down first, then on to the next, then up.
      var (isKnown, next) = group(in: place, after: nil)
      while isKnown, next == nil, place != top, let parent = place.parent {
        (isKnown, next) = group(in: parent, after: place)
        place = parent
      }
      if !isKnown {
        writer.write("  ")
        writeUnknown("further groups", to: &writer)
      }
      guard let next else { return }
      place = next
    }
  }

  /// The first group that is alive, or the first after `group`; with a reference, which is never
  /// released.
  private func group(
    in registry: RegistryReference, after group: RegistryReference?
  ) -> (isKnown: Bool, found: RegistryReference?) {
    if registry.pointer.pointee.groupCount.load(ordering: .sequentiallyConsistent) == 0 {
      return (true, nil)
    }
    var found: RegistryReference?
    let isKnown: Void? = registry.monitor.withLock(until: patience) { state in
      found = state.groups.element(after: group)
      while let current = found, !current.retainStorageIfAlive() {
        found = state.groups.element(after: current)
      }
    }
    return (isKnown != nil, found)
  }

  private func write(_ facts: TaskFacts, to writer: inout TextWriter) {
    writer.write("  task ")
    writer.write(path: facts.registry.pointer.pointee.path, name: facts.name)
    writer.write(": ")
    writer.write(facts.state.text)
    writer.write(", thread ")
    writer.write(facts.threadID)
    writer.write(", age ")
    writer.write(duration: max(0, now &- facts.spawnedAt))
    if facts.word.isCancelRequested {
      writer.write(", asked to stop ")
      writer.write(duration: max(0, now &- facts.cancelledAt))
      writer.write(" ago")
    }
    if let activity = facts.activity {
      if activity.phase > 0 {
        writer.write(", phase ")
        writer.write(activity.phase)
      }
      if let checkpoint = activity.checkpoint {
        writer.write(", at \"")
        writer.write(text: checkpoint)
        writer.write("\"")
      }
      if activity.progress.at != 0 {
        writer.write(", ")
        writer.write(activity.progress)
      }
      if activity.isStalled { writer.write(", heartbeat overdue") }
    }
    writer.write("\n")
  }

  // MARK: Threads

  /// Writes every thread of the process: its name, its state, and what it waits in.
  private func writeThreads(to writer: inout TextWriter) {
    var list = cp_thread_list()
    let failure = cp_thread_list_open(&list)
    if failure != 0 {
      writer.write("threads: not known, because /proc/self/task cannot be opened: ")
      write(error: failure, to: &writer)
      writer.write("\n")
      return
    }
    var count = 0
    while true {
      let thread = cp_thread_list_next(&list)
      if thread < 0 {
        writer.write("further threads: not known, because /proc/self/task cannot be read: ")
        write(error: -thread, to: &writer)
        writer.write("\n")
      }
      if thread <= 0 { break }
      writeThread(thread, to: &writer)
      count += 1
      if rehearses { break }
    }
    cp_thread_list_close(&list)
    writer.write(count)
    writer.write(count == 1 ? " thread\n" : " threads\n")
  }

  private func writeThread(_ thread: Int32, to writer: inout TextWriter) {
    writer.write("thread ")
    writer.write(thread)
    if thread == getpid() { writer.write(" (main)") }
    if thread == cp_gettid() {
      writer.write(": writes this report\n")
      return
    }
    let probe = ThreadProbe.at(threadID: thread)
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { name in
      if ThreadProbe.readName(ofThread: thread, into: name) {
        writer.write(" \"")
        // SAFETY: not empty.
        writer.write(text: name.baseAddress.unsafelyUnwrapped)
        writer.write("\"")
      }
    }
    writer.write(": ")
    if probe.schedulerState == 0 {
      writer.write("state not known")
    } else {
      writer.write("state ")
      writer.write(byte: probe.schedulerState)
    }
    // SAFETY: CChar and UInt8 have the same layout; the text is static.
    let call = cp_syscall_name(probe.syscall).map {
      UnsafeRawPointer($0).assumingMemoryBound(to: UInt8.self)
    }
    if let call {
      writer.write(", in ")
      writer.write(text: call)
    } else if probe.syscall >= 0 {
      writer.write(", in system call ")
      writer.write(probe.syscall)
    }
    probe.withWaitChannel { channel in
      if channel[0] == 0 { return }
      writer.write(" (")
      writer.write(text: channel)
      writer.write(")")
    }
    if probe.cpu >= 0 {
      writer.write(", CPU time ")
      writer.write(duration: probe.cpu)
    }
    if probe.failure != 0 {
      writer.write("; not all is known: ")
      write(error: probe.failure, to: &writer)
    }
    writer.write("\n")
  }

  private func write(error: Int32, to writer: inout TextWriter) {
    switch error {
    case EMFILE, ENFILE: writer.write("no descriptor is available")
    case EACCES, EPERM: writer.write("no permission")
    default:
      writer.write("error ")
      writer.write(error)
    }
  }
}
