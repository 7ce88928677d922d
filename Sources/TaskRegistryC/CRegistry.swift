import CTaskReg

@implementation @_cdecl("tr_registry_create")
public func tr_registry_create(
  _ options: UnsafePointer<tr_registry_options>?,
  _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  guard let out else { return invalid("tr_registry_create", null: "out") }
  var checked = RegistryOptionsCore()
  var token: TokenReference?
  if let options {
    guard let options = read(options, "tr_registry_create"),
      let given = RegistryOptionsCore(options, "tr_registry_create")
    else { return Status.invalid.code }
    checked = given
    token = TaskRegistryC.token(options.token)
  }
  HandleCheck.begin()
  let (status, registry) = RegistryReference.create(checked, token: token)
  if let registry { out.pointee = given(.registry, registry.opaque) }
  return status.code
}

extension RegistryOptionsCore {
  /// The longest time that a worker may spin, in nanoseconds.
  private static var longestSpin: Int64 { 1_000_000 }

  /// Checks the options from C; nil if they break the documented requirements.
  ///
  /// The reason is recorded for `tr_error_detail`.
  fileprivate init?(_ options: tr_registry_options, _ function: StaticString) {
    let known = TR_REGISTRY_METRICS | TR_REGISTRY_NO_DESCRIPTORS | TR_REGISTRY_REPORT_THREADS
    guard options.flags & ~known == 0 else {
      ErrorDetail.set(function, "options.flags has a bit that is not one of TR_REGISTRY_...")
      return nil
    }
    guard options.reserved == 0 else {
      ErrorDetail.set(function, "options.reserved is not 0")
      return nil
    }
    guard options.abort_grace_ns >= 0 || options.abort_grace_ns == TR_NO_ABORT_GRACE else {
      ErrorDetail.set(
        function, "options.abort_grace_ns is negative, and not TR_NO_ABORT_GRACE")
      return nil
    }
    guard options.spin_ns >= TR_SPIN_NEVER, options.spin_ns <= Self.longestSpin else {
      ErrorDetail.set(function, "options.spin_ns is neither TR_SPIN_NEVER nor between 0 and 1 ms")
      return nil
    }
    self.init()
    keepsMetrics = options.flags & TR_REGISTRY_METRICS != 0
    hidesDescriptors = options.flags & TR_REGISTRY_NO_DESCRIPTORS != 0
    reportsThreads = options.flags & TR_REGISTRY_REPORT_THREADS != 0
    maxTasks = options.max_tasks
    if options.stack_size != 0 {
      guard let size = Self.stackSize(for: options.stack_size) else {
        ErrorDetail.set(function, "options.stack_size is more than 1 TiB")
        return nil
      }
      stackSize = size
    }
    abortGrace = options.abort_grace_ns
    if options.spin_ns != 0 { spinNanoseconds = max(0, options.spin_ns) }
    if options.idle_ns != 0 { idleNanoseconds = options.idle_ns }
    if options.idle_threads == UInt32.max {
      keepsNoThreads = true
      idleThreads = 0
    } else if options.idle_threads != 0 {
      idleThreads = Int(options.idle_threads)
    }
    taskMask = options.blocked_signals.map { SignalMask($0) }
    switch signalBits(options.blocked_signal_numbers, options.blocked_signal_count) {
    case .none: break
    case .bits(let signals):
      guard taskMask == nil else {
        ErrorDetail.set(
          function, "options.blocked_signal_numbers is not NULL beside blocked_signals")
        return nil
      }
      taskMask = SignalMask(signals: signals)
    case .countWithoutArray:
      ErrorDetail.set(function, "options.blocked_signal_count is not 0 without an array")
      return nil
    case .tooMany:
      ErrorDetail.set(function, "options.blocked_signal_count is more than there are signals")
      return nil
    case .notASignal:
      ErrorDetail.set(
        function, "options.blocked_signal_numbers has a number that is not a signal")
      return nil
    }
    if let text = options.name {
      guard let copied = TaskName(text.utf8) else {
        ErrorDetail.set(function, "options.name is not UTF-8 of at least one byte")
        return nil
      }
      name = copied
    }
    if let ladder = options.ladder {
      guard let ladder = read(ladder, function, "options.ladder"),
        put(ladder, function)
      else { return nil }
    }
    if let function = options.log {
      log = LogSink(
        deliver: deliverToC, target: unsafeBitCast(function, to: UnsafeRawPointer.self),
        context: options.log_context, dispose: options.log_drop)
    } else if options.log_drop != nil {
      ErrorDetail.set(function, "options.log_drop is not NULL without a log")
      return nil
    }
  }
}

extension tr_ladder_options: SizedStructure {
  static var firstSize: UInt32 { 32 }
  static var initialiser: StaticString { "TR_LADDER_OPTIONS_INIT" }
}

