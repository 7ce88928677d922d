/// A caller's array of structures that start with their size.
///
/// Its elements may be larger than this library's (P4).
struct CallersArray<Element: SizedStructure> {
  private let base: UnsafeMutableRawPointer?
  /// The size of each of the caller's elements, which was accepted; 0 if there is no room for any.
  let elementSize: UInt32
  let capacity: Int

  /// An array without room.
  init() {
    base = nil
    elementSize = 0
    capacity = 0
  }

  /// Checks the size in the first element; nil if the array is not one that this library can fill.
  ///
  /// The reason is recorded for `tr_error_detail` under the names of the function and of its
  /// argument.
  init?(
    _ buffer: UnsafeMutablePointer<Element>?, capacity: UInt64, _ function: StaticString,
    _ argument: StaticString
  ) {
    guard let buffer else {
      if capacity != 0 {
        ErrorDetail.set(function) {
          $0.append(argument)
          $0.append(" is NULL and its capacity is not 0")
        }
        return nil
      }
      base = nil
      elementSize = 0
      self.capacity = 0
      return
    }
    base = UnsafeMutableRawPointer(buffer)
    if capacity == 0 {
      elementSize = 0
      self.capacity = 0
      return
    }
    elementSize = claimedSize(of: buffer)
    guard acceptsElements(Element.self, size: elementSize) else {
      describeSizeError(elementSize, function, argument, Element.initialiser)
      return nil
    }
    guard capacity <= UInt64(Int.max) / UInt64(elementSize) else {
      ErrorDetail.set(function) {
        $0.append("the capacity of ")
        $0.append(argument)
        $0.append(" is more than there is memory")
      }
      return nil
    }
    self.capacity = Int(capacity)
  }

  /// The caller's element `index`, if there is room.
  @inline(__always)
  func place(of index: Int) -> UnsafeMutablePointer<Element>? {
    guard let base, index < capacity else { return nil }
    // No overflow: the capacity is checked.
    return (base + index &* Int(elementSize)).assumingMemoryBound(to: Element.self)
  }
}
