import CTaskReg

@implementation @_cdecl("tr_install_cancel_signal")
public func tr_install_cancel_signal(_ number: Int32) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  return CancelSignal.installHandler(for: number).code
}

@implementation @_cdecl("tr_acknowledge_cancel")
public func tr_acknowledge_cancel() -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  guard let task = Worker.currentTask else {
    return invalid("tr_acknowledge_cancel", "the caller is not a task")
  }
  task.acknowledgeCancel()
  return Status.ok.code
}

@implementation @_cdecl("tr_token_fd")
public func tr_token_fd(_ handle: OpaquePointer?, _ out: UnsafeMutablePointer<Int32>?) -> tr_status
{
  guard let token = token(handle) else { return invalid("tr_token_fd", null: "token") }
  guard let out else { return invalid("tr_token_fd", null: "fd") }
  let (status, descriptor) = token.openDescriptor()
  if status == .ok { out.pointee = descriptor }
  return status.code
}

@implementation @_cdecl("tr_task_fd")
public func tr_task_fd(_ handle: OpaquePointer?, _ out: UnsafeMutablePointer<Int32>?) -> tr_status {
  withTask(handle, "tr_task_fd") { task in
    guard let out else { return invalid("tr_task_fd", null: "fd") }
    let (status, descriptor) = task.openDescriptor()
    if status == .ok { out.pointee = descriptor }
    return status.code
  }
}

@implementation @_cdecl("tr_token_abort_fd")
public func tr_token_abort_fd(
  _ handle: OpaquePointer?, _ out: UnsafeMutablePointer<Int32>?
) -> tr_status {
  guard let token = token(handle) else { return invalid("tr_token_abort_fd", null: "token") }
  guard let out else { return invalid("tr_token_abort_fd", null: "fd") }
  let (status, descriptor) = token.openDescriptor(.abort)
  if status == .ok { out.pointee = descriptor }
  return status.code
}

@implementation @_cdecl("tr_task_abort_fd")
public func tr_task_abort_fd(
  _ handle: OpaquePointer?, _ out: UnsafeMutablePointer<Int32>?
) -> tr_status {
  withTask(handle, "tr_task_abort_fd") { task in
    guard let out else { return invalid("tr_task_abort_fd", null: "fd") }
    let (status, descriptor) = task.openDescriptor(.abort)
    if status == .ok { out.pointee = descriptor }
    return status.code
  }
}
