import CPlatform

/// The reason for the calling thread's last call that was rejected as invalid, for
/// `tr_error_detail`.
///
/// Each thread has its own text in its thread-local storage: writing it takes no memory, and in a
/// thread without such a call it is empty.
enum ErrorDetail {
  /// Records "function: text".
  ///
  /// Not inlined: the thread-local variable belongs to this file's object.
  @inline(never)
  static func set(_ function: StaticString, _ text: StaticString) {
    set(function) { $0.append(text) }
  }

  /// Records "function: " and the text that `build` appends.
  @inline(never)
  static func set(_ function: StaticString, _ build: (inout FixedText) -> Void) {
    // SAFETY: CP_ERROR_DETAIL_ROOM bytes that only this thread uses.
    let room = UnsafeMutableRawPointer(cp_error_detail()).assumingMemoryBound(to: UInt8.self)
    var text = FixedText(
      in: UnsafeMutableBufferPointer(start: room, count: CP_ERROR_DETAIL_ROOM))
    text.append(function)
    text.append(": ")
    build(&text)
  }

  /// Makes a copy of the text the calling thread's text again.
  @inline(never)
  static func restore(_ copy: UnsafePointer<UInt8>) {
    // SAFETY: CP_ERROR_DETAIL_ROOM bytes that only this thread uses.
    let room = UnsafeMutableRawPointer(cp_error_detail()).assumingMemoryBound(to: UInt8.self)
    var text = FixedText(
      in: UnsafeMutableBufferPointer(start: room, count: CP_ERROR_DETAIL_ROOM))
    text.append(utf8: copy)
  }

  /// The text, NUL-terminated.
  @inline(never)
  static var text: UnsafePointer<UInt8> {
    UnsafeRawPointer(cp_error_detail()).assumingMemoryBound(to: UInt8.self)
  }
}

extension Status {
  /// Returns `.invalid`, and records the reason.
  static func invalid(_ function: StaticString, _ text: StaticString) -> Status {
    ErrorDetail.set(function, text)
    return .invalid
  }
}
