import CPlatform
import Synchronization

// LOCKING
// Takes two locks, one at a time, each for a limited time in total (`patience`): the Monitor of the
// list of registries, and that of a registry, for its groups. Nothing is written under either.

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
  /// Through what its time began.
  private let cause: ExitStart.Cause
  /// The stall that ends the process; nil: its time is over.
  private let stall: ExitBell.Stall?
  /// When it is written, on `CLOCK_MONOTONIC`.
  private let now = monotonicNow()
  /// Until when locks are waited for.
  private let patience: Deadline
  /// Whether it is written for practice: nothing is shown, and the process goes on.
  private let rehearses: Bool

  /// How long locks are waited for in total, in nanoseconds.
  private static var lockTime: Int64 { 50_000_000 }

  init(_ arming: ExitArming.Pointer, rehearses: Bool = false) {
    self.init(
      arming.pointee.request, arming.start.cause, arming.pointee.bell.pointee.stall,
      rehearses: rehearses)
  }

  init(
    _ request: ExitRequest, _ cause: ExitStart.Cause, _ stall: ExitBell.Stall?,
    rehearses: Bool = false
  ) {
    self.request = request
    self.cause = cause
    self.stall = stall
    patience = Deadline(nanoseconds: now).extended(by: rehearses ? 0 : Self.lockTime)
    self.rehearses = rehearses
  }

  // MARK: Where it goes

  /// Writes the whole to a descriptor, or what it takes by the deadline.
  func write(to descriptor: Int32, until limit: Deadline = .never) {
    // In two parts, each of which is out before the next is begun.
    _ = withTextWriter(.descriptor(descriptor, until: limit)) { writer in
      writeSummary(to: &writer)
      writeRegistries(to: &writer)
    }
    _ = withTextWriter(.descriptor(descriptor, until: limit)) { writer in
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
    // 4 KiB, which is what a container's termination log keeps. Too long for a temporary allocation,
    // which would not be on the stack.
    var text = InlineArray<512, UInt64>(repeating: 0)
    withUnsafeMutableBytes(of: &text) { bytes in
      bytes.withMemoryRebound(to: UInt8.self) { bytes in
        // SAFETY: never empty.
        let base = bytes.baseAddress.unsafelyUnwrapped
        var length = 0
        withUnsafeMutablePointer(to: &length) {
          _ = withTextWriter(.memory(base, capacity: bytes.count, length: $0)) { writer in
            writeSummary(to: &writer)
            writer.write(thread: getpid())
            writeRegistries(to: &writer)
          }
        }
        body(UnsafePointer(base), strlen(base))
      }
    }
  }

  // MARK: What it says

  private func writeSummary(to writer: inout TextWriter) {
    writer.write("libtaskreg: ")
    if let stall {
      writer.write("no heartbeat from ")
      stall.name.withText { writer.write(text: $0) }
      writer.write(" for ")
      writer.write(duration: stall.silence)
      writer.write(request.aborts ? ", and the process" : ", and the process ends")
    } else {
      writer.write("the process has not ended within ")
      writer.write(duration: request.after)
      writer.write(cause.text)
      writer.write(request.aborts ? ", and" : ", and ends")
    }
    if request.aborts {
      writer.write(" is aborted now\n")
    } else {
      writer.write(" now with status ")
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
    if facts.word.level >= .abort { writer.write(", told to abort") }
    if let activity = facts.activity, activity.drainingSince != 0 {
      writer.write(", draining for ")
      writer.write(duration: activity.drainingFor(at: now))
    }
    let label = facts.label
    if !label.isEmpty {
      writer.write(", for \"")
      label.withText { writer.write(text: $0) }
      writer.write("\"")
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
        writer.write(", progress ")
        writer.write(activity.progress)
        writer.write(", reported ")
        writer.write(duration: max(0, now &- activity.progress.at))
        writer.write(" ago")
      }
      if activity.isStalled { writer.write(", heartbeat overdue") }
      if !activity.isWithoutRuns { writer.write(",") }
      writer.write(runsOf: activity, facts.state, at: now)
    }
    writer.write("\n")
  }

  // MARK: Threads

  /// Writes every thread of the process: its name, its state, and what it waits in.
  private func writeThreads(to writer: inout TextWriter) {
    var list = cp_thread_list()
    let failure = cp_thread_list_open(&list, "/proc/self/task")
    if failure != 0 {
      writer.write("threads: not known, because /proc/self/task cannot be opened: ")
      writer.write(failure: failure)
      writer.write("\n")
      return
    }
    var count = 0
    while true {
      let thread = cp_thread_list_next(&list)
      if thread < 0 {
        writer.write("further threads: not known, because /proc/self/task cannot be read: ")
        writer.write(failure: -thread)
        writer.write("\n")
      }
      if thread <= 0 { break }
      writer.write(thread: thread)
      count += 1
      if rehearses { break }
    }
    cp_thread_list_close(&list)
    writer.write(count)
    writer.write(count == 1 ? " thread\n" : " threads\n")
  }
}
