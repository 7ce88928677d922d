/// The functions that a shutdown calls when a phase has begun and when it has ended (E5).
///
/// They are called on the thread that shuts down, under no lock, in the order of the phases.
struct PhaseCallbacks {
  /// Receives the context, the number of the phase, and how many of its tasks are alive.
  typealias Function = @convention(c) (UnsafeMutableRawPointer?, UInt32, UInt64) -> Void

  var begin: Function?
  var end: Function?
  var context: UnsafeMutableRawPointer?

  /// Whether there is nothing to call.
  var areNone: Bool { begin == nil && end == nil }

  /// Reports that the tasks of a phase have been asked to stop.
  ///
  /// - Returns: nanoseconds that the callback took.
  func hasBegun(_ phase: UInt32, tasks: UInt64) -> Int64 {
    Self.call(begin, context, phase, tasks)
  }

  /// Reports that the tasks of a phase have ended, or that its time is over.
  ///
  /// - Returns: nanoseconds that the callback took.
  func hasEnded(_ phase: UInt32, remaining: UInt64) -> Int64 {
    Self.call(end, context, phase, remaining)
  }

  private static func call(
    _ function: Function?, _ context: UnsafeMutableRawPointer?, _ phase: UInt32, _ tasks: UInt64
  ) -> Int64 {
    guard let function else { return 0 }
    let start = monotonicNow()
    var call = PhaseCall(function: function, context: context, phase: phase, tasks: tasks)
    withUnsafeMutablePointer(to: &call) { call in
      CallFrame.measure(.phase, unsafeBitCast(function, to: UInt.self)) {
        CallFrame.call(
          .callback, call,
          {
            // SAFETY: it is the value that is passed with this function.
            let call = $0.unsafelyUnwrapped.assumingMemoryBound(to: PhaseCall.self).pointee
            call.function(call.context, call.phase, call.tasks)
          })
      }
    }
    return monotonicNow() &- start
  }
}

/// The phase callbacks of one shutdown, and the report that says how long they took.
struct PhaseCalls {
  private let registry: RegistryReference
  private let start: Int64
  private let callbacks: PhaseCallbacks
  private let full: ReportReference?

  init(
    registry: RegistryReference, start: Int64, _ request: ShutdownRequest, _ full: ReportReference?
  ) {
    self.registry = registry
    self.start = start
    callbacks = request.phaseCallbacks
    self.full = full
  }

  /// Reports that a phase has begun.
  func begin(_ phase: UInt32) {
    if callbacks.begin == nil || ProcessState.isForkedChild { return }
    count(callbacks.hasBegun(phase, tasks: registry.waitedCount(of: phase)))
  }

  /// Reports that a phase has ended.
  func end(_ phase: UInt32) {
    if callbacks.end == nil || ProcessState.isForkedChild { return }
    count(callbacks.hasEnded(phase, remaining: registry.waitedCount(of: phase)))
  }

  /// Reports the beginning and the end of phases that are not waited for, as they have no tasks.
  func pass(_ phases: Range<UInt32>) {
    if callbacks.areNone { return }
    for phase in phases {
      if ProcessState.isForkedChild { return }
      full?.begin(phase, asked: 0, at: monotonicNow() &- start, share: 0)
      begin(phase)
      end(phase)
      if ProcessState.isForkedChild { return }
      full?.end(phase, remaining: registry.waitedCount(of: phase), at: monotonicNow() &- start)
    }
  }

  /// Adds the time of a callback to the report.
  private func count(_ time: Int64) {
    if !ProcessState.isForkedChild { full?.addCallbacks(time) }
  }
}

/// The arguments of one call.
private struct PhaseCall {
  let function: PhaseCallbacks.Function
  let context: UnsafeMutableRawPointer?
  let phase: UInt32
  let tasks: UInt64
}
