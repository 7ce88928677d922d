import CTaskReg

// The boundary checks each argument from C once, and converts it to the types that the core works
// with. This module contains no logic of the library.

extension Status {
  /// The number that C sees.
  ///
  /// Tests/c checks that the two sets of numbers agree.
  var code: tr_status { rawValue }
}

/// A structure of the C API that starts with its size, and may grow at its end from release to
/// release.
///
/// A program compiled against another header passes a structure of another size (P4). None has
/// grown since its first release, so a structure of the caller's is never smaller than the
/// library's own. `read` and `fill` rely on that. The program of Tests/binary/use-0.2.c, whose
/// structures lie before unmapped memory, fails once it no longer holds.
protocol SizedStructure {
  /// All zero: in options, every default.
  init()

  /// Its size in the release that introduced it, the smallest that is accepted. It never changes.
  static var firstSize: UInt32 { get }

  /// The macro that initialises such a structure.
  static var initialiser: StaticString { get }
}

extension tr_registry_options: SizedStructure {
  static var firstSize: UInt32 { 128 }
  static var initialiser: StaticString { "TR_REGISTRY_OPTIONS_INIT" }
}
extension tr_spawn_options: SizedStructure {
  static var firstSize: UInt32 { 88 }
  static var initialiser: StaticString { "TR_SPAWN_OPTIONS_INIT" }
}
extension tr_restart_options: SizedStructure {
  static var firstSize: UInt32 { 56 }
  static var initialiser: StaticString { "TR_RESTART_OPTIONS_INIT" }
}
extension tr_adopt_options: SizedStructure {
  static var firstSize: UInt32 { 24 }
  static var initialiser: StaticString { "TR_ADOPT_OPTIONS_INIT" }
}
extension tr_task_summary: SizedStructure {
  static var firstSize: UInt32 { 496 }
  static var initialiser: StaticString { "TR_TASK_SUMMARY_INIT" }
}
extension tr_join_report: SizedStructure {
  static var firstSize: UInt32 { 152 }
  static var initialiser: StaticString { "TR_JOIN_REPORT_INIT" }
}
extension tr_outcome: SizedStructure {
  static var firstSize: UInt32 { 144 }
  static var initialiser: StaticString { "TR_OUTCOME_INIT" }
}

extension tr_signal_options: SizedStructure {
  static var firstSize: UInt32 { 32 }
  static var initialiser: StaticString { "TR_SIGNAL_OPTIONS_INIT" }
}
extension tr_systemd_options: SizedStructure {
  static var firstSize: UInt32 { 32 }
  static var initialiser: StaticString { "TR_SYSTEMD_OPTIONS_INIT" }
}

/// The largest size that a structure may claim; larger numbers are rejected as invalid (P4).
let largestStructure: UInt32 = 1 << 16

/// The size that a structure claims.
func claimedSize<Structure: SizedStructure>(of structure: UnsafePointer<Structure>) -> UInt32 {
  UnsafeRawPointer(structure).load(as: UInt32.self)
}

/// Reads an options structure.
///
/// - Returns: nil if its size is not accepted, or if anything but zeros follows the part that is
///   known here (P4); the reason is recorded for `tr_error_detail`.
func read<Options: SizedStructure>(
  _ options: UnsafePointer<Options>, _ function: StaticString,
  _ argument: StaticString = "options"
) -> Options? {
  guard accepts(options, function, argument) else { return nil }
  let bytes = UnsafeRawPointer(options)
  for offset in MemoryLayout<Options>.size..<Int(claimedSize(of: options))
  where bytes.load(fromByteOffset: offset, as: UInt8.self) != 0 {
    ErrorDetail.set(function) {
      $0.append(argument)
      $0.append(" has a field that this release of the library does not know, and it is not 0")
    }
    return nil
  }
  return options.pointee
}

/// Whether a structure of the caller's has a size that this library accepts; if not, the reason is
/// recorded.
func accepts<Structure: SizedStructure>(
  _ structure: UnsafePointer<Structure>, _ function: StaticString, _ argument: StaticString
) -> Bool {
  let size = claimedSize(of: structure)
  if accepts(Structure.self, size: size) { return true }
  describeSizeError(size, function, argument, Structure.initialiser)
  return false
}

/// Records that a structure has a size that is never accepted.
@inline(never)
func describeSizeError(
  _ size: UInt32, _ function: StaticString, _ argument: StaticString, _ initialiser: StaticString
) {
  ErrorDetail.set(function) {
    $0.append("the size in ")
    $0.append(argument)
    $0.append(" is ")
    $0.append(size)
    $0.append("; begin with ")
    $0.append(initialiser)
  }
}

/// Whether a structure has a size that this library accepts.
func accepts<Structure: SizedStructure>(_: Structure.Type, size: UInt32) -> Bool {
  size >= Structure.firstSize && size <= largestStructure
}

/// Whether the elements of an array have a size that this library accepts.
func acceptsElements<Element: SizedStructure>(_ type: Element.Type, size: UInt32) -> Bool {
  accepts(type, size: size) && Int(size) % MemoryLayout<Element>.alignment == 0
}

/// Lets `write` fill a structure of the caller's that has `size` bytes, an accepted size.
///
/// The bytes after the part that is known here become zero.
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

/// A timeout or grace from C as the core takes it.
///
/// -1 (TR_FOREVER) never times out; smaller numbers have passed already.
@inline(__always)
func bounded(_ timeout: Int64) -> Int64 { timeout < -1 ? 0 : timeout }

extension UnsafePointer where Pointee == CChar {
  /// The same bytes with the type that the core uses for text.
  var utf8: UnsafePointer<UInt8> {
    // SAFETY: CChar and UInt8 have the same layout, and memory may be read as either.
    UnsafeRawPointer(self).assumingMemoryBound(to: UInt8.self)
  }
}

extension UnsafePointer where Pointee == UInt8 {
  /// The same bytes with the type that C uses for text.
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
