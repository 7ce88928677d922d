/// What the end of a task means for its registry, and which optional state the task has.
struct TaskTraits: OptionSet {
  let rawValue: UInt32

  /// Any end of the task cancels the registry's token.
  static var essential: TaskTraits { TaskTraits(rawValue: 1) }
  /// Any end except returning 0 cancels the registry's token.
  static var essentialOnFailure: TaskTraits { TaskTraits(rawValue: 2) }
  /// Its body is over, and its end is being carried out: the registry's token no longer raises its
  /// flag.
  static var finalizing: TaskTraits { TaskTraits(rawValue: 8) }
  /// It has an activity; see `TaskActivity`.
  static var activity: TaskTraits { TaskTraits(rawValue: 16) }
  /// It has a heartbeat interval, which is in its activity.
  static var heartbeat: TaskTraits { TaskTraits(rawValue: 32) }
  /// It has taken the address of its flag.
  static var readsFlag: TaskTraits { TaskTraits(rawValue: 64) }
  /// Its end is in the metrics.
  static var measured: TaskTraits { TaskTraits(rawValue: 128) }

  /// It has waited for a descriptor, and may have a place at a `WaitDescriptor`.
  static var hasWaitPlace: TaskTraits { TaskTraits(rawValue: 1 << 11) }

  /// Only level abort ends its waits (C16).
  static var draining: TaskTraits { TaskTraits(rawValue: 1 << 12) }
  /// No level ends its waits (C17).
  static var shielded: TaskTraits { TaskTraits(rawValue: 1 << 13) }

  /// It has a token of its own, which is in its activity (C18).
  static var ownsToken: TaskTraits { TaskTraits(rawValue: 1 << 14) }

  /// It has a label, which is in its activity (E14).
  static var labelled: TaskTraits { TaskTraits(rawValue: 1 << 15) }
  /// Its thread is called otherwise than itself; that name is in its activity (S2).
  static var namedThread: TaskTraits { TaskTraits(rawValue: 1 << 16) }
  /// It has set a pointer of the application's, which is in its activity (O5).
  static var hasData: TaskTraits { TaskTraits(rawValue: 1 << 17) }

  /// It is that of an adopted thread whose joins wait for all tasks but this one (A4).
  static var joinsOthers: TaskTraits { TaskTraits(rawValue: 1 << 18) }

  /// Its body may run again after it has ended; what that takes is in its activity (B1).
  static var startsAgain: TaskTraits { TaskTraits(rawValue: 1 << 19) }

  /// It is one of those, and periodic (B5).
  static var periodic: TaskTraits { TaskTraits(rawValue: 1 << 20) }
  /// It is one of those, and a run that fails is its last.
  static var endsOnFailure: TaskTraits { TaskTraits(rawValue: 1 << 21) }

  /// No join waits for it (S9).
  static var unjoined: TaskTraits { TaskTraits(rawValue: 1 << 22) }

  /// Its thread is scheduled otherwise than its registry's; how is in its activity (S10).
  static var scheduled: TaskTraits { TaskTraits(rawValue: 1 << 23) }

  private static var phaseShift: UInt32 { 8 }

  /// The trait of a task that a shutdown asks to stop in phase 0 to 7 (E5).
  static func phase(_ number: UInt32) -> TaskTraits { TaskTraits(rawValue: number << phaseShift) }

  /// The phase.
  var phase: UInt32 { rawValue >> Self.phaseShift & 7 }
}
