import CTaskReg

@implementation @_cdecl("tr_signal_watch_start")
public func tr_signal_watch_start(
  _ handle: OpaquePointer?, _ set: UnsafePointer<sigset_t>?,
  _ options: UnsafePointer<tr_signal_options>?
) -> tr_status {
  guard let registry = registry(handle) else {
    return refusal("tr_signal_watch_start", "registry")
  }
  var flags: UInt32 = 0
  if let options {
    guard let given = read(options, "tr_signal_watch_start") else { return Status.invalid.code }
    flags = given.flags
  }
  guard flags & ~TR_SIGNALS_HUP_RELOADS == 0 else {
    return refuse(
      "tr_signal_watch_start", "options.flags has a bit that is not one of TR_SIGNALS_...",
      in: registry)
  }
  return SignalWatch.start(
    for: registry, signals: set.map { SignalWatch.signals(in: $0) },
    hangUpReloads: flags & TR_SIGNALS_HUP_RELOADS != 0
  ).code
}

@implementation @_cdecl("tr_signal_watch_stop")
public func tr_signal_watch_stop(_ handle: OpaquePointer?) -> tr_status {
  guard let registry = registry(handle) else {
    return refusal("tr_signal_watch_stop", "registry")
  }
  return SignalWatch.end(for: registry).code
}

@implementation @_cdecl("tr_signal_watch_move")
public func tr_signal_watch_move(_ from: OpaquePointer?, _ to: OpaquePointer?) -> tr_status {
  guard let old = registry(from) else { return refusal("tr_signal_watch_move", "from") }
  guard let new = registry(to) else { return refusal("tr_signal_watch_move", "to") }
  return SignalWatch.move(from: old, to: new).code
}

@implementation @_cdecl("tr_signal_watch_pending")
public func tr_signal_watch_pending() -> Int32 { SignalWatch.pendingStop }

@implementation @_cdecl("tr_request_shutdown")
public func tr_request_shutdown(_ handle: OpaquePointer?, _ reason: tr_reason) -> tr_status {
  // Not checked: the caller may be a signal handler, which must take no lock.
  guard let token = ProcessState.isForkedChild ? nil : handle.map({ TokenReference($0) }) else {
    return refusal("tr_request_shutdown", "token")
  }
  return SignalWatch.request(token, reason: reason).code
}
