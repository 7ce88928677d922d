import CPlatform
import CTaskReg

extension tr_straggler: SizedStructure {
  static var firstSize: UInt32 { 760 }
  static var initialiser: StaticString { "TR_STRAGGLER_INIT" }
}
extension tr_thread_report: SizedStructure {
  static var firstSize: UInt32 { 272 }
  static var initialiser: StaticString { "TR_THREAD_REPORT_INIT" }
}
extension tr_phase_report: SizedStructure {
  static var firstSize: UInt32 { 64 }
  static var initialiser: StaticString { "TR_PHASE_REPORT_INIT" }
}

extension tr_straggler {
  /// The facts of a straggler that C receives, in a structure that says it has `size` bytes.
  init(_ straggler: StragglerFacts, size: UInt32) {
    self.init()
    self.size = size
    diagnosis = straggler.diagnosis.rawValue
    id = straggler.facts.id
    withUnsafeMutableBytes(of: &name) { straggler.facts.name.copy(to: $0) }
    kind = straggler.facts.kind
    thread_id = straggler.facts.threadID
    state = straggler.state.rawValue
    phase = straggler.activity.phase
    age_ns = straggler.age
    cancel_requested_for_ns = straggler.askedAge
    cpu_ns = straggler.cpu
    cpu_since_ns = straggler.cpuSince
    cpu_since_span_ns = straggler.cpuSpan
    cancel_checks = straggler.cancelChecks
    reads_flag_directly = straggler.activity.readsFlag ? 1 : 0
    stop_level = straggler.facts.word.level.rawValue
    draining_for_ns = straggler.activity.drainingFor(at: straggler.probedAt)
    runs = straggler.activity.runs
    starts_in_ns = straggler.activity.startsIn(straggler.state, at: straggler.probedAt)
    last_how = straggler.activity.lastEnding
    last_code = straggler.activity.lastCode
    scheduler_state = CChar(bitPattern: straggler.thread.schedulerState)
    withUnsafeMutableBytes(of: &wait_channel) { straggler.thread.copyWaitChannel(to: $0) }
    syscall = straggler.thread.syscall
    stalled = straggler.activity.isStalled ? 1 : 0
    syscall_name = straggler.syscallName?.chars
    checkpoint = straggler.activity.checkpoint?.chars
    progress_done = straggler.activity.progress.done
    progress_total = straggler.activity.progress.total
    progress_unit = straggler.activity.progress.unit?.chars
    progress_age_ns = straggler.progressAge
    frames = straggler.frames
    frame_count = UInt32(straggler.frameCount)
    flags = straggler.facts.flags
    parent_id = straggler.facts.parent
    spawn_address = straggler.facts.spawnedFrom
    backtrace = straggler.backtrace.rawValue
    probe_error = straggler.thread.failure
    descriptor = straggler.face?.pointee.number ?? -1
    descriptor_kind = straggler.face?.pointee.kind.rawValue ?? 0
    // SAFETY: the text is the first field of the face, in the report's memory.
    descriptor_text = straggler.face.map {
      UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self)
    }
    library_wait = UInt32(straggler.wait?.kind.rawValue ?? 0)
    library_wait_object = straggler.wait?.shownObject ?? 0
    library_waited_ns = straggler.wait?.waited(at: straggler.probedAt) ?? -1
    library_wait_remaining_ns = straggler.wait?.remaining(at: straggler.probedAt) ?? -1
    run_queue_ns = straggler.thread.runQueue
    waited_at_least_ns = straggler.waitedAtLeast
    withUnsafeMutableBytes(of: &label) { bytes in
      for i in 0..<16 {
        bytes.storeBytes(of: straggler.label.words[i], toByteOffset: i * 8, as: UInt64.self)
      }
    }
    let edge = straggler.thread.edge
    waits_for = edge.kind.rawValue
    wait_gap = edge.gap.rawValue
    wait_address = edge.address
    wait_fd = edge.descriptor
    wait_pid = edge.process
    wait_count = edge.count
    holder_thread_id = straggler.holderThread
    holder_is_certain = holder_thread_id != 0 && !straggler.holder.isDoubtful(edge) ? 1 : 0
    holder_task_id = straggler.holder.task
    withUnsafeMutableBytes(of: &holder_name) { straggler.holder.name.copy(to: $0) }
    withUnsafeMutableBytes(of: &group) { bytes in
      for i in 0..<16 {
        bytes.storeBytes(of: straggler.path.words[i], toByteOffset: i * 8, as: UInt64.self)
      }
    }
  }
}

extension tr_thread_report {
  /// The facts of a thread that C receives, in a structure that says it has `size` bytes.
  init(_ thread: OtherThread, size: UInt32) {
    self.init()
    self.size = size
    thread_id = thread.threadID
    withUnsafeMutableBytes(of: &name) { thread.name.copy(to: $0) }
    scheduler_state = CChar(bitPattern: thread.probe.schedulerState)
    withUnsafeMutableBytes(of: &wait_channel) { thread.probe.copyWaitChannel(to: $0) }
    syscall = thread.probe.syscall
    probe_error = thread.probe.failure
    syscall_name = UnsafePointer(cp_syscall_name(thread.probe.syscall))
    cpu_ns = thread.probe.cpu
    run_queue_ns = thread.probe.runQueue
    holds_up = UInt32(thread.heldUp.tasks)
    holds_up_directly = UInt32(thread.heldUp.direct)
    holds_up_is_certain = thread.heldUp.isDoubtful ? 0 : 1
    let edge = thread.probe.edge
    waits_for = edge.kind.rawValue
    wait_gap = edge.gap.rawValue
    wait_address = edge.address
    wait_fd = edge.descriptor
    wait_pid = edge.process
    wait_count = edge.count
    holder_thread_id = edge.holder != 0 ? edge.holder : thread.holder.thread
    holder_is_certain = holder_thread_id != 0 && !thread.holder.isDoubtful(edge) ? 1 : 0
    holder_task_id = thread.holder.task
    withUnsafeMutableBytes(of: &holder_name) { thread.holder.name.copy(to: $0) }
  }
}

extension tr_phase_report {
  /// The facts of a phase that C receives, in a structure that says it has `size` bytes.
  init(_ facts: PhaseFacts, size: UInt32) {
    self.init()
    self.size = size
    phase = facts.phase
    asked = facts.asked
    remaining = facts.remaining
    start_ns = facts.start
    share_ns = facts.share
    duration_ns = facts.duration
    ended_before = facts.endedBefore
    callbacks_ns = facts.callbacks
  }
}

extension TaskName {
  /// Copies it to an array of characters of C.
  fileprivate func copy(to bytes: UnsafeMutableRawBufferPointer) {
    for i in 0..<8 { bytes.storeBytes(of: words[i], toByteOffset: i * 8, as: UInt64.self) }
  }
}

extension ThreadProbe {
  /// Copies the wait channel to an array of characters of C, which is filled with 0.
  fileprivate func copyWaitChannel(to bytes: UnsafeMutableRawBufferPointer) {
    withWaitChannel { text in
      var place = 0
      while text[place] != 0 && place < bytes.count - 1 {
        bytes[place] = text[place]
        place += 1
      }
    }
  }
}
