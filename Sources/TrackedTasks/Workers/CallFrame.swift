import CPlatform

/// One call on the stack of the calling thread: a call of the library that has something to undo if
/// the thread ends in the middle of it, or a callback of the application's that the library has
/// called.
///
/// A callback may end its thread, by `pthread_exit` or by thread cancellation. Swift runs no
/// `defer` then, but C cleanup handlers do run, on a stack on which every frame above them still
/// exists. So each callback is called through `cp_call_guarded`, whose handler undoes the calls of
/// the library that led to it: from the innermost frame outwards, up to the next callback. The
/// frames beyond that are undone by that callback's handler, after the application's own cleanup
/// handlers between the two.
///
/// The frames of a thread form a list, the innermost first, in thread-specific data. They live on
/// its stack.
struct CallFrame {
  typealias Pointer = UnsafeMutablePointer<CallFrame>
  typealias Function = @convention(c) (UnsafeMutableRawPointer?) -> Void

  /// What is called.
  enum Kind {
    /// A call of the library.
    case library
    /// A log callback.
    case log
    /// Another callback of the application's.
    case callback
  }

  /// What cannot end before a callback returns; a wait for it would be a deadlock.
  enum HeldUp {
    case task(TaskReference)
    /// The watch of a registry.
    case systemd(RegistryReference)
    /// The log of a registry.
    case log(RegistryReference)
    /// The thread, which is one of the library's own.
    case ownThread
  }

  private let kind: Kind
  private let heldUp: HeldUp?
  private let argument: UnsafeMutableRawPointer?
  private let body: Function
  /// Undoes the call; called again if it ends the thread itself, until it returns.
  private let left: Function?
  private var outer: UInt = 0
  /// The time that callbacks took in the call, if it is measured.
  private var times: CallbackTimes?
  /// Whether it counts as a callback on an event thread, while the application's code runs.
  private var isOnEventThread = false
  /// Whether the thread is ending in it; `undone` is the next frame to be undone.
  private var isLeaving = false
  private var undone: UInt = 0

  /// The innermost frame of the calling thread.
  private static var current: Pointer? { Pointer(bitPattern: ProcessState.frame) }

  /// Calls `body` with `argument`, as a frame.
  ///
  /// - Parameters:
  ///   - kind: what is called.
  ///   - heldUp: what cannot end before `body` returns.
  ///   - argument: for both functions.
  ///   - body: what to call.
  ///   - left: undoes the call if the thread ends meanwhile.
  static func call(
    _ kind: Kind, holdingUp heldUp: HeldUp? = nil, _ argument: UnsafeMutableRawPointer?,
    _ body: @escaping Function, ifLeft left: Function? = nil
  ) {
    var frame = CallFrame(
      kind: kind, heldUp: heldUp, argument: argument, body: body, left: left)
    withUnsafeMutablePointer(to: &frame) { frame in
      frame.pointee.outer = ProcessState.frame
      let isKnown = ProcessState.setFrame(UInt(bitPattern: frame))
      // A log callback that could not be recognised as one might be called recursively without end.
      if !isKnown && kind == .log { return }
      if kind == .library {
        body(argument)
      } else {
        // Without memory it is unknown whether this is an event thread; then the callback is
        // counted too.
        if !isKnown || isOnOwnThread { frame.pointee.codeBegins() }
        cp_call_guarded(
          { frame in
            // SAFETY: it is the frame of this very call.
            let frame = frame.unsafelyUnwrapped.assumingMemoryBound(to: CallFrame.self)
            frame.pointee.body(frame.pointee.argument)
          },
          { frame in
            // SAFETY: likewise; a cleanup handler runs before the frames of its callers are gone.
            CallFrame.wasLeft(frame.unsafelyUnwrapped.assumingMemoryBound(to: CallFrame.self))
          }, frame)
        frame.pointee.codeHasEnded()
      }
      if isKnown { _ = ProcessState.setFrame(frame.pointee.outer) }
    }
  }

  /// Counts the application's code that is about to run on an event thread.
  private mutating func codeBegins() {
    let isCounted: Void? = TimerThread.changeIfExisting { $0.callbacks += 1 }
    isOnEventThread = isCounted != nil
  }

  /// Uncounts the application's code, which has returned or has ended the thread, unless that was
  /// done.
  private mutating func codeHasEnded() {
    if !isOnEventThread || ProcessState.isForkedChild { return }
    isOnEventThread = false
    TimerThread.changeIfExisting { $0.callbacks -= 1 }
  }

