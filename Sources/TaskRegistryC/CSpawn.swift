import CPlatform
import CTaskReg

@implementation @_cdecl("tr_spawn")
public func tr_spawn(
  _ handle: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ kind: tr_kind,
  _ body: tr_task_fn?, _ context: UnsafeMutableRawPointer?,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  let place = cp_return_address()
  return withRegistry(handle, "tr_spawn") { registry in
    guard
      let request = SpawnRequest(name, kind, body, context, place, wantsHandle: out != nil)
    else {
      return invalidSpawn("tr_spawn", name, body)
    }
    return spawn(request, in: registry, out)
  }
}

@implementation @_cdecl("tr_spawn_with")
public func tr_spawn_with(
  _ handle: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ kind: tr_kind,
  _ body: tr_task_fn?, _ context: UnsafeMutableRawPointer?,
  _ options: UnsafePointer<tr_spawn_options>?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  let place = cp_return_address()
  return withRegistry(handle, "tr_spawn_with") { registry in
    guard
      var request = SpawnRequest(name, kind, body, context, place, wantsHandle: out != nil)
    else {
      return invalidSpawn("tr_spawn_with", name, body)
    }
    guard let options else { return spawn(request, in: registry, out) }
    if !request.apply(options, "tr_spawn_with") { return Status.invalid.code }
    let wait = bounded(options.pointee.room_wait_ns)
    guard let restart = options.pointee.restart else {
      return spawn(request, in: registry, waitingForRoom: wait, out)
    }
    guard let policy = RestartPolicy(restart, "tr_spawn_with") else { return Status.invalid.code }
    if policy.when == .never { return spawn(request, in: registry, waitingForRoom: wait, out) }
    return spawn(&request, again: .restart(policy), in: registry, waitingForRoom: wait, out)
  }
}

@implementation @_cdecl("tr_spawn_every")
public func tr_spawn_every(
  _ handle: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ kind: tr_kind,
  _ body: tr_task_fn?, _ context: UnsafeMutableRawPointer?,
  _ schedule: UnsafePointer<tr_schedule>?, _ options: UnsafePointer<tr_spawn_options>?,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  let function: StaticString = "tr_spawn_every"
  let place = cp_return_address()
  return withRegistry(handle, function) { registry in
    guard
      var request = SpawnRequest(name, kind, body, context, place, wantsHandle: out != nil)
    else {
      return invalidSpawn(function, name, body)
    }
    guard let schedule else { return invalid(function, null: "schedule") }
    var wait: Int64 = 0
    if let options {
      if !request.apply(options, function) { return Status.invalid.code }
      if options.pointee.restart != nil {
        return invalid(function, "options.restart is not NULL: a periodic task runs again anyway")
      }
      wait = bounded(options.pointee.room_wait_ns)
    }
    guard let rule = ScheduleRule(schedule, function) else { return Status.invalid.code }
    request.traits.insert(.periodic)
    if schedule.pointee.flags & TR_SCHEDULE_ENDS_ON_FAILURE != 0 {
      request.traits.insert(.endsOnFailure)
    }
    request.waitsFirst = rule.firstDelay > 0
    return spawn(&request, again: .schedule(rule), in: registry, waitingForRoom: wait, out)
  }
}

private func spawn(
  _ request: inout SpawnRequest, again: RunPolicy, in registry: RegistryReference,
  waitingForRoom wait: Int64, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  request.traits.insert(.startsAgain)
  return withUnsafePointer(to: again) { again in
    request.again = again
    return spawn(request, in: registry, waitingForRoom: wait, out)
  }
}

@inline(__always)
private func spawn(
  _ request: borrowing SpawnRequest, in registry: RegistryReference,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  let (status, task) = registry.spawn(request)
  if let task, let out { out.pointee = given(.task, task.opaque) }
  return status.code
}

private func spawn(
  _ request: borrowing SpawnRequest, in registry: RegistryReference, waitingForRoom wait: Int64,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  if wait == 0 { return spawn(request, in: registry, out) }
  let (status, task) = registry.spawn(request, waitingForRoom: wait)
  if let task, let out { out.pointee = given(.task, task.opaque) }
  return status.code
}

/// The reason why a spawn whose arguments break the requirements was rejected.
@inline(never)
private func invalidSpawn(
  _ function: StaticString, _ name: UnsafePointer<CChar>?, _ body: tr_task_fn?
) -> tr_status {
  body == nil ? invalid(function, "body is NULL") : invalidTask(function, name)
}