extension RegistryOptionsCore {
  /// Stores a ladder; false if it breaks the documented requirements.
  fileprivate mutating func put(_ options: tr_ladder_options, _ function: StaticString) -> Bool {
    guard let last = StallLadder.Last(rawValue: options.last_step) else {
      ErrorDetail.set(function, "options.ladder->last_step is not one of TR_LADDER_...")
      return false
    }
    guard options.explain_after_ns >= 0 else {
      ErrorDetail.set(function, "options.ladder->explain_after_ns is negative")
      return false
    }
    guard options.last_after_ns >= 0 else {
      ErrorDetail.set(function, "options.ladder->last_after_ns is negative")
      return false
    }
    guard options.explain_fd >= 0 else {
      ErrorDetail.set(function, "options.ladder->explain_fd is negative")
      return false
    }
    guard options.reserved == 0 else {
      ErrorDetail.set(function, "options.ladder->reserved is not 0")
      return false
    }
    var plan = StallLadder.Plan()
    plan.explainAfter = options.explain_after_ns
    plan.lastAfter = options.last_after_ns
    plan.last = last
    ladder = plan
    explainDescriptor = options.explain_fd == 0 ? -1 : options.explain_fd
    return true
  }
}

/// Passes a log record of the core to a `tr_log_fn`.
private let deliverToC:
  @convention(c) (UnsafeRawPointer?, UnsafeMutableRawPointer?, UnsafeRawPointer) -> Void = {
    target, context, record in
    // SAFETY: `RegistryOptionsCore.init` stored a tr_log_fn, and the core passes a LogRecord.
    let function = unsafeBitCast(target, to: tr_log_fn.self)
    let record = record.assumingMemoryBound(to: LogRecord.self).pointee
    var event = tr_log_event()
    event.size = UInt32(MemoryLayout<tr_log_event>.size)
    event.level = record.level
    event.event = record.event
    event.kind = record.kind
    event.task_id = record.taskID
    event.task = UnsafeRawPointer(record.task).assumingMemoryBound(to: CChar.self)
    event.message = UnsafeRawPointer(record.message).assumingMemoryBound(to: CChar.self)
    event.code = record.code
    function(context, &event)
  }

@implementation @_cdecl("tr_registry_child")
public func tr_registry_child(
  _ parent: OpaquePointer?, _ name: UnsafePointer<CChar>?,
  _ options: UnsafePointer<tr_registry_options>?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> tr_status {
  withRegistry(parent, "tr_registry_child", "parent") { parent in
    guard let out else { return invalid("tr_registry_child", null: "out") }
    guard let name else { return invalid("tr_registry_child", null: "name") }
    guard let copied = GroupPath.name(name.utf8) else {
      return invalid(
        "tr_registry_child", "name is not UTF-8 of at least one byte without a slash")
    }
    var given = RegistryOptionsCore()
    var hasStackSize = false
    if let options {
      guard let options = read(options, "tr_registry_child"),
        let checked = RegistryOptionsCore(options, "tr_registry_child")
      else { return Status.invalid.code }
      guard options.token == nil else {
        return invalid(
          "tr_registry_child", "options.token is not NULL: a group has a token of its own")
      }
      guard options.name == nil else {
        return invalid(
          "tr_registry_child", "options.name is not NULL: a group has the name beside it")
      }
      given = checked
      hasStackSize = options.stack_size != 0
    }
    let (status, group) = parent.createGroup(
      named: copied, given.inheriting(from: parent.options, stackSize: !hasStackSize))
    if let group { out.pointee = TaskRegistryC.given(.registry, group.opaque) }
    return status.code
  }
}

@implementation @_cdecl("tr_registry_retain")
public func tr_registry_retain(_ handle: OpaquePointer?) -> OpaquePointer? {
  guard let registry = registry(handle) else { return nil }
  registry.retain()
  return given(.registry, handle)
}

@implementation @_cdecl("tr_registry_release")
public func tr_registry_release(_ handle: OpaquePointer?) {
  released(.registry, handle).map { RegistryReference($0) }?.release()
}

@implementation @_cdecl("tr_wait_room")
public func tr_wait_room(_ handle: OpaquePointer?, _ timeout: Int64) -> tr_status {
  withRegistry(handle, "tr_wait_room") { $0.waitForRoom(until: .after(timeout)).code }
}

@implementation @_cdecl("tr_registry_set_max_tasks")
public func tr_registry_set_max_tasks(_ handle: OpaquePointer?, _ most: UInt64) -> tr_status {
  withRegistry(handle, "tr_registry_set_max_tasks") { registry in
    registry.setMaxTasks(most)
    return Status.ok.code
  }
}

@implementation @_cdecl("tr_registry_close")
public func tr_registry_close(_ handle: OpaquePointer?) -> tr_status {
  withRegistry(handle, "tr_registry_close") { registry in
    registry.close()
    return Status.ok.code
  }
}

@implementation @_cdecl("tr_registry_is_closed")
public func tr_registry_is_closed(_ handle: OpaquePointer?) -> Int32 {
  registry(handle)?.isClosed == true ? 1 : 0
}

@implementation @_cdecl("tr_registry_token")
public func tr_registry_token(_ handle: OpaquePointer?) -> OpaquePointer? {
  registry(handle)?.token.opaque
}
