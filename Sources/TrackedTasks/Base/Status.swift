import CPlatform

/// The result of a call of the core; the numbers are those of `tr_status` in taskreg.h.
enum Status: Int32 {
  case ok = 0
  case invalid = -1
  case noMemory = -2
  case again = -3
  case limit = -4
  case closed = -5
  case deadline = -6
  case timedOut = -7
  case cancelled = -8
  case deadlock = -9
  case forked = -10
  case system = -11
  case truncated = -12
  case stalled = -13

  /// One English sentence, NUL-terminated, for log files and error messages.
  var text: StaticString {
    switch self {
    case .ok: "success"
    case .invalid: "an argument is wrong; tr_error_detail() says which, and what was expected"
    case .noMemory: "out of memory"
    case .again: "the system refused a thread; try again later or raise its limits"
    case .limit: "max_tasks tasks are alive already"
    case .closed: "the registry is closed: it was shut down or its token was cancelled"
    case .deadline: "the deadline passed with tasks still alive"
    case .timedOut: "the timeout passed"
    case .cancelled: "the calling task was asked to stop"
    case .deadlock: "the calling task would wait for itself, or for one that waits for it"
    case .forked: "this process is a fork of one that had objects of the library"
    case .system: "a system call failed"
    case .truncated: "the buffer was too small for everything"
    case .stalled: "a task has missed its heartbeat interval"
    }
  }
}

extension Status {
  /// Sets errno to the number of the same meaning, for functions that return NULL and no status
  /// (C1).
  func storeInErrno() {
    switch self {
    case .noMemory: cp_set_errno(ENOMEM)
    case .invalid: cp_set_errno(EINVAL)
    case .forked: cp_set_errno(EPERM)
    default: cp_set_errno(EAGAIN)
    }
  }
}
