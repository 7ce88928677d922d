import CPlatform
import CTaskReg

@implementation @_cdecl("tr_adopt")
public func tr_adopt(
  _ handle: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ kind: tr_kind,
  _ options: UnsafePointer<tr_adopt_options>?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  let function: StaticString = "tr_adopt"
  let place = cp_return_address()
  return withRegistry(handle, function) { registry in
    guard let name, let copied = TaskName(name.utf8), isKnown(kind) else {
      return invalidTask(function, name)
    }
    var request = SpawnRequest(
      name: copied, kind: kind, spawnedFrom: place, wantsHandle: out != nil)
    if let options, !request.apply(options, function) { return Status.invalid.code }
    let (status, task) = registry.adopt(request)
    if let task, let out { out.pointee = given(.task, task.opaque) }
    return status.code
  }
}

@implementation @_cdecl("tr_leave")
public func tr_leave() -> tr_status { leave(code: 0, "tr_leave") }

@implementation @_cdecl("tr_leave_with")
public func tr_leave_with(_ code: Int32) -> tr_status { leave(code: code, "tr_leave_with") }

private func leave(code: Int32, _ function: StaticString) -> tr_status {
  // Of a caller that may not leave; one that may has no task, and perhaps no registry, afterwards.
  let registry = ProcessState.isForkedChild ? nil : Worker.currentTask?.registry
  return reported(Worker.leave(code: code, function).code, to: registry)
}

private let knownAdoptFlags =
  TR_ADOPT_JOINS_OTHERS | TR_SPAWN_CLEANUP | TR_SPAWN_ESSENTIAL | TR_SPAWN_ESSENTIAL_ON_FAILURE
  | TR_SPAWN_UNJOINED

extension SpawnRequest {
  /// Takes the options; false if they break the documented requirements (P4).
  fileprivate mutating func apply(
    _ pointer: UnsafePointer<tr_adopt_options>, _ function: StaticString
  ) -> Bool {
    guard let options = read(pointer, function) else { return false }
    guard options.flags & ~knownAdoptFlags == 0 else {
      ErrorDetail.set(function, "options.flags has a bit that a thread cannot be adopted with")
      return false
    }
    guard options.phase < TR_PHASES else {
      ErrorDetail.set(function, "options.phase is not below TR_PHASES")
      return false
    }
    guard options.reserved == 0 else {
      ErrorDetail.set(function, "options.reserved is not 0")
      return false
    }
    guard options.heartbeat_ns >= 0 else {
      ErrorDetail.set(function, "options.heartbeat_ns is negative")
      return false
    }
    if options.flags & TR_SPAWN_UNJOINED != 0 {
      guard options.flags & (TR_SPAWN_CLEANUP | TR_ADOPT_JOINS_OTHERS) == 0 else {
        ErrorDetail.set(
          function,
          "options.flags: neither a clean-up task nor one that joins others can be unjoined")
        return false
      }
      traits.insert(.unjoined)
    }
    isCleanup = options.flags & TR_SPAWN_CLEANUP != 0
    if options.flags & TR_SPAWN_ESSENTIAL != 0 { traits.insert(.essential) }
    if options.flags & TR_SPAWN_ESSENTIAL_ON_FAILURE != 0 { traits.insert(.essentialOnFailure) }
    if options.flags & TR_ADOPT_JOINS_OTHERS != 0 { traits.insert(.joinsOthers) }
    traits.formUnion(.phase(options.phase))
    heartbeat = options.heartbeat_ns
    if heartbeat > 0 { traits.formUnion([.activity, .heartbeat]) }
    return true
  }
}
