import CTaskReg

// The boundary: what C hands in is looked at here, once, and turned into what the core works with.
// No logic of the library stands in this module.

extension Status {
  /// The number C sees.
  ///
  /// That the two sets of numbers agree is checked by Tests/c.
  var code: tr_status { rawValue }
}

/// The largest size a structure may claim: absurd numbers are refused (P4).
private let largestStructure: UInt32 = 1 << 16

/// Whether an options structure has a size this library can serve: at least what version 0.1 had,
/// and nothing but zeros beyond what is known here (P4).
func acceptsOptions<Options>(_ options: UnsafePointer<Options>, size: UInt32) -> Bool {
  let known = MemoryLayout<Options>.size
  if size < UInt32(known) || size > largestStructure { return false }
  let bytes = UnsafeRawPointer(options)
  for offset in known..<Int(size) where bytes.load(fromByteOffset: offset, as: UInt8.self) != 0 {
    return false
  }
  return true
}

/// Whether a structure to be filled has a size this library can serve.
func acceptsOutput<Output>(_: Output.Type, size: UInt32) -> Bool {
  size >= UInt32(MemoryLayout<Output>.size) && size <= largestStructure
}

/// Whether the elements of an array have a size this library can serve.
func acceptsElements<Output>(_ type: Output.Type, size: UInt32) -> Bool {
  acceptsOutput(type, size: size) && Int(size) % MemoryLayout<Output>.alignment == 0
}

/// Zeroes what a larger structure has beyond the part this library knows.
func clearTail<Output>(of output: UnsafeMutablePointer<Output>, size: UInt32) {
  let known = MemoryLayout<Output>.size
  let bytes = UnsafeMutableRawPointer(output)
  for offset in known..<Int(size) { bytes.storeBytes(of: 0, toByteOffset: offset, as: UInt8.self) }
}

extension UnsafePointer where Pointee == CChar {
  /// The same bytes as the core sees text.
  var utf8: UnsafePointer<UInt8> {
    // SAFETY: CChar and UInt8 have the same layout, and memory may be read as either.
    UnsafeRawPointer(self).assumingMemoryBound(to: UInt8.self)
  }
}

extension StaticString {
  /// The text for C, static and NUL-terminated.
  var cString: UnsafePointer<CChar> {
    // SAFETY: as above; a StaticString without interpolation has a pointer representation.
    UnsafeRawPointer(utf8Start).assumingMemoryBound(to: CChar.self)
  }
}
