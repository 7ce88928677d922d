import CTaskReg

@implementation @_cdecl("tr_token_create")
public func tr_token_create() -> OpaquePointer? {
  HandleCheck.begin()
  return made(TokenReference.create())
}

@implementation @_cdecl("tr_token_child")
public func tr_token_child(_ parent: OpaquePointer?) -> OpaquePointer? {
  guard let parent = token(parent) else {
    return noToken(invalid("tr_token_child", null: "parent"))
  }
  return made(TokenReference.create(childOf: parent))
}

@implementation @_cdecl("tr_token_child_with_timeout")
public func tr_token_child_with_timeout(_ parent: OpaquePointer?, _ timeout: Int64)
  -> OpaquePointer?
{
  guard let parent = token(parent) else {
    return noToken(invalid("tr_token_child_with_timeout", null: "parent"))
  }
  return made(TokenReference.create(childOf: parent, deadline: .after(timeout)))
}

@implementation @_cdecl("tr_token_create_with_timeout")
public func tr_token_create_with_timeout(_ timeout: Int64) -> OpaquePointer? {
  HandleCheck.begin()
  return made(TokenReference.create(deadline: .after(timeout)))
}

/// A token that was created, for the program; NULL, and errno, if it was not (C1).
private func made(_ result: (Status, TokenReference?)) -> OpaquePointer? {
  guard let token = result.1 else { return noToken(result.0.code) }
  return given(.token, token.opaque)
}

/// NULL, with the reason in errno.
func noToken(_ status: tr_status) -> OpaquePointer? {
  Status(rawValue: status)?.storeInErrno()
  return nil
}

@implementation @_cdecl("tr_token_abort")
public func tr_token_abort(
  _ handle: OpaquePointer?, _ reason: tr_reason, _ message: UnsafePointer<CChar>?
) -> Int32 {
  guard let token = token(handle) else { return 0 }
  return token.cancel(reason: reason, message: message?.utf8, .abort) ? 1 : 0
}

@implementation @_cdecl("tr_token_stop_level")
public func tr_token_stop_level(_ handle: OpaquePointer?) -> UInt32 {
  token(handle)?.level.rawValue ?? UInt32(TR_STOP_NONE)
}

@implementation @_cdecl("tr_token_wait_any")
public func tr_token_wait_any(
  _ handles: UnsafePointer<OpaquePointer?>?, _ count: Int, _ timeout: Int64,
  _ index: UnsafeMutablePointer<Int>?
) -> tr_status {
  if ProcessState.isForkedChild { return Status.forked.code }
  guard let handles else { return invalid("tr_token_wait_any", null: "tokens") }
  if count < 1 || count > Int(TR_TOKENS_MOST) {
    return invalid("tr_token_wait_any", "count is not between 1 and TR_TOKENS_MOST")
  }
  return withUnsafeTemporaryAllocation(of: TokenReference.self, capacity: count) { tokens in
    for number in 0..<count {
      guard let token = token(handles[number]) else {
        return invalid("tr_token_wait_any", "tokens has an element that is NULL")
      }
      tokens.initializeElement(at: number, to: token)
    }
    let (status, found) = waitForAny(UnsafeBufferPointer(tokens), until: .after(timeout))
    if status == .ok, let index { index.pointee = found }
    return status.code
  }
}

@implementation @_cdecl("tr_token_retain")
public func tr_token_retain(_ handle: OpaquePointer?) -> OpaquePointer? {
  guard let token = token(handle) else { return nil }
  token.retain()
  return given(.token, handle)
}

@implementation @_cdecl("tr_token_release")
public func tr_token_release(_ handle: OpaquePointer?) {
  released(.token, handle).map { TokenReference($0) }?.release()
}

@implementation @_cdecl("tr_token_cancel")
public func tr_token_cancel(
  _ handle: OpaquePointer?, _ reason: tr_reason, _ message: UnsafePointer<CChar>?
) -> Int32 {
  guard let token = token(handle) else { return 0 }
  return token.cancel(reason: reason, message: message?.utf8) ? 1 : 0
}

@implementation @_cdecl("tr_token_is_cancelled")
public func tr_token_is_cancelled(_ handle: OpaquePointer?) -> Int32 {
  guard let token = token(handle) else { return 0 }
  return token.isCancelled ? 1 : 0
}

@implementation @_cdecl("tr_token_reason")
public func tr_token_reason(_ handle: OpaquePointer?) -> tr_reason {
  token(handle)?.reason ?? tr_reason(TR_REASON_NONE)
}

@implementation @_cdecl("tr_token_message")
public func tr_token_message(
  _ handle: OpaquePointer?, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int
) -> Int {
  guard let token = token(handle) else { return emptyText(buffer, capacity) }
  return token.withMessage { message, length in
    copyText(message, length: length, buffer, capacity)
  }
}

@implementation @_cdecl("tr_token_wait")
public func tr_token_wait(_ handle: OpaquePointer?, _ timeout: Int64) -> tr_status {
  guard let token = token(handle) else { return invalid("tr_token_wait", null: "token") }
  return token.wait(until: .after(timeout)).code
}

/// Copies text of `length` bytes into a C buffer, and returns `length`, as `snprintf` would.
///
/// A `size_t` beyond `Int.max`, such as SIZE_MAX, arrives as a negative number: there is room
/// enough.
func copyText(
  _ text: UnsafePointer<UInt8>, length: Int, _ buffer: UnsafeMutablePointer<CChar>?,
  _ capacity: Int
) -> Int {
  // SAFETY: CChar and UInt8 have the same layout, and memory may be written as either.
  let bytes = buffer.map { UnsafeMutableRawPointer($0).assumingMemoryBound(to: UInt8.self) }
  UTF8Text.copy(text, to: bytes, capacity: capacity < 0 ? .max : capacity)
  return length
}

/// Writes an empty text into a C buffer.
func emptyText(_ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int {
  let empty: StaticString = ""
  return copyText(empty.utf8Start, length: 0, buffer, capacity)
}