/// The reason why a name and a kind of which one breaks the requirements were rejected.
@inline(never)
func invalidTask(_ function: StaticString, _ name: UnsafePointer<CChar>?) -> tr_status {
  guard let name else { return invalid(function, "name is NULL") }
  if TaskName(name.utf8) == nil {
    return invalid(function, "name is not UTF-8 of at least one byte")
  }
  return invalid(
    function, "kind is neither one of TR_KIND_... nor TR_KIND_APPLICATION or above")
}

/// Whether a task may be of this kind (S3).
@inline(__always)
func isKnown(_ kind: tr_kind) -> Bool {
  (kind >= tr_kind(TR_KIND_BACKGROUND_LOOP) && kind <= tr_kind(TR_KIND_MAINTENANCE))
    || kind >= tr_kind(TR_KIND_APPLICATION)
}

private let knownSpawnFlags =
  TR_SPAWN_CLEANUP | TR_SPAWN_FRESH_THREAD | TR_SPAWN_ESSENTIAL | TR_SPAWN_ESSENTIAL_ON_FAILURE
  | TR_SPAWN_UNJOINED

extension SpawnRequest {
  /// Checks the arguments from C; nil if they break the documented requirements (S2, S3).
  @inline(__always)
  fileprivate init?(
    _ name: UnsafePointer<CChar>?, _ kind: tr_kind, _ body: tr_task_fn?,
    _ context: UnsafeMutableRawPointer?, _ place: UInt, wantsHandle: Bool
  ) {
    guard let body, let name, let copied = TaskName(name.utf8), isKnown(kind) else { return nil }
    self.init(
      name: copied, kind: kind, body: body, context: context, spawnedFrom: place,
      wantsHandle: wantsHandle)
  }

  /// Takes the options; false if they break the documented requirements (P4).
  fileprivate mutating func apply(
    _ pointer: UnsafePointer<tr_spawn_options>, _ function: StaticString
  ) -> Bool {
    guard let options = read(pointer, function) else { return false }
    guard options.flags & ~(knownSpawnFlags) == 0 else {
      ErrorDetail.set(function, "options.flags has a bit that is not one of TR_SPAWN_...")
      return false
    }
    drop = options.drop
    let excluding = TR_SPAWN_CLEANUP | TR_SPAWN_UNJOINED
    if options.flags & excluding == excluding {
      ErrorDetail.set(function, "options.flags: a clean-up task cannot be unjoined")
      return false
    }
    if options.flags & TR_SPAWN_UNJOINED != 0 { traits.insert(.unjoined) }
    isCleanup = options.flags & TR_SPAWN_CLEANUP != 0
    wantsFreshThread = options.flags & TR_SPAWN_FRESH_THREAD != 0
    if options.flags & TR_SPAWN_ESSENTIAL != 0 { traits.insert(.essential) }
    if options.flags & TR_SPAWN_ESSENTIAL_ON_FAILURE != 0 {
      traits.insert(.essentialOnFailure)
    }
    if options.phase >= TR_PHASES {
      ErrorDetail.set(function, "options.phase is not below TR_PHASES")
      return false
    }
    if options.heartbeat_ns < 0 {
      ErrorDetail.set(function, "options.heartbeat_ns is negative")
      return false
    }
    if let name = options.thread_name {
      guard let name = TaskName(name.utf8) else {
        ErrorDetail.set(function, "options.thread_name is not UTF-8 of at least one byte")
        return false
      }
      threadName = (name.words[0], name.words[1])
      traits.insert(.namedThread)
    }
    traits.formUnion(.phase(options.phase))
    heartbeat = options.heartbeat_ns
    if heartbeat > 0 { traits.formUnion([.activity, .heartbeat]) }
    if options.cancel_signal != 0 {
      if !CancelSignal.isUsable(options.cancel_signal) {
        ErrorDetail.set(
          function,
          """
          options.cancel_signal has no handler without SA_RESTART, which could interrupt a system \
          call (call tr_install_cancel_signal first), is watched, or is the signal for backtraces
          """
        )
        return false
      }
      cancelSignal = options.cancel_signal
    }
    if options.stack_size != 0 {
      guard let size = RegistryOptionsCore.stackSize(for: options.stack_size) else {
        ErrorDetail.set(function, "options.stack_size is more than 1 TiB")
        return false
      }
      stackSize = size
    }
    guard let wish = SchedulingWish(options, function) else { return false }
    if !wish.isEmpty {
      scheduling = wish
      traits.insert(.scheduled)
      wantsFreshThread = true
    }
    return true
  }
}
