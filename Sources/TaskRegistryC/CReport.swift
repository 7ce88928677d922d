import CPlatform
import CTaskReg

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
    let known = TR_EXPLAIN_NO_BACKTRACES | TR_EXPLAIN_NO_DESCRIPTORS | TR_EXPLAIN_THREADS
    guard flags & ~known == 0 else {
      return invalid(
        "tr_explain_with", "flags has a bit that this release of the library does not know")
    }
    let (status, report) = registry.explain(
      ReportParts(
        backtraces: flags & TR_EXPLAIN_NO_BACKTRACES == 0,
        descriptors: flags & TR_EXPLAIN_NO_DESCRIPTORS == 0,
        threads: flags & TR_EXPLAIN_THREADS != 0))
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
  storeElement(
    "tr_report_straggler", handle, index, out, "straggler",
    beyond: "index is not below the number of stragglers listed",
    count: { $0.pointer.pointee.stragglerCount },
    by: { report, out, size in
      fill(out, size: size) { $0.pointee = tr_straggler(report.stragglers[index], size: size) }
    })
}

@implementation @_cdecl("tr_report_slowest")
public func tr_report_slowest(
  _ handle: OpaquePointer?, _ index: Int, _ out: UnsafeMutablePointer<tr_ended_task>?
) -> tr_status {
  storeElement(
    "tr_report_slowest", handle, index, out, "task",
    beyond: "index is not below the number of tasks listed",
    count: { $0.slowest.pointee.count },
    by: { store($0.slowest.pointee[index], in: $1, size: $2) })
}

@implementation @_cdecl("tr_report_phase")
public func tr_report_phase(
  _ handle: OpaquePointer?, _ index: Int, _ out: UnsafeMutablePointer<tr_phase_report>?
) -> tr_status {
  storeElement(
    "tr_report_phase", handle, index, out, "phase",
    beyond: "index is not below the number of phases listed",
    count: { $0.pointer.pointee.phaseCount },
    by: { report, out, size in
      let facts = report.pointer.pointee.phases[index]
      fill(out, size: size) { $0.pointee = tr_phase_report(facts, size: size) }
    })
}

@implementation @_cdecl("tr_report_thread")
public func tr_report_thread(
  _ handle: OpaquePointer?, _ index: Int, _ out: UnsafeMutablePointer<tr_thread_report>?
) -> tr_status {
  storeElement(
    "tr_report_thread", handle, index, out, "thread",
    beyond: "index is not below the number of threads listed",
    count: { $0.threadCount },
    by: { report, out, size in
      let thread = report.other(report.pointer.pointee.stragglerCount + index)
      fill(out, size: size) { $0.pointee = tr_thread_report(thread.pointee, size: size) }
    })
}

/// Stores an element of a list of a report's in a structure of the caller's, by `store`, which gets the
/// structure's size.
///
/// The reason of an invalid call is recorded under the names of the function and of its argument.
private func storeElement<Structure: SizedStructure>(
  _ function: StaticString, _ handle: OpaquePointer?, _ index: Int,
  _ out: UnsafeMutablePointer<Structure>?, _ argument: StaticString, beyond: StaticString,
  count: (ReportReference) -> Int,
  by store: (ReportReference, UnsafeMutablePointer<Structure>, UInt32) -> Void
) -> tr_status {
  guard let report = report(handle) else { return invalid(function, null: "report") }
  guard let out else { return invalid(function, null: argument) }
  guard accepts(out, function, argument) else { return Status.invalid.code }
  // A `size_t` beyond `Int.max` arrives as a negative number.
  guard index >= 0, index < count(report) else { return invalid(function, beyond) }
  store(report, out, claimedSize(of: out))
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
