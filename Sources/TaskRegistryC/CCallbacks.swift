import CTaskReg

@implementation @_cdecl("tr_token_on_cancel")
public func tr_token_on_cancel(
  _ handle: OpaquePointer?, _ function: tr_cancel_fn?, _ context: UnsafeMutableRawPointer?,
  _ drop: tr_drop_fn?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  guard let token = token(handle) else { return invalid("tr_token_on_cancel", null: "token") }
  return register("tr_token_on_cancel", function, context, drop, with: .token(token), .drain, out)
}

@implementation @_cdecl("tr_task_on_cancel")
public func tr_task_on_cancel(
  _ handle: OpaquePointer?, _ function: tr_cancel_fn?, _ context: UnsafeMutableRawPointer?,
  _ drop: tr_drop_fn?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  withTask(handle, "tr_task_on_cancel") { task in
    register("tr_task_on_cancel", function, context, drop, with: .task(task), .drain, out)
  }
}

@implementation @_cdecl("tr_token_on_abort")
public func tr_token_on_abort(
  _ handle: OpaquePointer?, _ function: tr_cancel_fn?, _ context: UnsafeMutableRawPointer?,
  _ drop: tr_drop_fn?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  guard let token = token(handle) else { return invalid("tr_token_on_abort", null: "token") }
  return register("tr_token_on_abort", function, context, drop, with: .token(token), .abort, out)
}

@implementation @_cdecl("tr_task_on_abort")
public func tr_task_on_abort(
  _ handle: OpaquePointer?, _ function: tr_cancel_fn?, _ context: UnsafeMutableRawPointer?,
  _ drop: tr_drop_fn?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  withTask(handle, "tr_task_on_abort") { task in
    register("tr_task_on_abort", function, context, drop, with: .task(task), .abort, out)
  }
}

@implementation @_cdecl("tr_task_on_end")
public func tr_task_on_end(
  _ handle: OpaquePointer?, _ function: tr_end_fn?, _ context: UnsafeMutableRawPointer?,
  _ drop: tr_drop_fn?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  withTask(handle, "tr_task_on_end") { task in
    let status: tr_status
    if out != nil {
      status = register("tr_task_on_end", function, context, drop, with: .end(task), .drain, out)
    } else {
      guard let function else { return invalid("tr_task_on_end", null: "fn") }
      status = CancelCallback.registerToRun(function, context, drop: drop, atEndOf: task).code
    }
    // That the function was called at once is as good as later.
    return status == Status.cancelled.code ? Status.ok.code : status
  }
}

private func register(
  _ caller: StaticString, _ function: tr_cancel_fn?, _ context: UnsafeMutableRawPointer?,
  _ drop: tr_drop_fn?, with owner: CancelCallback.Owner, _ level: StopLevel,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  guard let function else { return invalid(caller, null: "fn") }
  guard let out else { return invalid(caller, null: "registration") }
  return CancelCallback.register(function, context, drop: drop, with: owner, at: level) {
    if let callback = $0 {
      out.pointee = given(.registration, OpaquePointer(callback))
    } else {
      // The registration is gone: nothing is left to be removed.
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
  return CancelCallback.remove(CancelCallback.Pointer(handle)).rawValue
}
