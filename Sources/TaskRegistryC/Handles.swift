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

/// Why a handle gave nil.
var refusal: tr_status {
  ProcessState.isForkedChild ? Status.forked.code : Status.invalid.code
}
