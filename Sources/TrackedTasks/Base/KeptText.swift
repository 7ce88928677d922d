import CPlatform
import Synchronization

/// The texts of checkpoints and of units of progress, each kept once, until the process ends (E3).
///
/// The text that an application passes may vanish while it is read: a literal goes with its
/// plug-in, a buffer is overwritten. Tasks record the pointer to a copy instead, and readers need
/// no lock. Texts are compared by their bytes, not by their addresses. A program has few of them;
/// those beyond the room are all shown as `tooMany`.
///
/// LOCKING: none. A slot is written once, from 0 to the address of a copy, by compare-and-exchange
/// with release, after the copy is complete; it is loaded with acquire. Copies are never changed or
/// freed. A thread that loses a slot to another compares the text that the other one put there, so
/// a text is never kept twice.
enum KeptText {
  /// One slot of the table; zeroed memory is an empty slot.
  private struct Slot: ~Copyable {
    // atomic: the address of a copy; 0 for none. See LOCKING.
    let address: Atomic<UInt>
  }

  /// Twice the limit: half of them stay free, so every search ends at a free slot.
  static let slotCount = 8192
  static let limit = 4096
  /// Bytes kept of a text: the 255 that are shown, and the rest of a character that starts in them.
  static let longest = 258

  static let tooMany: StaticString = "(too many different texts)"

  // atomic: the address of the slots; 0 before the first text.
  private static let slots = Atomic<UInt>(0)
  // atomic: relaxed; slots that are taken, or about to be.
  private static let count = Atomic<Int>(0)

  /// A copy is its hash and then the text, with a NUL.
  private static let textOffset = MemoryLayout<UInt64>.size

  /// Returns the copy of a text, which is made at its first use.
  ///
  /// - Returns: text that is valid until the process ends; `tooMany` if there is no room or no
  ///   memory for it.
  @inline(never)
  static func copy(of text: UnsafePointer<UInt8>) -> UnsafePointer<UInt8> {
    // FNV-1a, 64 bits.
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    var length = 0
    while length < longest && text[length] != 0 {
      hash = (hash ^ UInt64(text[length])) &* 0x100_0000_01B3
      length += 1
    }
    guard let table else { return tooMany.utf8Start }
    var place = Int(truncatingIfNeeded: hash ^ (hash >> 32)) & (slotCount - 1)
    var made: UnsafeMutableRawPointer?
    while true {
      let address = table[place].address.load(ordering: .acquiring)
      if address != 0 {
        if let found = matching(address, hash, text, length) {
          if let made { discard(made) }
          return found
        }
        place = (place + 1) & (slotCount - 1)
        continue
      }
      if made == nil { made = newCopy(hash, text, length) }
      guard let copy = made else { return tooMany.utf8Start }
      // A thread that loses compares the winner's text next.
      let isMine = table[place].address.compareExchange(
        expected: 0, desired: UInt(bitPattern: copy), ordering: .releasing
      ).exchanged
      if isMine { return pointerToText(copy) }
    }
  }

  private static func matching(
    _ address: UInt, _ hash: UInt64, _ text: UnsafePointer<UInt8>, _ length: Int
  ) -> UnsafePointer<UInt8>? {
    guard let copy = UnsafeMutableRawPointer(bitPattern: address),
      copy.load(as: UInt64.self) == hash
    else { return nil }
    let kept = pointerToText(copy)
    // The NUL of the copy ends the comparison where the copy is shorter.
    return memcmp(kept, text, length) == 0 && kept[length] == 0 ? kept : nil
  }

  private static func pointerToText(_ copy: UnsafeMutableRawPointer) -> UnsafePointer<UInt8> {
    UnsafePointer((copy + textOffset).assumingMemoryBound(to: UInt8.self))
  }

  /// Reserves room for a text and copies it there; nil if there is no room or no memory.
  private static func newCopy(
    _ hash: UInt64, _ text: UnsafePointer<UInt8>, _ length: Int
  ) -> UnsafeMutableRawPointer? {
    if count.wrappingAdd(1, ordering: .relaxed).newValue > limit {
      count.wrappingSubtract(1, ordering: .relaxed)
      return nil
    }
    guard let copy = malloc(textOffset + length + 1) else {
      count.wrappingSubtract(1, ordering: .relaxed)
      return nil
    }
    copy.storeBytes(of: hash, as: UInt64.self)
    memcpy(copy + textOffset, text, length)
    (copy + textOffset).storeBytes(of: 0, toByteOffset: length, as: UInt8.self)
    return copy
  }

  private static func discard(_ copy: UnsafeMutableRawPointer) {
    free(copy)
    count.wrappingSubtract(1, ordering: .relaxed)
  }

  /// The slots, made at the first text; nil if there is no memory.
  private static var table: UnsafeMutablePointer<Slot>? {
    if let made = UnsafeMutablePointer<Slot>(bitPattern: slots.load(ordering: .acquiring)) {
      return made
    }
    guard let memory = calloc(slotCount, MemoryLayout<Slot>.stride) else { return nil }
    let (isFirst, earlier) = slots.compareExchange(
      expected: 0, desired: UInt(bitPattern: memory), ordering: .acquiringAndReleasing)
    if isFirst { return memory.assumingMemoryBound(to: Slot.self) }
    free(memory)
    return UnsafeMutablePointer<Slot>(bitPattern: earlier)
  }
}
