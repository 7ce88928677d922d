import CTaskReg

@implementation @_cdecl("tr_strerror")
public func tr_strerror(_ status: tr_status) -> UnsafePointer<CChar>? {
  (Status(rawValue: status)?.text ?? "unknown status").cString
}

@implementation @_cdecl("tr_error_detail")
public func tr_error_detail() -> UnsafePointer<CChar>? { ErrorDetail.text.chars }

@implementation @_cdecl("tr_version")
public func tr_version() -> UInt32 { TR_VERSION }

@implementation @_cdecl("tr_kind_name")
public func tr_kind_name(_ kind: tr_kind) -> UnsafePointer<CChar>? {
  KindNames.name(of: kind)?.chars ?? Names.kind(kind).cString
}

@implementation @_cdecl("tr_kind_set_name")
public func tr_kind_set_name(_ kind: tr_kind, _ name: UnsafePointer<CChar>?) -> tr_status {
  let function: StaticString = "tr_kind_set_name"
  if ProcessState.isForkedChild { return Status.forked.code }
  guard kind >= tr_kind(TR_KIND_APPLICATION) else {
    return invalid(function, "kind is below TR_KIND_APPLICATION")
  }
  guard let name else { return invalid(function, null: "name") }
  guard let copied = TaskName(name.utf8) else {
    return invalid(function, "name is not UTF-8 of at least one byte")
  }
  return KindNames.set(copied, of: kind).code
}

@implementation @_cdecl("tr_state_name")
public func tr_state_name(_ state: UInt32) -> UnsafePointer<CChar>? { Names.state(state).cString }

@implementation @_cdecl("tr_reason_name")
public func tr_reason_name(_ reason: tr_reason) -> UnsafePointer<CChar>? {
  Names.reason(reason).cString
}

@implementation @_cdecl("tr_reason_is_graceful")
public func tr_reason_is_graceful(_ reason: tr_reason) -> Int32 {
  reason == tr_reason(TR_REASON_FATAL) ? 0 : 1
}

@implementation @_cdecl("tr_event_name")
public func tr_event_name(_ event: UInt32) -> UnsafePointer<CChar>? { Names.event(event).cString }

@implementation @_cdecl("tr_ended_name")
public func tr_ended_name(_ how: UInt32) -> UnsafePointer<CChar>? { Names.ending(how).cString }
