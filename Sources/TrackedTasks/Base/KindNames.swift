import CPlatform
import Synchronization

/// The names that the application has given to kinds of its own (S3).
///
/// LOCKING: none. A slot is claimed once, from 0 to its kind, by compare-and-exchange; its name is
/// a `KeptText`, released after the text is complete, and may be replaced. A reader that finds the
/// kind before the name finds no name.
enum KindNames {
  private struct Slot: ~Copyable {
    // atomic: relaxed; the kind, 0 for none.
    let kind: Atomic<UInt32>
    // atomic: the address of the name; 0 for none.
    let name: Atomic<UInt>
  }

  /// How many kinds may have names.
  static var limit: Int { 64 }

  // atomic: the address of the slots; 0 before the first name.
  private static let slots = Atomic<UInt>(0)

  /// The name of a kind, valid until the process ends; nil if it was given none.
  static func name(of kind: UInt32) -> UnsafePointer<UInt8>? {
    guard kind >= 0x100, let table = existing else { return nil }
    for index in 0..<limit {
      let its = table[index].kind.load(ordering: .relaxed)
      if its == 0 { return nil }
      if its == kind {
        return UnsafePointer(bitPattern: table[index].name.load(ordering: .acquiring))
      }
    }
    return nil
  }

  /// Gives a kind a name.
  ///
  /// - Parameters:
  ///   - name: is copied, and kept until the process ends.
  ///   - kind: the application's.
  /// - Returns: `.ok`; `.limit` if as many kinds have names as may have; `.noMemory`.
  static func set(_ name: TaskName, of kind: UInt32) -> Status {
    guard let table = existing ?? make() else { return .noMemory }
    let kept = name.withText { KeptText.copy(of: $0) }
    for index in 0..<limit {
      let (isClaimed, its) = table[index].kind.compareExchange(
        expected: 0, desired: kind, ordering: .relaxed)
      if isClaimed || its == kind {
        table[index].name.store(UInt(bitPattern: kept), ordering: .releasing)
        return .ok
      }
    }
    return .limit
  }

  /// Where a reader outside finds the names: the place of the table's address, the size of an
  /// element, and where in it the kind and the address of the name are.
  static var places: (table: UInt, size: UInt, kind: UInt, text: UInt) {
    // SAFETY: nothing of it is read; it is only a base for addresses.
    let base: UInt = 1 << 16
    let slot = UnsafeMutablePointer<Slot>(bitPattern: base).unsafelyUnwrapped
    return (
      addressOf(slots), UInt(MemoryLayout<Slot>.stride), addressOf(slot.pointee.kind) &- base,
      addressOf(slot.pointee.name) &- base
    )
  }

  private static var existing: UnsafeMutablePointer<Slot>? {
    UnsafeMutablePointer(bitPattern: slots.load(ordering: .acquiring))
  }

  private static func make() -> UnsafeMutablePointer<Slot>? {
    guard let memory = calloc(limit, MemoryLayout<Slot>.stride) else { return nil }
    let (isFirst, earlier) = slots.compareExchange(
      expected: 0, desired: UInt(bitPattern: memory), ordering: .acquiringAndReleasing)
    if isFirst { return memory.assumingMemoryBound(to: Slot.self) }
    free(memory)
    return UnsafeMutablePointer(bitPattern: earlier)
  }
}
