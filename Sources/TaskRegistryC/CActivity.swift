import CTaskReg

@implementation @_cdecl("tr_checkpoint")
public func tr_checkpoint(_ text: UnsafePointer<CChar>?) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  return setCheckpoint(text?.utf8).code
}

@implementation @_cdecl("tr_label")
public func tr_label(_ text: UnsafePointer<CChar>?) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  return setLabel(text?.utf8).code
}

@implementation @_cdecl("tr_progress")
public func tr_progress(
  _ done: UInt64, _ total: UInt64, _ unit: UnsafePointer<CChar>?
) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  return setProgress(done: done, total: total, unit: unit?.utf8).code
}

@implementation @_cdecl("tr_heartbeat")
public func tr_heartbeat() -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  return recordHeartbeat().code
}

@implementation @_cdecl("tr_heartbeat_promise")
public func tr_heartbeat_promise(
  _ handle: OpaquePointer?, _ interval: Int64, _ flags: UInt32
) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  // NULL is the registry of the calling task.
  let registry = registry(handle)
  guard flags & ~TR_HEARTBEAT_EXCEPT_WAITS == 0 else {
    return reported(invalid("tr_heartbeat_promise", "flags has unknown bits"), to: registry)
  }
  let status = setHeartbeatInterval(
    every: interval, sparesWaits: flags & TR_HEARTBEAT_EXCEPT_WAITS != 0, in: registry)
  return reported(status.code, to: registry)
}

@implementation @_cdecl("tr_heartbeat_pause")
public func tr_heartbeat_pause() -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  return setHeartbeatsPaused(true).code
}

@implementation @_cdecl("tr_heartbeat_resume")
public func tr_heartbeat_resume() -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  return setHeartbeatsPaused(false).code
}

@implementation @_cdecl("tr_health")
public func tr_health(
  _ handle: OpaquePointer?, _ buffer: UnsafeMutablePointer<tr_task_summary>?,
  _ capacity: Int, _ count: UnsafeMutablePointer<Int>?
) -> tr_status {
  withRegistry(handle, "tr_health") { registry in
    guard
      let array = SummaryArray(
        buffer, capacity: UInt64(UInt(bitPattern: capacity)), "tr_health", "buffer")
    else { return Status.invalid.code }
    let clocks = ClockPair.now
    let stalled = registry.listStalled { index, facts in
      array.store(stalled: facts, at: index, clocks)
    }
    count?.pointee = stalled
    return stalled == 0 ? Status.ok.code : Status.stalled.code
  }
}