  /// Undoes the calls that led to the callback of `frame`, in which the thread is ending.
  ///
  /// `frame` stays the innermost frame until all is undone: an undo function may call the
  /// application's code, which may end the thread once more, and then nothing beyond `frame` must
  /// be undone.
  private static func wasLeft(_ frame: Pointer) {
    if ProcessState.isForkedChild { return }
    if !frame.pointee.isLeaving {
      frame.pointee.isLeaving = true
      frame.pointee.undone = UInt(bitPattern: frame)
      frame.pointee.codeHasEnded()
    }
    _ = ProcessState.setFrame(UInt(bitPattern: frame))
    while let next = Pointer(bitPattern: frame.pointee.undone) {
      if next != frame && next.pointee.kind != .library { break }
      next.pointee.left?(next.pointee.argument)
      if ProcessState.isForkedChild { return }
      frame.pointee.undone = next.pointee.outer
    }
    _ = ProcessState.setFrame(frame.pointee.undone)
  }

  /// Makes a call of the library during which the time of the application's callbacks is measured;
  /// it is not a cancellation point.
  ///
  /// - Parameters:
  ///   - argument: for `left`.
  ///   - left: undoes the call if the thread ends meanwhile.
  ///   - body: the call.
  /// - Returns: what `body` returns.
  static func measuringCallbacks<Result>(
    _ argument: UnsafeMutableRawPointer, ifLeft left: @escaping Function, _ body: () -> Result
  ) -> Result {
    var frame = CallFrame(
      kind: .library, heldUp: nil, argument: argument, body: { _ in }, left: left)
    frame.times = CallbackTimes()
    return withUnsafeMutablePointer(to: &frame) { frame in
      frame.pointee.outer = ProcessState.frame
      let isKnown = ProcessState.setFrame(UInt(bitPattern: frame))
      let result = withCancellationDisabled(body)
      if isKnown { _ = ProcessState.setFrame(frame.pointee.outer) }
      return result
    }
  }

  /// The time that callbacks have taken in the innermost measured call of the calling thread.
  static var callbackTimes: CallbackTimes { measured?.pointee.times ?? CallbackTimes() }

  /// Calls a callback, and measures its time if a call asks for that.
  static func measure(_ kind: CallbackTimes.Kind, _ function: UInt, _ body: () -> Void) {
    if measured == nil { return body() }
    let before = callbackTimes.total
    let start = monotonicNow()
    body()
    let time = monotonicNow() &- start
    measured?.pointee.times?.add(time, after: before, kind, function)
  }

  private static var measured: Pointer? {
    var next = current
    while let frame = next, frame.pointee.times == nil {
      next = Pointer(bitPattern: frame.pointee.outer)
    }
    return next
  }

  /// Whether the calling thread is one of the library's own.
  static var isOnOwnThread: Bool { isHoldingUp { if case .ownThread = $0 { true } else { false } } }

  /// Whether the calling thread is in a log callback.
  static var isInLog: Bool {
    var next = current
    while let frame = next {
      if frame.pointee.kind == .log { return true }
      next = Pointer(bitPattern: frame.pointee.outer)
    }
    return false
  }

  /// Whether the calling thread is in a callback that holds up something for which `isMeant`
  /// returns true.
  static func isHoldingUp(_ isMeant: (HeldUp) -> Bool) -> Bool {
    var next = current
    while let frame = next {
      if let heldUp = frame.pointee.heldUp, isMeant(heldUp) { return true }
      next = Pointer(bitPattern: frame.pointee.outer)
    }
    return false
  }
}

/// The time that callbacks of the application's took within one call of the library.
struct CallbackTimes {
  /// All of them, in nanoseconds; one that is called within another is part of that one.
  private(set) var total: Int64 = 0
  /// The one that took longest, in nanoseconds.
  private(set) var longest: Int64 = 0
  private(set) var kind = Kind.log
  /// Its address.
  private(set) var function: UInt = 0

  /// Which callback it was.
  enum Kind {
    /// A log callback.
    case log
    /// A function that was registered for a cancellation.
    case cancel
    /// A function that a shutdown calls for a phase.
    case phase

    var text: StaticString {
      switch self {
      case .log: "log"
      case .cancel: "cancel"
      case .phase: "phase"
      }
    }
  }

  /// Adds one that has returned.
  ///
  /// - Parameters:
  ///   - time: how long it took, in nanoseconds.
  ///   - before: the total when it was called; what was added meanwhile was called within it.
  ///   - kind: what it is.
  ///   - function: its address.
  mutating func add(_ time: Int64, after before: Int64, _ kind: Kind, _ function: UInt) {
    total = before + time
    if time < longest { return }
    longest = time
    self.kind = kind
    self.function = function
  }
}
