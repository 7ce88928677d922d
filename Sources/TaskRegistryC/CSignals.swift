import CTaskReg

@implementation @_cdecl("tr_signal_watch_start")
public func tr_signal_watch_start(
  _ handle: OpaquePointer?, _ set: UnsafePointer<sigset_t>?,
  _ options: UnsafePointer<tr_signal_options>?
) -> tr_status {
  let function: StaticString = "tr_signal_watch_start"
  return withRegistry(handle, function) { registry in
    start(registry, set.map { SignalWatch.signals(in: $0) }, options, function, "set")
  }
}

@implementation @_cdecl("tr_signal_watch_start_array")
public func tr_signal_watch_start_array(
  _ handle: OpaquePointer?, _ numbers: UnsafePointer<Int32>?, _ count: Int,
  _ options: UnsafePointer<tr_signal_options>?
) -> tr_status {
  let function: StaticString = "tr_signal_watch_start_array"
  return withRegistry(handle, function) { registry in
    switch signalBits(numbers, count) {
    case .none: return start(registry, nil, options, function, "signals")
    case .bits(let signals): return start(registry, signals, options, function, "signals")
    case .countWithoutArray: return invalid(function, "signals is NULL and count is not 0")
    case .tooMany: return invalid(function, "count is more than there are signals")
    case .notASignal: return invalid(function, "a number in signals is not a signal")
    }
  }
}

/// What an array of signal numbers from C is.
enum SignalNumbers {
  /// NULL, and a count of 0.
  case none
  /// The signals, one bit each.
  case bits(UInt64)
  case countWithoutArray, tooMany, notASignal
}

/// Reads an array of signal numbers from C.
func signalBits(_ numbers: UnsafePointer<Int32>?, _ count: Int) -> SignalNumbers {
  guard let numbers else { return count == 0 ? .none : .countWithoutArray }
  // As many as there are. A `size_t` beyond `Int.max` arrives as a negative number.
  guard count >= 0, count <= Int(SignalWatch.lastSignal) else { return .tooMany }
  var signals: UInt64 = 0
  for place in 0..<count {
    guard numbers[place] >= 1, numbers[place] <= SignalWatch.lastSignal else { return .notASignal }
    signals |= SignalWatch.bit(numbers[place])
  }
  return .bits(signals)
}

/// Starts the watch for the signals, one bit each; nil is the usual ones.
func start(
  _ registry: RegistryReference, _ signals: UInt64?,
  _ options: UnsafePointer<tr_signal_options>?, _ function: StaticString,
  _ argument: StaticString
) -> tr_status {
  var flags: UInt32 = 0
  if let options {
    guard let given = read(options, function) else { return Status.invalid.code }
    flags = given.flags
  }
  guard flags & ~TR_SIGNALS_HUP_RELOADS == 0 else {
    return invalid(
      function, "options.flags has a bit that is not one of TR_SIGNALS_...")
  }
  return SignalWatch.start(
    for: registry, signals: signals, hangUpReloads: flags & TR_SIGNALS_HUP_RELOADS != 0,
    function, argument
  ).code
}

@implementation @_cdecl("tr_signal_watch_stop")
public func tr_signal_watch_stop(_ handle: OpaquePointer?) -> tr_status {
  withRegistry(handle, "tr_signal_watch_stop") { registry in
    SignalWatch.end(for: registry).code
  }
}

@implementation @_cdecl("tr_signal_watch_move")
public func tr_signal_watch_move(_ from: OpaquePointer?, _ to: OpaquePointer?) -> tr_status {
  let function: StaticString = "tr_signal_watch_move"
  let new = registry(to, function)
  guard let old = registry(from, function) else {
    return reported(invalid(function, null: "from"), to: new)
  }
  guard let new else { return reported(invalid(function, null: "to"), to: old) }
  return reported(SignalWatch.move(from: old, to: new).code, to: old)
}

@implementation @_cdecl("tr_signal_watch_pending")
public func tr_signal_watch_pending() -> Int32 { SignalWatch.pendingStop }

@implementation @_cdecl("tr_request_shutdown")
public func tr_request_shutdown(_ handle: OpaquePointer?, _ reason: tr_reason) -> tr_status {
  // Not checked: the caller may be a signal handler, which must take no lock.
  guard let token = ProcessState.isForkedChild ? nil : handle.map({ TokenReference($0) }) else {
    return invalid("tr_request_shutdown", null: "token")
  }
  return SignalWatch.request(token, reason: reason).code
}
