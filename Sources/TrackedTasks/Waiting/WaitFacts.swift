import CPlatform

/// A wait of the library that a task is in.
struct WaitFacts: Equatable {
  var kind = WaitNote.Kind.none
  /// On `CLOCK_MONOTONIC`.
  var since: Int64 = 0
  /// Likewise; `.max`: until something ends it.
  var until: Int64 = .max
  /// A descriptor, how many there are, the id of a task, or the address of a registry, which is only
  /// compared.
  var object: UInt64 = 0
  /// Why the task is still in it although it was asked to stop.
  var exemption = Exemption.none

  /// Why the flag of a task that was asked to stop does not end its waits.
  enum Exemption: UInt8 {
    /// It ends them, or the task was not asked.
    case none = 0
    /// The task is in a shield (C17).
    case shielded = 1
    /// The task drains, and was not told to abort (C16).
    case draining = 2
  }

  /// The object as it is shown: a descriptor, or the id of a task.
  var shownObject: UInt64 { kind == .tasks ? 0 : object }

  /// For how long, in nanoseconds.
  func waited(at now: Int64) -> Int64 { max(0, now &- since) }

  /// How long it still takes if nothing ends it before, in nanoseconds; -1: that is not limited.
  func remaining(at now: Int64) -> Int64 { until == .max ? -1 : max(0, until &- now) }

  /// Whether a thread that is in `call` may sleep in this wait.
  ///
  /// On its way into the wait and out of it the thread may block in something else: a task that
  /// `tr_cond_wait` has woken waits for the mutex. A call that cannot be read says nothing against
  /// the wait, unless it is that one.
  func fits(_ call: SystemCall) -> Bool {
    switch call.place {
    case .unknown: return kind != .condition
    case .running, .outside: return false
    case .inside: break
    }
    let isSignalled = cp_is_condition_wait(call.number, call.words[1], call.words[2])
    switch kind {
    case .none, .task, .tasks, .token, .room, .condition: return isSignalled
    // On a thread that is not the task's own, they wait for its descriptor.
    case .time, .cancel: return isSignalled || cp_is_descriptor_wait(call.number)
    case .descriptor, .descriptors: return cp_is_descriptor_wait(call.number)
    }
  }
}
