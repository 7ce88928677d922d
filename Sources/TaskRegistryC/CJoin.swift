import CTaskReg

@implementation @_cdecl("tr_join_all")
public func tr_join_all(
  _ handle: OpaquePointer?, _ timeout: Int64, _ report: UnsafeMutablePointer<tr_join_report>?
) -> tr_status {
  guard let registry = registry(handle) else { return refusal }
  guard let array = stragglerArray(of: report) else { return Status.invalid.code }
  let (status, tally) = registry.joinAll(timeout: timeout) { index, facts in
    array.store(facts, at: index, .now)
  }
  return deliver(tally, status, to: report, array)
}

@implementation @_cdecl("tr_shutdown")
public func tr_shutdown(
  _ handle: OpaquePointer?, _ reason: tr_reason, _ message: UnsafePointer<CChar>?,
  _ grace: Int64, _ report: UnsafeMutablePointer<tr_join_report>?
) -> tr_status {
  guard let registry = registry(handle) else { return refusal }
  guard let array = stragglerArray(of: report) else { return Status.invalid.code }
  let (status, tally) = registry.shutdown(reason: reason, message: message?.utf8, grace: grace) {
    index, facts in array.store(facts, at: index, .now)
  }
  return deliver(tally, status, to: report, array)
}

/// Where the stragglers are to be listed; nil if the report is none this library can fill.
private func stragglerArray(of report: UnsafeMutablePointer<tr_join_report>?) -> SummaryArray? {
  guard let report else { return SummaryArray(nil, capacity: 0) }
  guard accepts(tr_join_report.self, size: claimedSize(of: report)) else { return nil }
  // Both fields are as old as the structure.
  return SummaryArray(report.pointee.stragglers, capacity: report.pointee.stragglers_capacity)
}

/// Fills the report if the status is one that has a report.
private func deliver(
  _ tally: JoinTally, _ status: Status, to report: UnsafeMutablePointer<tr_join_report>?,
  _ array: SummaryArray
) -> tr_status {
  guard let report, status == .ok || status == .deadline else { return status.code }
  fill(report, size: claimedSize(of: report)) { report in
    report.pointee.threads_left = tally.threadsLeft
    report.pointee.ended = tally.ended
    report.pointee.failed = tally.failed
    report.pointee.exited = tally.exited
    report.pointee.pending = tally.pending
    report.pointee.aborted = tally.aborted
    report.pointee.abandoned = tally.abandoned
    report.pointee.rejected = tally.rejected
    report.pointee.elapsed_ns = tally.elapsed
    report.pointee.stragglers_count = min(tally.pending, UInt64(array.capacity))
  }
  return status.code
}
