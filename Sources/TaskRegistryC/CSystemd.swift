import CTaskReg

@implementation @_cdecl("tr_systemd_start")
public func tr_systemd_start(
  _ handle: OpaquePointer?, _ options: UnsafePointer<tr_systemd_options>?
) -> tr_status {
  withRegistry(handle, "tr_systemd_start") { registry in
    var wanted = tr_systemd_options()
    if let options {
      guard let given = read(options, "tr_systemd_start") else { return Status.invalid.code }
      wanted = given
    }
    guard wanted.flags == 0 else {
      return invalid("tr_systemd_start", "options.flags is not 0")
    }
    return SystemdWatch.start(
      for: registry, socket: wanted.socket?.utf8, watchdog: wanted.watchdog_ns,
      status: wanted.status_ns
    ).code
  }
}

@implementation @_cdecl("tr_systemd_stop")
public func tr_systemd_stop(_ handle: OpaquePointer?) -> tr_status {
  withRegistry(handle, "tr_systemd_stop") { registry in
    SystemdWatch.end(for: registry).code
  }
}
