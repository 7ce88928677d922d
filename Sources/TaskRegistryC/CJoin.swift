import CTaskReg

@implementation @_cdecl("tr_join_all")
public func tr_join_all(
  _ handle: OpaquePointer?, _ timeout: Int64, _ report: UnsafeMutablePointer<tr_join_report>?
) -> tr_status {
  withRegistry(handle, "tr_join_all") { registry in
    withReportRequest(of: report, "tr_join_all") { array, full in
      join(registry, timeout, array, full)
    }
  }
}

@implementation @_cdecl("tr_join_all_report")
public func tr_join_all_report(
  _ handle: OpaquePointer?, _ timeout: Int64, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  let function: StaticString = "tr_join_all_report"
  return withRegistry(handle, function) { registry in
    withFullReport(out, function) {
      join(registry, timeout, SummaryArray(), $0)
    }
  }
}

@implementation @_cdecl("tr_registry_wait")
public func tr_registry_wait(_ handle: OpaquePointer?, _ timeout: Int64) -> tr_status {
  withRegistry(handle, "tr_registry_wait") { registry in
    registry.waitUntilEmpty(until: .after(timeout)).code
  }
}

@implementation @_cdecl("tr_shutdown")
public func tr_shutdown(
  _ handle: OpaquePointer?, _ reason: tr_reason, _ message: UnsafePointer<CChar>?,
  _ grace: Int64, _ report: UnsafeMutablePointer<tr_join_report>?
) -> tr_status {
  withRegistry(handle, "tr_shutdown") {
    shutdown(
      "tr_shutdown", $0,
      ShutdownRequest(reason: reason, message: message?.utf8, grace: bounded(grace)), report)
  }
}

@implementation @_cdecl("tr_shutdown_with")
public func tr_shutdown_with(
  _ handle: OpaquePointer?, _ reason: tr_reason, _ message: UnsafePointer<CChar>?,
  _ grace: Int64, _ options: UnsafePointer<tr_shutdown_options>?,
  _ report: UnsafeMutablePointer<tr_join_report>?
) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  let function: StaticString = "tr_shutdown_with"
  return withRegistry(handle, function) { registry in
    var request = ShutdownRequest(reason: reason, message: message?.utf8, grace: bounded(grace))
    if let options, !request.apply(options, function) { return Status.invalid.code }
    return shutdown(function, registry, request, report)
  }
}

@implementation @_cdecl("tr_shutdown_report")
public func tr_shutdown_report(
  _ handle: OpaquePointer?, _ reason: tr_reason, _ message: UnsafePointer<CChar>?,
  _ grace: Int64, _ options: UnsafePointer<tr_shutdown_options>?,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  let function: StaticString = "tr_shutdown_report"
  return withRegistry(handle, function) { registry in
    var request = ShutdownRequest(reason: reason, message: message?.utf8, grace: bounded(grace))
    if let options, !request.apply(options, function) { return Status.invalid.code }
    return withFullReport(out, function) {
      shutDown(registry, request, SummaryArray(), $0)
    }
  }
}

/// Joins; in one place, as the compiler makes a copy of the whole join for each list of stragglers.
@inline(never)
private func join(
  _ registry: RegistryReference, _ timeout: Int64, _ array: SummaryArray, _ full: ReportReference?
) -> (Status, JoinTally) {
  registry.joinAll(timeout: bounded(timeout), full: full) { array.store($1, at: $0, .now) }
}

/// Shuts down; in one place, for the same reason.
@inline(never)
func shutDown(
  _ registry: RegistryReference, _ request: ShutdownRequest, _ array: SummaryArray,
  _ full: ReportReference?
) -> (Status, JoinTally) {
  if request.grace > 0 && request.grace < 1_000_000 { registry.logShortGrace(request.grace) }
  return registry.shutdown(request, full: full) { array.store($1, at: $0, .now) }
}

/// Makes a call with a full report, which the caller gets if the status is one that has one.
private func withFullReport(
  _ out: UnsafeMutablePointer<OpaquePointer?>?, _ function: StaticString,
  _ call: (ReportReference) -> (Status, JoinTally)
) -> tr_status {
  guard let out else { return invalid(function, "report is NULL") }
  guard let full = ReportReference.make() else { return Status.noMemory.code }
  let (status, _) = call(full)
  if status == .ok || status == .deadline {
    out.pointee = given(.report, full.opaque)
  } else if status != .forked {
    full.destroy()
  }
  return status.code
}

