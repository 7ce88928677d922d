/// The names of the C API's numbers, for log files, reports and tables; static and in lower case.
enum Names {
  /// The name of a kind: "application" for the application's own.
  static func kind(_ number: UInt32) -> StaticString {
    switch number {
    case 1: "background-loop"
    case 2: "peer-connection"
    case 3: "rpc-handler"
    case 4: "maintenance"
    case 0x100...: "application"
    default: "unknown"
    }
  }

  /// The name of a state.
  static func state(_ number: UInt32) -> StaticString {
    switch number {
    case 1: "starting"
    case 2: "running"
    case 3: "cancelling"
    case 4: "abandoned"
    case 5: "ended"
    case 6: "waiting"
    default: "unknown"
    }
  }

  /// The name of a reason.
  static func reason(_ number: UInt32) -> StaticString {
    switch number {
    case 0: "none"
    case 1: "user-requested"
    case 2: "rpc-requested"
    case 3: "reload-requested"
    case 4: "requested-by-run"
    case 5: "fatal"
    case 6: "deadline"
    default: "unknown"
    }
  }

  /// The name of an event.
  static func event(_ number: UInt32) -> StaticString {
    switch number {
    case 1: "task-failed"
    case 2: "task-exited"
    case 3: "deadline-exceeded"
    case 4: "spawn-rejected"
    case 5: "deadline-near"
    case 6: "deadline-extended"
    case 7: "task-late"
    case 8: "task-stalled"
    case 9: "task-recovered"
    case 10: "invalid-call"
    case 11: "short-grace"
    case 12: "systemd-unreachable"
    case 13: "signal-lost"
    case 14: "stall-explained"
    case 15: "stall-aborted"
    case 16: "deadlock"
    case 17: "task-restarting"
    case 18: "task-overrun"
    case 19: "scheduling-refused"
    default: "unknown"
    }
  }

  /// The name of an ending.
  static func ending(_ number: UInt32) -> StaticString {
    switch number {
    case 1: "returned"
    case 2: "failed"
    case 3: "exited"
    default: "unknown"
    }
  }
}
