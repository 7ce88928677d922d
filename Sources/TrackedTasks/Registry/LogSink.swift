import CPlatform

/// One log event as the core makes it (O2).
struct LogRecord {
  var level: UInt32
  var event: UInt32
  var kind: UInt32 = 0
  var taskID: UInt64 = 0
  var code: Int32 = 0
  /// NUL-terminated; valid only during the delivery.
  var task: UnsafePointer<UInt8>
  /// NUL-terminated; valid only during the delivery.
  var message: UnsafePointer<UInt8>
  /// The registry, or the group, that the event is about; valid only during the delivery.
  var registry: RegistryReference
}

/// The events; the numbers are those of `TR_EVENT_…` and `TR_LOG_…`.
enum LogEventNumber {
  static var taskFailed: UInt32 { 1 }
  static var taskExited: UInt32 { 2 }
  static var deadlineExceeded: UInt32 { 3 }
  static var spawnRejected: UInt32 { 4 }
  static var deadlineNear: UInt32 { 5 }
  static var deadlineExtended: UInt32 { 6 }
  static var taskLate: UInt32 { 7 }
  static var taskStalled: UInt32 { 8 }
  static var taskRecovered: UInt32 { 9 }
  static var invalidCall: UInt32 { 10 }
  static var shortGrace: UInt32 { 11 }
  static var systemdUnreachable: UInt32 { 12 }
  static var signalLost: UInt32 { 13 }
  static var stallExplained: UInt32 { 14 }
  static var stallAborted: UInt32 { 15 }
  static var deadlock: UInt32 { 16 }
  static var taskRestarting: UInt32 { 17 }
  static var taskOverrun: UInt32 { 18 }
  static var schedulingRefused: UInt32 { 19 }

  /// Whether the event reports the result of a call, which the caller receives as well.
  static func isOutcome(_ event: UInt32) -> Bool {
    switch event {
    case spawnRejected, deadlineNear, deadlineExtended, deadlineExceeded, invalidCall, shortGrace,
      deadlock:
      true
    default: false
    }
  }

  static var info: UInt32 { 1 }
  static var warning: UInt32 { 2 }
  static var error: UInt32 { 3 }
}

/// The destination of log events.
///
/// An event is delivered on the thread where it arises, and no lock is held.
struct LogSink {
  /// Translates a `LogRecord` for `target`; nil if events are not logged.
  var deliver:
    (
      @convention(c) (
        _ target: UnsafeRawPointer?, _ context: UnsafeMutableRawPointer?, _ record: UnsafeRawPointer
      ) -> Void
    )?
  /// The function that `deliver` calls; only `deliver` knows its type.
  var target: UnsafeRawPointer?
  var context: UnsafeMutableRawPointer?
  /// Called once, with `context`, when the registry's memory is freed; nil if nothing is to be
  /// done.
  var dispose: TaskDrop?

  static var none: LogSink { LogSink() }
  var isListening: Bool { deliver != nil }

  /// Calls `dispose`, if there is one, as a callback of the application's that has to return.
  func releaseContext() {
    guard let dispose else { return }
    var call = ContextRelease(dispose: dispose, context: context)
    withUnsafeMutablePointer(to: &call) { call in
      withCancellationDisabled {
        CallFrame.call(.callback, call) { call in
          // SAFETY: it is the value that is passed with this function.
          let call = call.unsafelyUnwrapped.assumingMemoryBound(to: ContextRelease.self)
          call.pointee.dispose(call.pointee.context)
        }
      }
    }
  }

  /// Calls the log callback.
  ///
  /// A callback that prints usually contains cancellation points, and events arise in the middle of
  /// calls. A thread that was cancelled ends at its own next cancellation point, not inside the
  /// callback (C4).
  ///
  /// The result of a call that a log callback itself makes is not reported: it has the status, and
  /// would be called again and again, until the stack is full.
  ///
  /// - Parameters:
  ///   - record: the event.
  ///   - heldUp: what cannot proceed before the callback returns; see `CallFrame`.
  func send(_ record: LogRecord, holdingUp heldUp: CallFrame.HeldUp? = nil) {
    if !isListening { return }
    if LogEventNumber.isOutcome(record.event) && CallFrame.isInLog { return }
    withUnsafePointer(to: record) { record in
      var call = LogCall(sink: self, record: UnsafeRawPointer(record))
      withUnsafeMutablePointer(to: &call) { call in
        withCancellationDisabled {
          CallFrame.measure(.log, UInt(bitPattern: target)) {
            CallFrame.call(
              .log, holdingUp: heldUp, call,
              { call in
                // SAFETY: it is the value that is passed with this function.
                let call = call.unsafelyUnwrapped.assumingMemoryBound(to: LogCall.self)
                let sink = call.pointee.sink
                sink.deliver?(sink.target, sink.context, call.pointee.record)
              })
          }
        }
      }
    }
  }
}

/// The arguments of a call of `dispose`.
private struct ContextRelease {
  let dispose: TaskDrop
  let context: UnsafeMutableRawPointer?
}

/// The arguments of a call of a log callback.
private struct LogCall {
  let sink: LogSink
  let record: UnsafeRawPointer
}
