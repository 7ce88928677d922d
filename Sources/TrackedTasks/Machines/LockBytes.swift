/// The first bytes of a lock, copied from memory that may be anything.
struct LockBytes: Equatable {
  var words = InlineArray<7, UInt64>(repeating: 0)
  /// How many bytes were copied.
  var count = 0

  /// The most that are copied.
  static var most: Int { 56 }

  /// The number at an offset, which is a multiple of 4; nil if it was not copied.
  func number(at offset: Int) -> UInt32? {
    if offset < 0 || offset + 4 > count || offset + 4 > Self.most { return nil }
    let word = words[offset / 8]
    #if _endian(little)
      return UInt32(truncatingIfNeeded: offset % 8 == 0 ? word : word >> 32)
    #else
      return UInt32(truncatingIfNeeded: offset % 8 == 0 ? word >> 32 : word)
    #endif
  }

  static func == (one: LockBytes, other: LockBytes) -> Bool {
    if one.count != other.count { return false }
    for index in 0..<7 where one.words[index] != other.words[index] { return false }
    return true
  }
}
