import CPlatform

/// Why the calling thread's last call that was refused as invalid was refused, for `tr_error_detail`.
///
/// The text is the thread's own and lies in its thread-local storage: to write it takes no memory, and
/// a thread that has had no such call has an empty one.
enum ErrorDetail {
  /// Notes "function: text".
  ///
  /// Not inlined: the thread-local variable is one of this file's object.
  @inline(never)
  static func note(_ function: StaticString, _ text: StaticString) {
    note(function) { $0.append(text) }
  }

  /// Notes "function: " and what `build` appends.
  @inline(never)
  static func note(_ function: StaticString, _ build: (inout FixedText) -> Void) {
    // SAFETY: CP_ERROR_DETAIL_ROOM bytes, of this thread alone.
    let room = UnsafeMutableRawPointer(cp_error_detail()).assumingMemoryBound(to: UInt8.self)
    var text = FixedText(
      in: UnsafeMutableBufferPointer(start: room, count: CP_ERROR_DETAIL_ROOM))
    text.append(function)
    text.append(": ")
    build(&text)
  }

  /// The text, NUL-terminated.
  @inline(never)
  static var text: UnsafePointer<UInt8> {
    UnsafeRawPointer(cp_error_detail()).assumingMemoryBound(to: UInt8.self)
  }
}

extension Status {
  /// `.invalid`, and why.
  static func invalid(_ function: StaticString, _ text: StaticString) -> Status {
    ErrorDetail.note(function, text)
    return .invalid
  }
}
