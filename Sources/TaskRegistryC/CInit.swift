import CTaskReg

// The initialisers as functions. Each sets the caller's whole structure to zero and then its size:
// only the caller knows the size that its header gives the structure.

/// Initialises a structure of `size` bytes as its TR_…_INIT does.
@inline(__always)
private func initialise<Structure: SizedStructure>(
  _ structure: UnsafeMutablePointer<Structure>?, _ size: Int, _ function: StaticString,
  _ argument: StaticString
) -> tr_status {
  initialise(structure, size, accepted: Structure.firstSize, function, argument)
}

@inline(never)
private func initialise(
  _ structure: UnsafeMutableRawPointer?, _ size: Int, accepted: UInt32, _ function: StaticString,
  _ argument: StaticString
) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  guard let structure else { return invalid(function, null: argument) }
  // A `size_t` beyond `Int.max` arrives as a negative number.
  guard size >= Int(accepted), size <= Int(largestStructure) else {
    return invalid(function, "size is not the sizeof of the structure")
  }
  structure.initializeMemory(as: UInt8.self, repeating: 0, count: size)
  structure.storeBytes(of: UInt32(size), as: UInt32.self)
  return Status.ok.code
}

@implementation @_cdecl("tr_registry_options_init")
public func tr_registry_options_init(
  _ structure: UnsafeMutablePointer<tr_registry_options>?, _ size: Int
) -> tr_status { initialise(structure, size, "tr_registry_options_init", "options") }

@implementation @_cdecl("tr_spawn_options_init")
public func tr_spawn_options_init(
  _ structure: UnsafeMutablePointer<tr_spawn_options>?, _ size: Int
) -> tr_status { initialise(structure, size, "tr_spawn_options_init", "options") }

@implementation @_cdecl("tr_restart_options_init")
public func tr_restart_options_init(
  _ structure: UnsafeMutablePointer<tr_restart_options>?, _ size: Int
) -> tr_status { initialise(structure, size, "tr_restart_options_init", "options") }

@implementation @_cdecl("tr_schedule_init")
public func tr_schedule_init(
  _ structure: UnsafeMutablePointer<tr_schedule>?, _ size: Int
) -> tr_status { initialise(structure, size, "tr_schedule_init", "schedule") }

@implementation @_cdecl("tr_adopt_options_init")
public func tr_adopt_options_init(
  _ structure: UnsafeMutablePointer<tr_adopt_options>?, _ size: Int
) -> tr_status { initialise(structure, size, "tr_adopt_options_init", "options") }

@implementation @_cdecl("tr_task_summary_init")
public func tr_task_summary_init(
  _ structure: UnsafeMutablePointer<tr_task_summary>?, _ size: Int
) -> tr_status { initialise(structure, size, "tr_task_summary_init", "summary") }

@implementation @_cdecl("tr_join_report_init")
public func tr_join_report_init(
  _ structure: UnsafeMutablePointer<tr_join_report>?, _ size: Int
) -> tr_status { initialise(structure, size, "tr_join_report_init", "report") }

@implementation @_cdecl("tr_shutdown_options_init")
public func tr_shutdown_options_init(
  _ structure: UnsafeMutablePointer<tr_shutdown_options>?, _ size: Int
) -> tr_status { initialise(structure, size, "tr_shutdown_options_init", "options") }

@implementation @_cdecl("tr_outcome_init")
public func tr_outcome_init(
  _ structure: UnsafeMutablePointer<tr_outcome>?, _ size: Int
) -> tr_status { initialise(structure, size, "tr_outcome_init", "outcome") }

@implementation @_cdecl("tr_signal_options_init")
public func tr_signal_options_init(
  _ structure: UnsafeMutablePointer<tr_signal_options>?, _ size: Int
) -> tr_status { initialise(structure, size, "tr_signal_options_init", "options") }

@implementation @_cdecl("tr_straggler_init")
public func tr_straggler_init(
  _ structure: UnsafeMutablePointer<tr_straggler>?, _ size: Int
) -> tr_status { initialise(structure, size, "tr_straggler_init", "straggler") }

@implementation @_cdecl("tr_ended_task_init")
public func tr_ended_task_init(
  _ structure: UnsafeMutablePointer<tr_ended_task>?, _ size: Int
) -> tr_status { initialise(structure, size, "tr_ended_task_init", "task") }

@implementation @_cdecl("tr_thread_report_init")
public func tr_thread_report_init(
  _ structure: UnsafeMutablePointer<tr_thread_report>?, _ size: Int
) -> tr_status { initialise(structure, size, "tr_thread_report_init", "thread") }

@implementation @_cdecl("tr_phase_report_init")
public func tr_phase_report_init(
  _ structure: UnsafeMutablePointer<tr_phase_report>?, _ size: Int
) -> tr_status { initialise(structure, size, "tr_phase_report_init", "phase") }

@implementation @_cdecl("tr_metrics_init")
public func tr_metrics_init(
  _ structure: UnsafeMutablePointer<tr_metrics>?, _ size: Int
) -> tr_status { initialise(structure, size, "tr_metrics_init", "metrics") }

@implementation @_cdecl("tr_metrics_source_init")
public func tr_metrics_source_init(
  _ structure: UnsafeMutablePointer<tr_metrics_source>?, _ size: Int
) -> tr_status { initialise(structure, size, "tr_metrics_source_init", "source") }

@implementation @_cdecl("tr_systemd_options_init")
public func tr_systemd_options_init(
  _ structure: UnsafeMutablePointer<tr_systemd_options>?, _ size: Int
) -> tr_status { initialise(structure, size, "tr_systemd_options_init", "options") }

@implementation @_cdecl("tr_exit_options_init")
public func tr_exit_options_init(
  _ structure: UnsafeMutablePointer<tr_exit_options>?, _ size: Int
) -> tr_status { initialise(structure, size, "tr_exit_options_init", "options") }

@implementation @_cdecl("tr_run_options_init")
public func tr_run_options_init(
  _ structure: UnsafeMutablePointer<tr_run_options>?, _ size: Int
) -> tr_status { initialise(structure, size, "tr_run_options_init", "options") }

@implementation @_cdecl("tr_ladder_options_init")
public func tr_ladder_options_init(
  _ structure: UnsafeMutablePointer<tr_ladder_options>?, _ size: Int
) -> tr_status { initialise(structure, size, "tr_ladder_options_init", "options") }
