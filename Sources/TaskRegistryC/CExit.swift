import CTaskReg

extension tr_exit_options: SizedStructure {
  static var firstSize: UInt32 { 32 }
  static var initialiser: StaticString { "TR_EXIT_OPTIONS_INIT" }
}

@implementation @_cdecl("tr_exit_by")
public func tr_exit_by(
  _ after: Int64, _ options: UnsafePointer<tr_exit_options>?
) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  guard let request = ExitRequest(after, options, "tr_exit_by", time: "after_ns") else {
    return Status.invalid.code
  }
  return ExitBy.arm(request).code
}

@implementation @_cdecl("tr_exit_by_cancel")
public func tr_exit_by_cancel() -> tr_status { ExitBy.cancel().code }

extension ExitRequest {
  /// Checks the arguments; nil if they break the documented requirements (P4).
  ///
  /// - Parameters:
  ///   - after: the time, in nanoseconds.
  ///   - pointer: the options; nil: defaults.
  ///   - function: of the C interface, for `tr_error_detail`.
  ///   - time: what the time is called in the function's declaration.
  init?(
    _ after: Int64, _ pointer: UnsafePointer<tr_exit_options>?, _ function: StaticString,
    time: StaticString
  ) {
    if after == -1 {
      ErrorDetail.set(function) {
        $0.append(time)
        $0.append(" is TR_FOREVER, and an end that never comes is none")
      }
      return nil
    }
    self.init(after: max(0, after))
    guard let pointer else { return }
    guard let options = read(pointer, function) else { return nil }
    if options.flags & ~(TR_EXIT_ABORT | TR_EXIT_FROM_SIGNAL) != 0 {
      ErrorDetail.set(function, "options.flags has a bit that is not one of TR_EXIT_...")
      return nil
    }
    if options.report_ns < 0 {
      ErrorDetail.set(function, "options.report_ns is negative")
      return nil
    }
    if options.code < 0 || options.code > 255 {
      ErrorDetail.set(function, "options.code is not a status from 0 to 255")
      return nil
    }
    startsWithSignal = options.flags & TR_EXIT_FROM_SIGNAL != 0
    aborts = options.flags & TR_EXIT_ABORT != 0
    if options.report_ns != 0 { reportTime = options.report_ns }
    if options.code != 0 { code = options.code }
    if options.fd != 0 { descriptor = options.fd }
    reasonFile = options.reason_file?.utf8
  }
}
