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

@implementation @_cdecl("tr_wait_fds")
public func tr_wait_fds(
  _ descriptors: UnsafeMutablePointer<pollfd>?, _ count: Int, _ timeout: Int64
) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  return waitForDescriptors(descriptors, count: count, until: .after(timeout)).code
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
  guard let condition else { return invalid("tr_cond_wait", null: "cond") }
  guard let mutex else { return invalid("tr_cond_wait", null: "mutex") }
  return waitOnCondition(condition, mutex, until: .after(timeout)).code
}

@implementation @_cdecl("tr_cond_wait_token")
public func tr_cond_wait_token(
  _ condition: UnsafeMutablePointer<pthread_cond_t>?,
  _ mutex: UnsafeMutablePointer<pthread_mutex_t>?, _ handle: OpaquePointer?, _ timeout: Int64
) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  guard let condition else { return invalid("tr_cond_wait_token", null: "cond") }
  guard let mutex else { return invalid("tr_cond_wait_token", null: "mutex") }
  guard let token = token(handle) else { return invalid("tr_cond_wait_token", null: "token") }
  return waitOnCondition(condition, mutex, endedBy: token, until: .after(timeout)).code
}
