import CTaskReg

extension tr_straggler: SizedStructure {
  static var firstSize: UInt32 { 416 }
  static var initialiser: StaticString { "TR_STRAGGLER_INIT" }
}
extension tr_phase_report: SizedStructure {
  static var firstSize: UInt32 { 48 }
  static var initialiser: StaticString { "TR_PHASE_REPORT_INIT" }
}

@implementation @_cdecl("tr_diagnosis_name")
public func tr_diagnosis_name(_ diagnosis: UInt32) -> UnsafePointer<CChar>? {
  (StragglerFacts.Diagnosis(rawValue: diagnosis)?.text ?? "unknown").cString
}

@implementation @_cdecl("tr_explain")
public func tr_explain(
  _ handle: OpaquePointer?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  withRegistry(handle, "tr_explain") { registry in
    guard let out else { return invalid("tr_explain", null: "report") }
    let (status, report) = registry.explain()
    if let report { out.pointee = given(.report, report.opaque) }
    return status.code
  }
}

@implementation @_cdecl("tr_explain_with")
public func tr_explain_with(
  _ handle: OpaquePointer?, _ flags: UInt32, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  withRegistry(handle, "tr_explain_with") { registry in
    guard let out else { return invalid("tr_explain_with", null: "report") }
    guard flags & ~TR_EXPLAIN_NO_BACKTRACES == 0 else {
      return invalid(
        "tr_explain_with", "flags has a bit that this release of the library does not know")
    }
    let (status, report) = registry.explain(withBacktraces: flags & TR_EXPLAIN_NO_BACKTRACES == 0)
    if let report { out.pointee = given(.report, report.opaque) }
    return status.code
  }
}

@implementation @_cdecl("tr_report_release")
public func tr_report_release(_ handle: OpaquePointer?) {
  released(.report, handle).map { ReportReference($0) }?.destroy()
}

@implementation @_cdecl("tr_report_counts")
public func tr_report_counts(
  _ handle: OpaquePointer?, _ counts: UnsafeMutablePointer<tr_join_report>?
) -> tr_status {
  guard let report = report(handle) else { return invalid("tr_report_counts", null: "report") }
  guard let counts else { return invalid("tr_report_counts", null: "counts") }
  guard accepts(counts, "tr_report_counts", "counts") else { return Status.invalid.code }
  store(
    report.pointer.pointee.tally, in: counts, size: claimedSize(of: counts),
    listed: UInt64(report.pointer.pointee.stragglerCount))
  return Status.ok.code
}

@implementation @_cdecl("tr_report_straggler")
public func tr_report_straggler(
  _ handle: OpaquePointer?, _ index: Int, _ out: UnsafeMutablePointer<tr_straggler>?
) -> tr_status {
  guard let report = report(handle) else { return invalid("tr_report_straggler", null: "report") }
  guard let out else { return invalid("tr_report_straggler", null: "straggler") }
  guard accepts(out, "tr_report_straggler", "straggler") else { return Status.invalid.code }
  // A `size_t` beyond `Int.max` arrives as a negative number.
  guard index >= 0, index < report.pointer.pointee.stragglerCount else {
    return invalid("tr_report_straggler", "index is not below the number of stragglers listed")
  }
  let size = claimedSize(of: out)
  fill(out, size: size) {
    $0.pointee = tr_straggler(report.stragglers[index], size: size)
  }
  return Status.ok.code
}

@implementation @_cdecl("tr_report_slowest")
public func tr_report_slowest(
  _ handle: OpaquePointer?, _ index: Int, _ out: UnsafeMutablePointer<tr_ended_task>?
) -> tr_status {
  guard let report = report(handle) else { return invalid("tr_report_slowest", null: "report") }
  guard let out else { return invalid("tr_report_slowest", null: "task") }
  guard accepts(out, "tr_report_slowest", "task") else { return Status.invalid.code }
  guard index >= 0, index < report.slowest.pointee.count else {
    return invalid("tr_report_slowest", "index is not below the number of tasks listed")
  }
  store(report.slowest.pointee[index], in: out, size: claimedSize(of: out))
  return Status.ok.code
}

@implementation @_cdecl("tr_report_phase")
public func tr_report_phase(
  _ handle: OpaquePointer?, _ index: Int, _ out: UnsafeMutablePointer<tr_phase_report>?
) -> tr_status {
  guard let report = report(handle) else { return invalid("tr_report_phase", null: "report") }
  guard let out else { return invalid("tr_report_phase", null: "phase") }
  guard accepts(out, "tr_report_phase", "phase") else { return Status.invalid.code }
  guard index >= 0, index < report.pointer.pointee.phaseCount else {
    return invalid("tr_report_phase", "index is not below the number of phases listed")
  }
  let size = claimedSize(of: out)
  let facts = report.pointer.pointee.phases[index]
  fill(out, size: size) { phase in
    phase.pointee.size = size
    phase.pointee.phase = facts.phase
    phase.pointee.asked = facts.asked
    phase.pointee.remaining = facts.remaining
    phase.pointee.start_ns = facts.start
    phase.pointee.share_ns = facts.share
    phase.pointee.duration_ns = facts.duration
  }
  return Status.ok.code
}

