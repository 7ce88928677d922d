import CPlatform

/// One call on the stack of the calling thread: a call of the library that has something to undo should the
/// thread end in the middle of it, or a callback of the application's that the library is in.
///
/// A callback may end its thread, by `pthread_exit` or by a cancellation. Swift runs no `defer` then, but C
/// cleanup handlers run, on a stack on which every frame above them is still there. So each callback is called
/// through `cp_call_guarded`, whose handler undoes the calls of the library that led to it: from the innermost
/// frame outwards, up to the next callback. What lies beyond that is the business of that one's handler, after the
/// application's own cleanup handlers between the two.
///
/// The frames of a thread form a list, the innermost first, in thread-specific data. They live on its stack.
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

  /// What cannot go before a callback returns: to wait for its end there is a deadlock.
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
  /// What the callbacks in it took, if that is asked for.
  private var times: CallbackTimes?
  /// Whether it counts as a callback on a thread for events, as long as the application's code runs.
  private var isOnEventThread = false
  /// Whether the thread ends in it, and the next frame to be undone.
  private var isLeaving = false
  private var undone: UInt = 0

  /// The innermost frame of the calling thread.
  private static var current: Pointer? { Pointer(bitPattern: ProcessState.frame) }

  /// Calls `body` with `argument`, as a frame.
  ///
  /// - Parameters:
  ///   - kind: what is called.
  ///   - heldUp: what cannot go before that returns.
  ///   - argument: for both functions.
  ///   - body: what to call.
  ///   - left: what undoes it, should the thread end meanwhile.
  static func call(
    _ kind: Kind, holdingUp heldUp: HeldUp? = nil, _ argument: UnsafeMutableRawPointer?,
    _ body: @escaping Function, ifLeft left: Function? = nil
  ) {
    var frame = CallFrame(
      kind: kind, heldUp: heldUp, argument: argument, body: body, left: left)
    withUnsafeMutablePointer(to: &frame) { frame in
      frame.pointee.outer = ProcessState.frame
      let isKnown = ProcessState.setFrame(UInt(bitPattern: frame))
      // A log that could not be known to be in one might be called without end.
      if !isKnown && kind == .log { return }
      if kind == .library {
        body(argument)
      } else {
        // Without memory nobody knows where this is: then it counts as well.
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

  /// The application's code is about to run on a thread for events.
  private mutating func codeBegins() {
    let isCounted: Void? = TimerThread.changeIfExisting { $0.callbacks += 1 }
    isOnEventThread = isCounted != nil
  }

  /// The application's code has returned, or has ended the thread, and nobody has been told yet.
  private mutating func codeHasEnded() {
    if !isOnEventThread || ProcessState.isForkedChild { return }
    isOnEventThread = false
    TimerThread.changeIfExisting { $0.callbacks -= 1 }
  }

  /// The thread ends in the callback of `frame`.
  ///
  /// That stays the innermost frame until all is undone: what is undone may call the application's code, which
  /// may end the thread once more, and is to undo nothing beyond.
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

  /// Makes a call of the library in which it is measured what the application's callbacks take; it is no
  /// cancellation point.
  static func measuringCallbacks<Result>(_ body: () -> Result) -> Result {
    var frame = CallFrame(
      kind: .library, heldUp: nil, argument: nil, body: { _ in }, left: nil)
    frame.times = CallbackTimes()
    return withUnsafeMutablePointer(to: &frame) { frame in
      frame.pointee.outer = ProcessState.frame
      let isKnown = ProcessState.setFrame(UInt(bitPattern: frame))
      let result = withCancellationDisabled(body)
      if isKnown { _ = ProcessState.setFrame(frame.pointee.outer) }
      return result
    }
  }

  /// What callbacks have taken in the innermost call of the calling thread that asks for it.
  static var callbackTimes: CallbackTimes { measured?.pointee.times ?? CallbackTimes() }

  /// Calls a callback, and measures what it takes where that is asked for.
  static func measure(_ kind: CallbackTimes.Kind, _ function: UInt, _ body: () -> Void) {
    if measured == nil { return body() }
    let start = monotonicNow()
    body()
    measured?.pointee.times?.add(monotonicNow() &- start, kind, function)
  }

  private static var measured: Pointer? {
    var next = current
    while let frame = next, frame.pointee.times == nil {
      next = Pointer(bitPattern: frame.pointee.outer)
    }
    return next
  }

  /// Whether the calling thread is one for events.
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

  /// Whether a callback that the calling thread is in holds up something that `isMeant` says is the thing in
  /// question.
  static func isHoldingUp(_ isMeant: (HeldUp) -> Bool) -> Bool {
    var next = current
    while let frame = next {
      if let heldUp = frame.pointee.heldUp, isMeant(heldUp) { return true }
      next = Pointer(bitPattern: frame.pointee.outer)
    }
    return false
  }
}

/// What callbacks of the application's took within one call of the library.
struct CallbackTimes {
  /// All of them, in nanoseconds.
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

    var text: StaticString {
      switch self {
      case .log: "log"
      case .cancel: "cancel"
      }
    }
  }

  mutating func add(_ time: Int64, _ kind: Kind, _ function: UInt) {
    total += time
    if time < longest { return }
    longest = time
    self.kind = kind
    self.function = function
  }
}
