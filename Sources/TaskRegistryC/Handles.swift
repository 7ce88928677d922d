import CTaskReg

// Handles are the addresses of the core's objects, which count their own references; nothing is
// boxed and no Swift object crosses the boundary. NULL, and everything in a child of fork (P1),
// comes out of these functions as nil.

/// The registry behind a handle; nil for NULL and in a child of fork.
@inline(__always)
func registry(_ handle: OpaquePointer?) -> RegistryReference? {
  ProcessState.isForkedChild ? nil : handle.map { RegistryReference($0) }
}

/// The token behind a handle; nil for NULL and in a child of fork.
@inline(__always)
func token(_ handle: OpaquePointer?) -> TokenReference? {
  ProcessState.isForkedChild ? nil : handle.map { TokenReference($0) }
}

/// The task behind a handle; nil for NULL and in a child of fork.
@inline(__always)
func task(_ handle: OpaquePointer?) -> TaskReference? {
  ProcessState.isForkedChild ? nil : handle.map { TaskReference($0) }
}

/// Why a handle gave nil: it is NULL, or this is a child of fork.
@inline(never)
func refusal(_ function: StaticString, _ argument: StaticString) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  ErrorDetail.note(function) {
    $0.append(argument)
    $0.append(" is NULL")
  }
  return Status.invalid.code
}

/// `TR_ERR_INVALID`, and why: for `tr_error_detail`, and for the log of a registry, if one is known.
@inline(never)
func refuse(
  _ function: StaticString, _ text: StaticString, in registry: RegistryReference? = nil
) -> tr_status {
  ErrorDetail.note(function, text)
  registry?.logInvalidCall()
  return Status.invalid.code
}
