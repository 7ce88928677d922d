import CTaskReg

extension RestartPolicy {
  /// The policy that the options from C ask for; nil if they break the documented requirements (P4).
  init?(_ pointer: UnsafePointer<tr_restart_options>, _ function: StaticString) {
    guard let options = read(pointer, function, "options.restart") else { return nil }
    self.init()
    guard let when = When(rawValue: options.policy) else {
      ErrorDetail.set(function, "options.restart.policy is not one of TR_RESTART_...")
      return nil
    }
    self.when = when
    if options.min_delay_ns != 0 { shortestDelay = options.min_delay_ns }
    longestDelay =
      options.max_delay_ns != 0 ? options.max_delay_ns : max(longestDelay, shortestDelay)
    if options.factor_percent != 0 { factor = options.factor_percent }
    jitter = options.jitter_percent
    if options.healthy_ns != 0 { healthyAfter = options.healthy_ns }
    if options.window_ns != 0 { window = options.window_ns }
    mostRestarts = options.max_restarts
    if !isValid {
      ErrorDetail.set(
        function,
        """
        options.restart has a negative duration, max_delay_ns below min_delay_ns, factor_percent below \
        100, jitter_percent above 100, or max_restarts above TR_RESTARTS_MOST
        """)
      return nil
    }
    if options.reserved != 0 {
      ErrorDetail.set(function, "options.restart.reserved is not 0")
      return nil
    }
  }
}
