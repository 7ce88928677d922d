import CTaskReg

@implementation @_cdecl("tr_task_self")
public func tr_task_self() -> OpaquePointer? {
  ProcessState.isForkedChild ? nil : Worker.currentTask?.opaque
}

@implementation @_cdecl("tr_task_retain")
public func tr_task_retain(_ handle: OpaquePointer?) -> OpaquePointer? {
  guard let task = task(handle) else { return nil }
  task.retainHandle()
  return given(.task, handle)
}

@implementation @_cdecl("tr_task_release")
public func tr_task_release(_ handle: OpaquePointer?) {
  released(.task, handle).map { TaskReference($0) }?.unpin()
}

@implementation @_cdecl("tr_task_id")
public func tr_task_id(_ handle: OpaquePointer?) -> UInt64 {
  task(handle)?.id ?? 0
}

@implementation @_cdecl("tr_task_name")
public func tr_task_name(
  _ handle: OpaquePointer?, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int
) -> Int {
  guard let task = task(handle) else { return emptyText(buffer, capacity) }
  return task.name.withText { text in
    let length = UTF8Text.measure(text, limit: TaskName.limit).kept
    return copyText(text, length: length, buffer, capacity)
  }
}

@implementation @_cdecl("tr_task_kind")
public func tr_task_kind(_ handle: OpaquePointer?) -> tr_kind {
  task(handle)?.kind ?? 0
}

@implementation @_cdecl("tr_task_phase")
public func tr_task_phase(_ handle: OpaquePointer?) -> UInt32 {
  task(handle)?.phase ?? 0
}

@implementation @_cdecl("tr_task_data")
public func tr_task_data(_ handle: OpaquePointer?) -> UnsafeMutableRawPointer? {
  task(handle)?.data
}

@implementation @_cdecl("tr_task_set_data")
public func tr_task_set_data(
  _ handle: OpaquePointer?, _ data: UnsafeMutableRawPointer?
) -> tr_status {
  withTask(handle, "tr_task_set_data") { task in
    guard Worker.currentTask == task else {
      return invalid("tr_task_set_data", "task is not the one that calls")
    }
    return task.setData(data).code
  }
}

@implementation @_cdecl("tr_task_is_cancelled")
public func tr_task_is_cancelled(_ handle: OpaquePointer?) -> Int32 {
  // One jump for whatever is not the rule: so this function needs no frame.
  if let handle, ProcessState.isOrdinary, !TaskReference(handle).word.isCancelRequested { return 0 }
  return checkCancel(handle)
}

@inline(never)
private func checkCancel(_ handle: OpaquePointer?) -> Int32 {
  guard let task = task(handle) else { return 0 }
  return task.checkCancel() ? 1 : 0
}

@implementation @_cdecl("tr_task_cancel_flag")
public func tr_task_cancel_flag(_ handle: OpaquePointer?) -> UnsafePointer<UInt32>? {
  guard let task = task(handle) else { return nil }
  task.asksForFlag()
  return task.cancelFlag
}

@implementation @_cdecl("tr_task_cancel")
public func tr_task_cancel(_ handle: OpaquePointer?) -> tr_status {
  withTask(handle, "tr_task_cancel") { task in
    task.cancel()
    return Status.ok.code
  }
}

@implementation @_cdecl("tr_task_abort")
public func tr_task_abort(_ handle: OpaquePointer?) -> tr_status {
  withTask(handle, "tr_task_abort") { task in
    task.cancel(.abort)
    return Status.ok.code
  }
}

@implementation @_cdecl("tr_task_stop_level")
public func tr_task_stop_level(_ handle: OpaquePointer?) -> UInt32 {
  guard let task = task(handle) else { return UInt32(TR_STOP_NONE) }
  _ = task.checkCancel()
  return task.word.level.rawValue
}

@implementation @_cdecl("tr_begin_drain")
public func tr_begin_drain() -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  guard let task = Worker.currentTask else {
    return invalid("tr_begin_drain", "the caller is not a task")
  }
  return task.beginDrain().code
}

@implementation @_cdecl("tr_shield_begin")
public func tr_shield_begin() -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  guard let task = Worker.currentTask else {
    return invalid("tr_shield_begin", "the caller is not a task")
  }
  return task.beginShield().code
}

@implementation @_cdecl("tr_shield_end")
public func tr_shield_end() -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  guard let task = Worker.currentTask else {
    return invalid("tr_shield_end", "the caller is not a task")
  }
  return task.endShield().code
}

@implementation @_cdecl("tr_task_token")
public func tr_task_token(_ handle: OpaquePointer?) -> OpaquePointer? {
  var token: TokenReference?
  let status = withTask(handle, "tr_task_token") { task in
    guard Worker.currentTask == task else {
      return invalid("tr_task_token", "task is not the one that calls")
    }
    let (status, own) = task.ownToken()
    token = own
    return status.code
  }
  return token?.opaque ?? noToken(status)
}

@implementation @_cdecl("tr_task_set_message")
public func tr_task_set_message(
  _ handle: OpaquePointer?, _ message: UnsafePointer<CChar>?
) -> tr_status {
  withTask(handle, "tr_task_set_message") { task in
    guard Worker.currentTask == task else {
      return invalid("tr_task_set_message", "task is not the one that calls")
    }
    return task.setMessage(message?.utf8).code
  }
}

@implementation @_cdecl("tr_task_set_message_lossy")
public func tr_task_set_message_lossy(
  _ handle: OpaquePointer?, _ message: UnsafePointer<CChar>?
) -> tr_status {
  withTask(handle, "tr_task_set_message_lossy") { task in
    guard Worker.currentTask == task else {
      return invalid("tr_task_set_message_lossy", "task is not the one that calls")
    }
    return task.setMessage(lossy: message?.utf8).code
  }
}

@implementation @_cdecl("tr_task_wait")
public func tr_task_wait(
  _ handle: OpaquePointer?, _ timeout: Int64, _ outcome: UnsafeMutablePointer<tr_outcome>?
) -> tr_status {
  withTask(handle, "tr_task_wait") { task in
    if let outcome, !accepts(outcome, "tr_task_wait", "outcome") {
      return Status.invalid.code
    }
    let status = task.wait(until: .after(timeout))
    if status == .ok, let outcome {
      fill(outcome, size: claimedSize(of: outcome)) { copyOutcome(of: task, to: $0) }
    }
    return status.code
  }
}

/// Copies the outcome of a task that has ended.
private func copyOutcome(of task: TaskReference, to outcome: UnsafeMutablePointer<tr_outcome>) {
  let word = task.word
  outcome.pointee.how = UInt32(word.ending.rawValue)
  outcome.pointee.code = task.code(of: word.ending)
  outcome.pointee.was_cancelled = word.isCancelRequested ? 1 : 0
  withUnsafeMutableBytes(of: &outcome.pointee.message) { bytes in
    for i in bytes.indices { bytes[i] = 0 }
    let base = bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: CChar.self)
    task.withMessage { text, _ in
      _ = copyText(text, length: 0, base, bytes.count)
    }
  }
}

@implementation @_cdecl("tr_sleep")
public func tr_sleep(_ duration: Int64) -> tr_status {
  ProcessState.isForkedChild ? Status.forked.code : sleepCallingThread(for: bounded(duration)).code
}
