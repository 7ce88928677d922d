import CTaskReg

@implementation @_cdecl("tr_checkpoint")
public func tr_checkpoint(_ text: UnsafePointer<CChar>?) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  return noteCheckpoint(text?.utf8).code
}

@implementation @_cdecl("tr_progress")
public func tr_progress(
  _ done: UInt64, _ total: UInt64, _ unit: UnsafePointer<CChar>?
) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  return noteProgress(done: done, total: total, unit: unit?.utf8).code
}
