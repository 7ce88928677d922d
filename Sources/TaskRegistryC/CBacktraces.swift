import CTaskReg

@implementation @_cdecl("tr_enable_backtraces")
public func tr_enable_backtraces(_ number: Int32) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  return Backtrace.enable(signal: number).code
}
