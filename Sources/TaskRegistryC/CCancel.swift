import CTaskReg

@implementation @_cdecl("tr_wait_cancelled")
public func tr_wait_cancelled(_ timeout: Int64) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  return waitUntilCancelled(until: .after(timeout)).code
}

@implementation @_cdecl("tr_wait_fd")
public func tr_wait_fd(_ descriptor: Int32, _ events: Int16, _ timeout: Int64) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  return waitForDescriptor(descriptor, events: events, until: .after(timeout)).code
}

@implementation @_cdecl("tr_task_sleep")
public func tr_task_sleep(_ handle: OpaquePointer?, _ duration: Int64) -> tr_status {
  withTask(handle, "tr_task_sleep") { task in
    task.sleep(for: bounded(duration)).code
  }
}

@implementation @_cdecl("tr_task_wait_cancelled")
public func tr_task_wait_cancelled(_ handle: OpaquePointer?, _ timeout: Int64) -> tr_status {
  withTask(handle, "tr_task_wait_cancelled") { task in
    task.waitForCancel(until: .after(timeout)).code
  }
}

@implementation @_cdecl("tr_task_wait_fd")
public func tr_task_wait_fd(
  _ handle: OpaquePointer?, _ descriptor: Int32, _ events: Int16, _ timeout: Int64
) -> tr_status {
  withTask(handle, "tr_task_wait_fd") { task in
    task.wait(forDescriptor: descriptor, events: events, until: .after(timeout)).code
  }
}

@implementation @_cdecl("tr_cond_wait")
public func tr_cond_wait(
  _ condition: UnsafeMutablePointer<pthread_cond_t>?,
  _ mutex: UnsafeMutablePointer<pthread_mutex_t>?, _ timeout: Int64
) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  guard let condition else { return refusal("tr_cond_wait", "cond") }
  guard let mutex else { return refusal("tr_cond_wait", "mutex") }
  return waitOnCondition(condition, mutex, until: .after(timeout)).code
}

@implementation @_cdecl("tr_install_cancel_signal")
public func tr_install_cancel_signal(_ number: Int32) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  return CancelSignal.installHandler(for: number).code
}

@implementation @_cdecl("tr_acknowledge_cancel")
public func tr_acknowledge_cancel() -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  guard let task = Worker.currentTask else {
    return refuse("tr_acknowledge_cancel", "the caller is not a task")
  }
  task.acknowledgeCancel()
  return Status.ok.code
}

@implementation @_cdecl("tr_token_fd")
public func tr_token_fd(_ handle: OpaquePointer?, _ out: UnsafeMutablePointer<Int32>?) -> tr_status
{
  guard let token = token(handle) else { return refusal("tr_token_fd", "token") }
  guard let out else { return refusal("tr_token_fd", "fd") }
  let (status, descriptor) = token.openDescriptor()
  if status == .ok { out.pointee = descriptor }
  return status.code
}

@implementation @_cdecl("tr_task_fd")
public func tr_task_fd(_ handle: OpaquePointer?, _ out: UnsafeMutablePointer<Int32>?) -> tr_status {
  withTask(handle, "tr_task_fd") { task in
    guard let out else { return refusal("tr_task_fd", "fd") }
    let (status, descriptor) = task.openDescriptor()
    if status == .ok { out.pointee = descriptor }
    return status.code
  }
}

@implementation @_cdecl("tr_token_on_cancel")
public func tr_token_on_cancel(
  _ handle: OpaquePointer?, _ function: tr_cancel_fn?, _ context: UnsafeMutableRawPointer?,
  _ drop: tr_drop_fn?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  guard let token = token(handle) else { return refusal("tr_token_on_cancel", "token") }
  return register("tr_token_on_cancel", function, context, drop, with: .token(token), out)
}

@implementation @_cdecl("tr_task_on_cancel")
public func tr_task_on_cancel(
  _ handle: OpaquePointer?, _ function: tr_cancel_fn?, _ context: UnsafeMutableRawPointer?,
  _ drop: tr_drop_fn?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  withTask(handle, "tr_task_on_cancel") { task in
    register("tr_task_on_cancel", function, context, drop, with: .task(task), out)
  }
}

private func register(
  _ caller: StaticString, _ function: tr_cancel_fn?, _ context: UnsafeMutableRawPointer?,
  _ drop: tr_drop_fn?,
  with owner: CancelCallback.Owner, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  guard let function else { return refusal(caller, "fn") }
  guard let out else { return refusal(caller, "registration") }
  return CancelCallback.register(function, context, drop: drop, with: owner) {
    if let callback = $0 {
      out.pointee = given(.registration, OpaquePointer(callback))
    } else {
      // The registration is gone: nothing is left to be deregistered.
      if HandleCheck.isOn, let handle = out.pointee {
        HandleCheck.takeBack(UnsafeRawPointer(handle))
      }
      out.pointee = nil
    }
  }.code
}

@implementation @_cdecl("tr_registration_remove")
public func tr_registration_remove(_ handle: OpaquePointer?) -> UInt32 {
  guard let handle = released(.registration, handle) else {
    return CancelCallback.Removal.neverRuns.rawValue
  }
  return CancelCallback.deregister(CancelCallback.Pointer(handle)).rawValue
}
