import CTaskReg

@implementation @_cdecl("tr_quiesce")
public func tr_quiesce(_ timeout: Int64) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  return Quiescence.wait(until: .after(timeout)).code
}