@implementation @_cdecl("tr_report_write")
public func tr_report_write(
  _ handle: OpaquePointer?, _ descriptor: Int32, _ format: UInt32
) -> tr_status {
  let function: StaticString = "tr_report_write"
  guard let report = report(handle) else { return invalid(function, null: "report") }
  guard let sink = TextSink(descriptor, function) else { return Status.invalid.code }
  return write(report, to: sink, format, function)
}

@implementation @_cdecl("tr_report_write_buffer")
public func tr_report_write_buffer(
  _ handle: OpaquePointer?, _ format: UInt32, _ buffer: UnsafeMutablePointer<CChar>?,
  _ capacity: Int, _ length: UnsafeMutablePointer<Int>?
) -> tr_status {
  let function: StaticString = "tr_report_write_buffer"
  guard let report = report(handle) else { return invalid(function, null: "report") }
  guard let sink = TextSink(buffer, capacity, length, function) else { return Status.invalid.code }
  return write(report, to: sink, format, function)
}

private func write(
  _ report: ReportReference, to sink: TextSink, _ format: UInt32, _ function: StaticString
) -> tr_status {
  switch format {
  case UInt32(TR_FORMAT_TEXT): return report.writeText(to: sink).code
  case UInt32(TR_FORMAT_JSON): return report.writeJSON(to: sink).code
  default: return invalid(function, "format is neither TR_FORMAT_TEXT nor TR_FORMAT_JSON")
  }
}

@implementation @_cdecl("tr_snapshot_write")
public func tr_snapshot_write(
  _ handle: OpaquePointer?, _ descriptor: Int32, _ format: UInt32
) -> tr_status {
  let function: StaticString = "tr_snapshot_write"
  return withRegistry(handle, function) { registry in
    guard let sink = TextSink(descriptor, function) else { return Status.invalid.code }
    return writeList(of: registry, to: sink, format, function)
  }
}

@implementation @_cdecl("tr_snapshot_write_buffer")
public func tr_snapshot_write_buffer(
  _ handle: OpaquePointer?, _ format: UInt32, _ buffer: UnsafeMutablePointer<CChar>?,
  _ capacity: Int, _ length: UnsafeMutablePointer<Int>?
) -> tr_status {
  let function: StaticString = "tr_snapshot_write_buffer"
  return withRegistry(handle, function) { registry in
    guard let sink = TextSink(buffer, capacity, length, function) else {
      return Status.invalid.code
    }
    return writeList(of: registry, to: sink, format, function)
  }
}

private func writeList(
  of registry: RegistryReference, to sink: TextSink, _ format: UInt32, _ function: StaticString
) -> tr_status {
  switch format {
  case UInt32(TR_FORMAT_TEXT): return registry.writeListAsText(to: sink).code
  case UInt32(TR_FORMAT_JSON): return registry.writeListAsJSON(to: sink).code
  default:
    return invalid(
      function, "format is neither TR_FORMAT_TEXT nor TR_FORMAT_JSON")
  }
}

extension tr_straggler {
  /// The facts of a straggler that C receives, in a structure that says it has `size` bytes.
  fileprivate init(_ straggler: StragglerFacts, size: UInt32) {
    self.init()
    self.size = size
    diagnosis = straggler.diagnosis.rawValue
    id = straggler.facts.id
    withUnsafeMutableBytes(of: &name) { bytes in
      for i in 0..<8 {
        bytes.storeBytes(of: straggler.facts.name.words[i], toByteOffset: i * 8, as: UInt64.self)
      }
    }
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
    scheduler_state = CChar(bitPattern: straggler.thread.schedulerState)
    withUnsafeMutableBytes(of: &wait_channel) { bytes in
      straggler.thread.withWaitChannel { text in
        var place = 0
        while text[place] != 0 && place < bytes.count - 1 {
          bytes[place] = text[place]
          place += 1
        }
      }
    }
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
    backtrace = straggler.backtrace.rawValue
    probe_error = straggler.thread.failure
    withUnsafeMutableBytes(of: &group) { bytes in
      for i in 0..<16 {
        bytes.storeBytes(of: straggler.path.words[i], toByteOffset: i * 8, as: UInt64.self)
      }
    }
  }
}