@inline(__always)
private func shutdown(
  _ function: StaticString, _ registry: RegistryReference, _ request: ShutdownRequest,
  _ report: UnsafeMutablePointer<tr_join_report>?
) -> tr_status {
  withReportRequest(of: report, function) { array, full in
    shutDown(registry, request, array, full)
  }
}

extension tr_shutdown_options: SizedStructure {
  static var firstSize: UInt32 { 144 }
  static var initialiser: StaticString { "TR_SHUTDOWN_OPTIONS_INIT" }
}

extension ShutdownRequest {
  /// Takes the options; false if they break the documented requirements (P4).
  mutating func apply(
    _ pointer: UnsafePointer<tr_shutdown_options>, _ function: StaticString
  ) -> Bool {
    guard let options = read(pointer, function) else { return false }
    guard options.max_grace_ns >= 0, options.progress_window_ns >= 0 else {
      ErrorDetail.set(function, "options.max_grace_ns or options.progress_window_ns is negative")
      return false
    }
    guard options.warn_percent < 100 || options.warn_percent == UInt32.max else {
      ErrorDetail.set(function, "options.warn_percent is neither below 100 nor TR_WARN_NEVER")
      return false
    }
    maxGrace = options.max_grace_ns
    if options.progress_window_ns != 0 { progressWindow = options.progress_window_ns }
    if options.warn_percent != 0 {
      warnPercent = options.warn_percent == UInt32.max ? 0 : options.warn_percent
    }
    phaseCallbacks = PhaseCallbacks(
      begin: options.on_phase_begin, end: options.on_phase_end, context: options.phase_context)
    let areTimesValid = withUnsafeBytes(of: options.phase_max_grace_ns) { times in
      for phase in 0..<Int(PhasePlan.count) {
        let time = times.load(fromByteOffset: phase * 8, as: Int64.self)
        if time < 0 {
          ErrorDetail.set(function, "a number in options.phase_max_grace_ns is negative")
          return false
        }
        plan.mostTimes[phase] = time
      }
      return true
    }
    if !areTimesValid { return false }
    return withUnsafeBytes(of: options.phase_share) { shares in
      for phase in 0..<Int(PhasePlan.count) {
        let share = shares.load(fromByteOffset: phase * 4, as: UInt32.self)
        if share > PhasePlan.largestShare {
          ErrorDetail.set(function, "a number in options.phase_share is above 1000000")
          return false
        }
        plan.shares[phase] = share
      }
      return true
    }
  }
}

/// Runs `call` with what a report asks for, and fills the report if the status has one.
private func withReportRequest(
  of report: UnsafeMutablePointer<tr_join_report>?, _ function: StaticString,
  _ call: (SummaryArray, ReportReference?) -> (Status, JoinTally)
) -> tr_status {
  guard let report else { return call(SummaryArray(), nil).0.code }
  guard accepts(report, function, "report") else { return Status.invalid.code }
  let size = claimedSize(of: report)
  let request = report.pointee
  guard
    let array = SummaryArray(
      request.stragglers, capacity: request.stragglers_capacity, function, "report->stragglers")
  else { return Status.invalid.code }
  var full: ReportReference?
  if request.full != nil {
    full = ReportReference.make()
    if full == nil { return Status.noMemory.code }
  }
  let (status, tally) = call(array, full)
  guard status == .ok || status == .deadline else {
    if status != .forked { full?.destroy() }
    return status.code
  }
  store(tally, in: report, size: size, listed: min(tally.pending, UInt64(array.capacity)))
  if let full { request.full?.pointee = given(.report, full.opaque) }
  return status.code
}

/// Fills a report of the caller's, whose size was accepted, with the counts.
func store(
  _ tally: JoinTally, in report: UnsafeMutablePointer<tr_join_report>, size: UInt32, listed: UInt64
) {
  fill(report, size: size) { report in
    report.pointee.threads_left = tally.threadsLeft
    report.pointee.ended = tally.ended
    report.pointee.failed = tally.failed
    report.pointee.exited = tally.exited
    report.pointee.pending = tally.pending
    report.pointee.aborted = tally.aborted
    report.pointee.abandoned = tally.abandoned
    report.pointee.rejected = tally.rejected
    report.pointee.elapsed_ns = tally.elapsed
    report.pointee.stragglers_count = listed
    report.pointee.extended_ns = tally.extended
    report.pointee.callbacks_ns = tally.callbacks.total
    report.pointee.ended_before = tally.before.ended
    report.pointee.failed_before = tally.before.failed
    report.pointee.exited_before = tally.before.exited
    report.pointee.unjoined = tally.unjoined
  }
}
