import CPlatform
import CTaskReg

extension SchedulingWish {
  /// What the options from C ask for; nil if they break the documented requirements (P4).
  init?(_ options: tr_spawn_options, _ function: StaticString) {
    self.init()
    switch options.sched_policy {
    case UInt32(TR_SCHED_DEFAULT): break
    case UInt32(TR_SCHED_OTHER): policy = cp_sched_other()
    case UInt32(TR_SCHED_BATCH): policy = cp_sched_batch()
    case UInt32(TR_SCHED_IDLE): policy = cp_sched_idle()
    case UInt32(TR_SCHED_FIFO): policy = cp_sched_fifo()
    case UInt32(TR_SCHED_RR): policy = cp_sched_rr()
    default:
      ErrorDetail.set(function, "options.sched_policy is not one of TR_SCHED_...")
      return nil
    }
    priority = options.sched_priority
    niceAdded = options.nice_added
    if options.cpu_words > 0 {
      guard options.cpus != nil, options.cpu_words <= UInt32(Self.mostCPUs / 64) else {
        ErrorDetail.set(function, "options.cpus is NULL, or options.cpu_words is above 16")
        return nil
      }
      cpuWords = Int(options.cpu_words)
      cpus = options.cpus
    }
    if !isValid {
      ErrorDetail.set(
        function,
        """
        options.sched_priority does not belong to options.sched_policy, options.nice_added is not \
        within -40 and 40, or not 0 with a policy of real time, or options.cpus has no CPU
        """)
      return nil
    }
  }
}
