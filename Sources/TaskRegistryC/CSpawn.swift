import CTaskReg

@implementation @_cdecl("tr_spawn")
public func tr_spawn(
  _ handle: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ kind: tr_kind,
  _ body: tr_task_fn?, _ context: UnsafeMutableRawPointer?,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  guard let registry = registry(handle) else { return refusal }
  guard let request = SpawnRequest(name, kind, body, context, wantsHandle: out != nil) else {
    return Status.invalid.code
  }
  return spawn(request, in: registry, out)
}

@implementation @_cdecl("tr_spawn_with")
public func tr_spawn_with(
  _ handle: OpaquePointer?, _ name: UnsafePointer<CChar>?, _ kind: tr_kind,
  _ body: tr_task_fn?, _ context: UnsafeMutableRawPointer?,
  _ options: UnsafePointer<tr_spawn_options>?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  guard let registry = registry(handle) else { return refusal }
  guard var request = SpawnRequest(name, kind, body, context, wantsHandle: out != nil) else {
    return Status.invalid.code
  }
  if let options, !request.apply(options) { return Status.invalid.code }
  return spawn(request, in: registry, out)
}

@inline(__always)
private func spawn(
  _ request: borrowing SpawnRequest, in registry: RegistryReference,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  let (status, task) = registry.spawn(request)
  if let task { out?.pointee = task.opaque }
  return status.code
}

private let knownSpawnFlags =
  TR_SPAWN_CLEANUP | TR_SPAWN_FRESH_THREAD | TR_SPAWN_ESSENTIAL | TR_SPAWN_ESSENTIAL_UNLESS_RETURNED

extension SpawnRequest {
  /// Checks what C hands in; nil if it breaks the documented requirements (S2, S3).
  @inline(__always)
  fileprivate init?(
    _ name: UnsafePointer<CChar>?, _ kind: tr_kind, _ body: tr_task_fn?,
    _ context: UnsafeMutableRawPointer?, wantsHandle: Bool
  ) {
    guard let body, let name, let copied = TaskName(name.utf8) else { return nil }
    guard
      (kind >= TR_KIND_BACKGROUND_LOOP && kind <= TR_KIND_MAINTENANCE)
        || kind >= TR_KIND_APPLICATION
    else { return nil }
    self.init(
      name: copied, kind: kind, body: body, context: context, wantsHandle: wantsHandle)
  }

  /// Takes over the options; false if they break the documented requirements (P4).
  fileprivate mutating func apply(_ pointer: UnsafePointer<tr_spawn_options>) -> Bool {
    guard let options = read(pointer) else { return false }
    guard options.flags & ~(knownSpawnFlags) == 0 else { return false }
    drop = options.drop
    isCleanup = options.flags & TR_SPAWN_CLEANUP != 0
    wantsFreshThread = options.flags & TR_SPAWN_FRESH_THREAD != 0
    if options.flags & TR_SPAWN_ESSENTIAL != 0 { traits.insert(.essential) }
    if options.flags & TR_SPAWN_ESSENTIAL_UNLESS_RETURNED != 0 {
      traits.insert(.essentialUnlessReturned)
    }
    if options.phase >= TR_PHASES || options.heartbeat_ns < 0 { return false }
    traits.formUnion(.phase(options.phase))
    heartbeat = options.heartbeat_ns
    if heartbeat > 0 { traits.formUnion([.notes, .heartbeat]) }
    if options.cancel_signal != 0 {
      if !CancelSignal.isUsable(options.cancel_signal) { return false }
      cancelSignal = options.cancel_signal
    }
    if options.stack_size != 0 {
      guard let size = RegistryOptionsCore.stackSize(for: options.stack_size) else { return false }
      stackSize = size
    }
    return true
  }
}
