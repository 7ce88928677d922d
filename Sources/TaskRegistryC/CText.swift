import CTaskReg

// Where a text of the library's goes, as C says it. What is wrong is noted for `tr_error_detail`.

extension TextSink {
  /// To a descriptor; nil if it is negative.
  init?(_ descriptor: Int32, _ function: StaticString) {
    guard descriptor >= 0 else {
      _ = invalid(function, "fd is negative")
      return nil
    }
    self = .descriptor(descriptor)
  }

  /// To a buffer of the caller's; nil if there is no place for the length, or none for the text
  /// where one is announced.
  init?(
    _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int, _ length: UnsafeMutablePointer<Int>?,
    _ function: StaticString
  ) {
    guard let length else {
      _ = invalid(function, "length is NULL")
      return nil
    }
    guard buffer != nil || capacity == 0 else {
      _ = invalid(function, "buffer is NULL and capacity is not 0")
      return nil
    }
    // SAFETY: CChar and UInt8 have the same layout, and memory may be written as either.
    let bytes = buffer.map { UnsafeMutableRawPointer($0).assumingMemoryBound(to: UInt8.self) }
    // A `size_t` beyond `Int.max`, as SIZE_MAX, arrives as a negative number: it is room enough.
    self = .memory(bytes, capacity: capacity < 0 ? .max : capacity, length: length)
  }
}
