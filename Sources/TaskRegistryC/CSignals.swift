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
  var debounce = SignalWatch.defaultDebounce
  var roles: UnsafePointer<tr_signal_role>?
  var rolesCount: UInt64 = 0
  if let options {
    guard let given = read(options, function) else { return Status.invalid.code }
    flags = given.flags
    roles = given.roles
    rolesCount = given.roles_count
    guard given.debounce_ns >= 0 || given.debounce_ns == TR_NO_DEBOUNCE else {
      return invalid(function, "options.debounce_ns is negative, and not TR_NO_DEBOUNCE")
    }
    if given.debounce_ns != 0 { debounce = max(0, given.debounce_ns) }
  }
  guard flags & ~TR_SIGNALS_HUP_RELOADS == 0 else {
    return invalid(
      function, "options.flags has a bit that is not one of TR_SIGNALS_...")
  }
  return withAssignments(roles, rolesCount, function) { assignments in
    SignalWatch.start(
      for: registry, signals: signals, hangUpReloads: flags & TR_SIGNALS_HUP_RELOADS != 0,
      roles: assignments, debounce: debounce, function, argument
    ).code
  }
}

/// Checks and converts an array of roles.
private func withAssignments(
  _ roles: UnsafePointer<tr_signal_role>?, _ count: UInt64, _ function: StaticString,
  _ body: (UnsafeBufferPointer<SignalAssignment>?) -> tr_status
) -> tr_status {
  if count == 0 { return body(nil) }
  guard let roles else {
    return invalid(function, "options.roles is NULL and options.roles_count is not 0")
  }
  guard count <= UInt64(SignalWatch.lastSignal) else {
    return invalid(function, "options.roles_count is more than there are signals")
  }
  return withUnsafeTemporaryAllocation(of: SignalAssignment.self, capacity: Int(count)) { room in
    var seen: UInt64 = 0
    for place in 0..<Int(count) {
      let role = roles[place]
      guard role.signal_number >= 1, role.signal_number <= SignalWatch.lastSignal else {
        return invalid(function, "options.roles has a number that is not a signal")
      }
      guard seen & SignalWatch.bit(role.signal_number) == 0 else {
        return invalid(function, "options.roles has a signal twice")
      }
      seen |= SignalWatch.bit(role.signal_number)
      guard let kind = SignalRole.Kind(rawValue: UInt64(role.role)) else {
        return invalid(function, "options.roles has a role that is not one of TR_SIGNAL_...")
      }
      guard kind != .explain || role.fd >= 0 else {
        return invalid(function, "options.roles has a signal that explains to a negative fd")
      }
      room.initializeElement(
        at: place,
        to: SignalAssignment(
          number: role.signal_number, role: SignalRole(kind, reason: role.reason),
          descriptor: kind == .explain ? role.fd : -1))
    }
    return body(UnsafeBufferPointer(room))
  }
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
