import CTaskReg

@implementation @_cdecl("tr_strerror")
public func tr_strerror(_ status: tr_status) -> UnsafePointer<CChar>? {
  (Status(rawValue: status)?.text ?? "unknown status").cString
}

@implementation @_cdecl("tr_version")
public func tr_version() -> UInt32 { TR_VERSION }

@implementation @_cdecl("tr_kind_name")
public func tr_kind_name(_ kind: tr_kind) -> UnsafePointer<CChar>? {
  let name: StaticString =
    switch kind {
    case TR_KIND_BACKGROUND_LOOP: "background-loop"
    case TR_KIND_PEER_CONNECTION: "peer-connection"
    case TR_KIND_RPC_HANDLER: "rpc-handler"
    case TR_KIND_MAINTENANCE: "maintenance"
    case TR_KIND_APPLICATION...: "application"
    default: "unknown"
    }
  return name.cString
}

@implementation @_cdecl("tr_state_name")
public func tr_state_name(_ state: UInt32) -> UnsafePointer<CChar>? {
  let name: StaticString =
    switch state {
    case TR_STATE_STARTING: "starting"
    case TR_STATE_RUNNING: "running"
    case TR_STATE_CANCELLING: "cancelling"
    case TR_STATE_ABANDONED: "abandoned"
    case TR_STATE_ENDED: "ended"
    default: "unknown"
    }
  return name.cString
}

@implementation @_cdecl("tr_reason_name")
public func tr_reason_name(_ reason: tr_reason) -> UnsafePointer<CChar>? {
  let name: StaticString =
    switch reason {
    case TR_REASON_NONE: "none"
    case TR_REASON_USER_REQUESTED: "user-requested"
    case TR_REASON_RPC_REQUESTED: "rpc-requested"
    case TR_REASON_RELOAD_REQUESTED: "reload-requested"
    case TR_REASON_REQUESTED_BY_RUN: "requested-by-run"
    case TR_REASON_FATAL: "fatal"
    case TR_REASON_DEADLINE: "deadline"
    default: "unknown"
    }
  return name.cString
}

@implementation @_cdecl("tr_reason_is_graceful")
public func tr_reason_is_graceful(_ reason: tr_reason) -> Int32 {
  reason == TR_REASON_FATAL ? 0 : 1
}

@implementation @_cdecl("tr_event_name")
public func tr_event_name(_ event: UInt32) -> UnsafePointer<CChar>? {
  let name: StaticString =
    switch event {
    case TR_EVENT_TASK_FAILED: "task-failed"
    case TR_EVENT_TASK_EXITED: "task-exited"
    case TR_EVENT_DEADLINE_EXCEEDED: "deadline-exceeded"
    case TR_EVENT_SPAWN_REFUSED: "spawn-refused"
    case TR_EVENT_DEADLINE_NEAR: "deadline-near"
    case TR_EVENT_DEADLINE_EXTENDED: "deadline-extended"
    case TR_EVENT_TASK_LATE: "task-late"
    case TR_EVENT_TASK_STALLED: "task-stalled"
    case TR_EVENT_TASK_RECOVERED: "task-recovered"
    default: "unknown"
    }
  return name.cString
}

@implementation @_cdecl("tr_ended_name")
public func tr_ended_name(_ how: UInt32) -> UnsafePointer<CChar>? {
  let name: StaticString =
    switch how {
    case TR_ENDED_RETURNED: "returned"
    case TR_ENDED_FAILED: "failed"
    case TR_ENDED_EXITED: "exited"
    default: "unknown"
    }
  return name.cString
}
