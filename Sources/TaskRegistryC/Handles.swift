import CTaskReg

// Handles are the addresses of the core's objects, which count their own references; nothing is
// boxed, and no Swift object crosses the boundary. For NULL, and for every handle in a child of
// fork (P1), these functions return nil.

/// The registry behind a handle; nil for NULL and in a child of fork.
@inline(__always)
func registry(
  _ handle: OpaquePointer?, _ function: StaticString = #function
) -> RegistryReference? {
  guard let handle, isUsable(.registry, handle, function) else { return nil }
  return RegistryReference(handle)
}

/// The token behind a handle; nil for NULL and in a child of fork.
@inline(__always)
func token(_ handle: OpaquePointer?, _ function: StaticString = #function) -> TokenReference? {
  guard let handle, isUsable(.token, handle, function) else { return nil }
  return TokenReference(handle)
}

/// The task behind a handle; nil for NULL and in a child of fork.
@inline(__always)
func task(_ handle: OpaquePointer?, _ function: StaticString = #function) -> TaskReference? {
  guard let handle, isUsable(.task, handle, function) else { return nil }
  return TaskReference(handle)
}

/// The report behind a handle; nil for NULL and in a child of fork.
@inline(__always)
func report(_ handle: OpaquePointer?, _ function: StaticString = #function) -> ReportReference? {
  guard let handle, isUsable(.report, handle, function) else { return nil }
  return ReportReference(handle)
}

// MARK: Handles that are checked (P8)

/// Whether a handle may be used: not in a child of fork.
///
/// Where handles are checked, a handle whose object is gone ends the process.
@inline(__always)
private func isUsable(
  _ kind: HandleKind, _ handle: OpaquePointer, _ function: StaticString
) -> Bool {
  if ProcessState.isOrdinary { return true }
  if ProcessState.isForkedChild { return false }
  HandleCheck.use(kind, UnsafeRawPointer(handle), function)
  return true
}

/// A handle that the program releases: its object, or nil as above.
@inline(__always)
func released(_ kind: HandleKind, _ handle: OpaquePointer?, _ function: StaticString = #function)
  -> OpaquePointer?
{
  guard let handle else { return nil }
  if ProcessState.isOrdinary { return handle }
  if ProcessState.isForkedChild { return nil }
  HandleCheck.release(kind, UnsafeRawPointer(handle), function)
  return handle
}

/// A handle to which the program receives a reference.
@inline(__always)
func given(_ kind: HandleKind, _ handle: OpaquePointer?) -> OpaquePointer? {
  if let handle, HandleCheck.isOn { HandleCheck.give(kind, UnsafeRawPointer(handle)) }
  return handle
}

// MARK: Calls that have a registry, or a task of one

/// Makes a call that has a registry; its log receives the reason for `TR_ERR_INVALID` (P4).
///
/// Every function with a registry and a status uses this one. With a task it is `withTask`, and
/// where NULL is a registry, or there are two, `reported`.
@inline(__always)
func withRegistry(
  _ handle: OpaquePointer?, _ function: StaticString, _ argument: StaticString = "registry",
  _ call: (RegistryReference) -> tr_status
) -> tr_status {
  guard let registry = registry(handle, function) else { return invalid(function, null: argument) }
  return reported(call(registry), to: registry)
}

/// Makes a call that has a task, as `withRegistry` does; the log is that of the task's registry.
@inline(__always)
func withTask(
  _ handle: OpaquePointer?, _ function: StaticString, _ call: (TaskReference) -> tr_status
) -> tr_status {
  guard let task = task(handle, function) else { return invalid(function, null: "task") }
  return reported(call(task), to: task.registry)
}

/// Returns the status of a call; if that is `TR_ERR_INVALID`, reports it to a registry's log.
///
/// No other function does that. If the registry is nil, there is no log.
@inline(__always)
func reported(
  _ status: tr_status, to registry: @autoclosure () -> RegistryReference?
) -> tr_status {
  if status == Status.invalid.code { registry()?.logInvalidCall() }
  return status
}

/// Returns `TR_ERR_INVALID` for an argument that is NULL, and records that; `TR_ERR_FORKED` in a
/// child of fork, where a valid handle gives nil as well.
@inline(never)
func invalid(_ function: StaticString, null argument: StaticString) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  ErrorDetail.set(function) {
    $0.append(argument)
    $0.append(" is NULL")
  }
  return Status.invalid.code
}

/// Returns `TR_ERR_INVALID` and records the reason for `tr_error_detail`.
@inline(never)
func invalid(_ function: StaticString, _ text: StaticString) -> tr_status {
  ErrorDetail.set(function, text)
  return Status.invalid.code
}
