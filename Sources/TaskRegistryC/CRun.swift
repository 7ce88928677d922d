import CTaskReg

extension tr_run_options: SizedStructure {
  static var firstSize: UInt32 { 88 }
  static var initialiser: StaticString { "TR_RUN_OPTIONS_INIT" }
}

@implementation @_cdecl("tr_run_until_stopped")
public func tr_run_until_stopped(
  _ handle: OpaquePointer?, _ options: UnsafePointer<tr_run_options>?,
  _ exitStatus: UnsafeMutablePointer<Int32>?
) -> tr_status {
  let function: StaticString = "tr_run_until_stopped"
  exitStatus?.pointee = TR_EXIT_FAILED
  return withRegistry(handle, function) { registry in
    var given = tr_run_options()
    if let options {
      guard let known = read(options, function) else { return Status.invalid.code }
      given = known
    }
    guard let request = RunRequest(given, function) else { return Status.invalid.code }
    guard let signals = signals(of: given, function) else { return Status.invalid.code }
    let (status, exit) = registry.runUntilStopped(request) {
      let code = start(registry, signals.bits, given.signal, function, "options.signals")
      return Status(rawValue: code) ?? .invalid
    } shutDown: { shutdown, report in
      TaskRegistryC.shutDown(registry, shutdown, SummaryArray(), report).0
    }
    exitStatus?.pointee = exit
    return status.code
  }
}

/// The signals of the options, one bit each, or nil for the usual ones; nil if they are invalid.
private func signals(
  of options: tr_run_options, _ function: StaticString
) -> (bits: UInt64?, Void)? {
  guard let numbers = options.signals else {
    if options.signals_count == 0 { return (nil, ()) }
    ErrorDetail.set(function, "options.signals is NULL and options.signals_count is not 0")
    return nil
  }
  // As many as there are. A `size_t` beyond `Int.max` arrives as a negative number.
  guard options.signals_count >= 0, options.signals_count <= Int(SignalWatch.lastSignal) else {
    ErrorDetail.set(function, "options.signals_count is more than there are signals")
    return nil
  }
  var bits: UInt64 = 0
  for place in 0..<options.signals_count {
    guard numbers[place] >= 1, numbers[place] <= SignalWatch.lastSignal else {
      ErrorDetail.set(function, "options.signals has a number that is not a signal")
      return nil
    }
    bits |= SignalWatch.bit(numbers[place])
  }
  return (bits, ())
}

extension RunRequest {
  /// Checks the options; nil if they break the documented requirements (P4).
  fileprivate init?(_ options: tr_run_options, _ function: StaticString) {
    self.init()
    if options.flags & ~TR_RUN_NO_SYSTEMD != 0 || options.reserved != 0 {
      ErrorDetail.set(
        function, "options.flags has a bit that is not one of TR_RUN_..., or reserved is not 0")
      return nil
    }
    if options.exit_after_ns < 0 {
      ErrorDetail.set(function, "options.exit_after_ns is negative")
      return nil
    }
    if options.grace_ns != 0 { shutdown.grace = bounded(options.grace_ns) }
    if let given = options.shutdown, !shutdown.apply(given, function) { return nil }
    notifiesSystemd = options.flags & TR_RUN_NO_SYSTEMD == 0
    if let pointer = options.systemd {
      guard let given = read(pointer, function, "options.systemd") else { return nil }
      if given.flags != 0 {
        ErrorDetail.set(function, "options.systemd->flags is not 0")
        return nil
      }
      socket = given.socket?.utf8
      watchdog = given.watchdog_ns
      statusPause = given.status_ns
    }
    if options.exit_after_ns > 0 {
      exit = ExitRequest(
        options.exit_after_ns, options.exit, function, time: "options.exit_after_ns")
      if exit == nil { return nil }
      exit?.startsWithSignal = true
    } else if options.exit != nil {
      ErrorDetail.set(function, "options.exit is given and options.exit_after_ns is 0")
      return nil
    }
    if options.report_fd != 0 { reportDescriptor = options.report_fd }
    reportFile = options.report_file?.utf8
  }
}
