import CTaskReg

@implementation @_cdecl("tr_systemd_on")
public func tr_systemd_on(
  _ handle: OpaquePointer?, _ options: UnsafePointer<tr_systemd_options>?
) -> tr_status {
  guard let registry = registry(handle) else { return refusal }
  var wanted = tr_systemd_options()
  if let options {
    guard let given = read(options) else { return Status.invalid.code }
    wanted = given
  }
  guard wanted.flags == 0 else { return Status.invalid.code }
  return SystemdWatch.start(
    for: registry, socket: wanted.socket?.utf8, watchdog: wanted.watchdog_ns,
    status: wanted.status_ns
  ).code
}

@implementation @_cdecl("tr_systemd_off")
public func tr_systemd_off(_ handle: OpaquePointer?) -> tr_status {
  guard let registry = registry(handle) else { return refusal }
  return SystemdWatch.end(for: registry).code
}
