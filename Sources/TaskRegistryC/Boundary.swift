import CTaskReg

// The boundary: what C hands in is looked at here, once, and turned into what the core works with.
// No logic of the library stands in this module.

extension Status {
  /// The number C sees.
  ///
  /// That the two sets of numbers agree is checked by Tests/c.
  var code: tr_status { rawValue }
}

/// A structure of the C API that begins with its size, and may grow at its end from release to release: a
/// program compiled against another header passes one of another size (P4).
///
/// None has grown since its first release, so a structure of the caller's is never smaller than the library's
/// own. `read` and `fill` rest on that; the program of Tests/binary/use-0.2.c, whose structures lie before memory
/// that cannot be touched, fails once it no longer holds.
protocol SizedStructure {
  /// All of it zero: in options, every default.
  init()

  /// Bytes it had in the release that brought it, the least that is accepted. Never changed.
  static var firstSize: UInt32 { get }

  /// The macro that initialises one.
  static var initialiser: StaticString { get }
}

extension tr_registry_options: SizedStructure {
  static var firstSize: UInt32 { 88 }
  static var initialiser: StaticString { "TR_REGISTRY_OPTIONS_INIT" }
}
extension tr_spawn_options: SizedStructure {
  static var firstSize: UInt32 { 40 }
  static var initialiser: StaticString { "TR_SPAWN_OPTIONS_INIT" }
}
extension tr_task_summary: SizedStructure {
  static var firstSize: UInt32 { 304 }
  static var initialiser: StaticString { "TR_TASK_SUMMARY_INIT" }
}
extension tr_join_report: SizedStructure {
  static var firstSize: UInt32 { 120 }
  static var initialiser: StaticString { "TR_JOIN_REPORT_INIT" }
}
extension tr_outcome: SizedStructure {
  static var firstSize: UInt32 { 144 }
  static var initialiser: StaticString { "TR_OUTCOME_INIT" }
}

extension tr_signal_options: SizedStructure {
  static var firstSize: UInt32 { 8 }
  static var initialiser: StaticString { "TR_SIGNAL_OPTIONS_INIT" }
}
extension tr_systemd_options: SizedStructure {
  static var firstSize: UInt32 { 32 }
  static var initialiser: StaticString { "TR_SYSTEMD_OPTIONS_INIT" }
}

/// The largest size a structure may claim: absurd numbers are refused (P4).
let largestStructure: UInt32 = 1 << 16

/// The size a structure says it has.
func claimedSize<Structure: SizedStructure>(of structure: UnsafePointer<Structure>) -> UInt32 {
  UnsafeRawPointer(structure).load(as: UInt32.self)
}

/// Reads an options structure.
///
/// - Returns: nil if its size is not accepted, or if anything but zeros follows what is known here (P4); that is
///   noted for `tr_error_detail`.
func read<Options: SizedStructure>(
  _ options: UnsafePointer<Options>, _ function: StaticString,
  _ argument: StaticString = "options"
) -> Options? {
  guard accepts(options, function, argument) else { return nil }
  let bytes = UnsafeRawPointer(options)
  for offset in MemoryLayout<Options>.size..<Int(claimedSize(of: options))
  where bytes.load(fromByteOffset: offset, as: UInt8.self) != 0 {
    ErrorDetail.note(function) {
      $0.append(argument)
      $0.append(" has a field that this release of the library does not know, and it is not 0")
    }
    return nil
  }
  return options.pointee
}

/// Whether a structure of the caller's has a size this library can serve; if not, that is noted.
func accepts<Structure: SizedStructure>(
  _ structure: UnsafePointer<Structure>, _ function: StaticString, _ argument: StaticString
) -> Bool {
  let size = claimedSize(of: structure)
  if accepts(Structure.self, size: size) { return true }
  describeSizeError(size, function, argument, Structure.initialiser)
  return false
}

/// Notes that a structure has a size that none of its kind has.
@inline(never)
func describeSizeError(
  _ size: UInt32, _ function: StaticString, _ argument: StaticString, _ initialiser: StaticString
) {
  ErrorDetail.note(function) {
    $0.append("the size in ")
    $0.append(argument)
    $0.append(" is ")
    $0.append(size)
    $0.append("; begin with ")
    $0.append(initialiser)
  }
}

/// Whether a structure has a size this library can serve.
func accepts<Structure: SizedStructure>(_: Structure.Type, size: UInt32) -> Bool {
  size >= Structure.firstSize && size <= largestStructure
}

/// Whether the elements of an array have a size this library can serve.
func acceptsElements<Element: SizedStructure>(_ type: Element.Type, size: UInt32) -> Bool {
  accepts(type, size: size) && Int(size) % MemoryLayout<Element>.alignment == 0
}

/// Lets `write` fill a structure of the caller's that has `size` bytes, an accepted size: what follows the
/// part that is known here becomes zero.
@inline(__always)
func fill<Output: SizedStructure>(
  _ output: UnsafeMutablePointer<Output>, size: UInt32,
  _ write: (UnsafeMutablePointer<Output>) -> Void
) {
  write(output)
  let bytes = UnsafeMutableRawPointer(output)
  for offset in MemoryLayout<Output>.size..<Int(size) {
    bytes.storeBytes(of: 0, toByteOffset: offset, as: UInt8.self)
  }
}

/// A timeout or grace of C's as the core takes it: -1 (TR_FOREVER) is without end, and what is below that is
/// over.
@inline(__always)
func bounded(_ timeout: Int64) -> Int64 { timeout < -1 ? 0 : timeout }

extension UnsafePointer where Pointee == CChar {
  /// The same bytes as the core sees text.
  var utf8: UnsafePointer<UInt8> {
    // SAFETY: CChar and UInt8 have the same layout, and memory may be read as either.
    UnsafeRawPointer(self).assumingMemoryBound(to: UInt8.self)
  }
}

extension UnsafePointer where Pointee == UInt8 {
  /// The same bytes as C sees text.
  var chars: UnsafePointer<CChar> {
    // SAFETY: as above.
    UnsafeRawPointer(self).assumingMemoryBound(to: CChar.self)
  }
}

extension StaticString {
  /// The text for C, static and NUL-terminated.
  var cString: UnsafePointer<CChar> {
    // SAFETY: as above; a StaticString without interpolation has a pointer representation.
    UnsafeRawPointer(utf8Start).assumingMemoryBound(to: CChar.self)
  }
}
