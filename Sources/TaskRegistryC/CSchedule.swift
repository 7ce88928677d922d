import CTaskReg

extension tr_schedule: SizedStructure {
  static var firstSize: UInt32 { 32 }
  static var initialiser: StaticString { "TR_SCHEDULE_INIT" }
}

extension ScheduleRule {
  /// The rule that a schedule from C is; nil if it breaks the documented requirements (P4).
  init?(_ pointer: UnsafePointer<tr_schedule>, _ function: StaticString) {
    guard let schedule = read(pointer, function, "schedule") else { return nil }
    self.init()
    guard schedule.flags & ~(TR_SCHEDULE_FROM_END | TR_SCHEDULE_ENDS_ON_FAILURE) == 0 else {
      ErrorDetail.set(function, "schedule.flags has a bit that is not one of TR_SCHEDULE_...")
      return nil
    }
    guard let missed = Missed(rawValue: schedule.missed) else {
      ErrorDetail.set(function, "schedule.missed is not one of TR_MISSED_...")
      return nil
    }
    self.missed = missed
    period = schedule.period_ns
    firstDelay = schedule.first_delay_ns
    jitter = schedule.jitter_percent
    countsFromEnd = schedule.flags & TR_SCHEDULE_FROM_END != 0
    if !isValid {
      ErrorDetail.set(
        function,
        """
        schedule has a period_ns that is not positive, a negative first_delay_ns, or a jitter_percent \
        above 100
        """)
      return nil
    }
  }
}

@implementation @_cdecl("tr_task_trigger")
public func tr_task_trigger(_ handle: OpaquePointer?) -> tr_status {
  withTask(handle, "tr_task_trigger") { $0.trigger().code }
}

@implementation @_cdecl("tr_task_pause")
public func tr_task_pause(_ handle: OpaquePointer?) -> tr_status {
  withTask(handle, "tr_task_pause") { $0.setPaused(true).code }
}

@implementation @_cdecl("tr_task_resume")
public func tr_task_resume(_ handle: OpaquePointer?) -> tr_status {
  withTask(handle, "tr_task_resume") { $0.setPaused(false).code }
}

@implementation @_cdecl("tr_task_set_period")
public func tr_task_set_period(_ handle: OpaquePointer?, _ period: Int64) -> tr_status {
  withTask(handle, "tr_task_set_period") { $0.setPeriod(period).code }
}
