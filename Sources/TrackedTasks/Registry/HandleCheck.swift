import CPlatform
import Synchronization

// LOCKING
// One mutex guards the table of handles and the list of those whose objects are gone. It is the
// innermost lock of the library: it may be taken under any other lock, and under it only malloc's
// own are taken. Memory is allocated and freed under it, unlike under any other lock: this is a
// mode for debugging, and no thread takes it otherwise. No thread of a process without objects
// holds it, so it is free in a child of fork that starts anew.
//
// Handles1: an entry exists exactly while its object's memory has not been freed, for an object
//           whose handle was given to the program or that is gone.
// Handles2: no thread uses the objects on the list of the gone. A registry is on it after its
// tasks.

/// Finds handles that the program releases twice, or uses after their release (P8).
///
/// TASKREG_DEBUG turns it on. The program's own references are counted for each handle, apart from
/// those that the library holds. The memory of an object that is gone is kept for a while instead
/// of being freed, so that no other object gets its address.
///
/// It is off unless the C library turns it on; the Swift library has no handles.
enum HandleCheck {
  /// How many objects that are gone are kept; a further one replaces the oldest.
  static var mostKept: Int { 4096 }

  private static var bucketCount: Int { 4096 }

  // atomic: whether the environment was read; release and acquire, with the table. All threads see
  // the same value.
  private static let hasReadEnvironment = Atomic<Bool>(false)
  // atomic: the table's address; 0 before it is made. Stored with release, loaded with acquire.
  private static let table = Atomic<UInt>(0)

  /// Whether handles are checked.
  @inline(__always)
  static var isOn: Bool { ProcessState.checksHandles }

  // MARK: On and off

  /// Reads TASKREG_DEBUG, once, before the program creates its first object.
  @inline(__always)
  static func begin() {
    if !hasReadEnvironment.load(ordering: .acquiring) { readEnvironment() }
  }

  @inline(never)
  private static func readEnvironment() {
    let word: StaticString = "handles"
    if let value = cp_environment("TASKREG_DEBUG"),
      memcmp(value, word.utf8Start, min(strlen(value), word.utf8CodeUnitCount) + 1) == 0,
      makeTable()
    {
      ProcessState.checkHandles()
    }
    hasReadEnvironment.store(true, ordering: .releasing)
  }

  private static func makeTable() -> Bool {
    guard let buckets = calloc(bucketCount, MemoryLayout<HandleEntry.Pointer?>.stride) else {
      return false
    }
    let state = Handles(
      buckets: buckets.bindMemory(to: HandleEntry.Pointer?.self, capacity: bucketCount))
    let monitor = Monitor.shared(at: table, orMadeOf: state)
    // If there was no memory, or another thread was faster, the buckets are not in use.
    if monitor?.withLock({ $0.isIn(buckets) }) != true { free(buckets) }
    return monitor != nil
  }

  /// The table.
  ///
  /// Requires that handles are checked.
  private static var handles: Monitor<Handles> { Monitor.shared(at: table).unsafelyUnwrapped }

  // MARK: Calls of the program

  /// The program receives a reference.
  @inline(never)
  static func give(_ kind: HandleKind, _ object: UnsafeRawPointer) {
    handles.withLock { $0.entry(of: object, kind)?.pointee.given += 1 }
  }

  /// The last reference did not reach the program after all.
  @inline(never)
  static func takeBack(_ object: UnsafeRawPointer) {
    handles.withLock {
      if let entry = $0.find(object), entry.pointee.given > 0 { entry.pointee.given -= 1 }
    }
  }

  /// The program releases a reference; if it has none, this ends the process.
  ///
  /// - Parameters:
  ///   - kind: the kind of handle that the function takes.
  ///   - object: the address that the function received.
  ///   - function: its name, up to a parenthesis.
  @inline(never)
  static func release(
    _ kind: HandleKind, _ object: UnsafeRawPointer, _ function: StaticString
  ) {
    let isDone = handles.withLock {
      guard let entry = $0.find(object), entry.pointee.given > 1 else { return false }
      entry.pointee.given -= 1
      return true
    }
    if isDone { return }
    // This is slow, so it is done only for the last reference.
    let callers = Callers.now
    let (isMistake, before): (Bool, Callers?) = handles.withLock {
      guard let entry = $0.find(object) else { return (true, nil) }
      if entry.pointee.given == 0 { return (true, entry.pointee.releasedBy) }
      entry.pointee.given -= 1
      if entry.pointee.given == 0 { entry.pointee.releasedBy = callers }
      return (false, nil)
    }
    if !isMistake { return }
    endProcess(
      before == nil
        ? " is released, to which the program has no reference" : " is released a second time",
      kind, object, function, before)
  }

  /// The program uses a handle; if its object is gone, this ends the process.
  @inline(never)
  static func use(
    _ kind: HandleKind, _ object: UnsafeRawPointer, _ function: StaticString
  ) {
    let (isOver, before): (Bool, Callers?) = handles.withLock {
      guard let entry = $0.find(object) else { return (false, nil) }
      return (entry.pointee.isOver, entry.pointee.releasedBy)
    }
    if !isOver { return }
    endProcess(
      before == nil
        ? " is used, which was borrowed and is there no more" : " is used after its release",
      kind, object, function, before)
  }

  // MARK: Calls of the library

  /// Keeps the memory of an object that is gone, instead of freeing it.
  ///
  /// If too many are kept, the oldest is freed. Without memory for an entry, the object is kept
  /// indefinitely.
  ///
  /// Requires that handles are checked.
  @inline(never)
  static func keep(_ kind: HandleKind, _ object: UnsafeRawPointer) {
    handles.withLock {
      guard let entry = $0.entry(of: object, kind) else { return }
      entry.pointee.isGone = true
      $0.append(entry)
      if $0.goneCount > mostKept { $0.discardOldest() }
    }
  }

  // MARK: The message

  /// Writes what is wrong and where, and ends the process as glibc does when a pointer is freed
  /// twice.
  @inline(never)
  private static func endProcess(
    _ mistake: StaticString, _ kind: HandleKind, _ object: UnsafeRawPointer,
    _ function: StaticString, _ before: Callers?
  ) -> Never {
    withFixedText {
      $0.append("libtaskreg: ")
      var length = 0
      while function.utf8Start[length] != 0 && function.utf8Start[length] != 40 { length += 1 }
      $0.append(utf8: function.utf8Start, limit: length)
      $0.append(": the ")
      $0.append(kind.text)
      $0.append(" ")
      $0.append(hex: UInt64(UInt(bitPattern: object)))
      $0.append(mistake)
      $0.append("\n")
    } _: {
      _ = cp_write_all(2, $0, strlen($0))
    }
    Callers.now.write("  called by ")
    before?.write("  released by ")
    abort()
  }
}

/// The callers of the library: the innermost return addresses.
struct Callers {
  private var addresses = InlineArray<3, UInt>(repeating: 0)
  private(set) var count = 0

  static var most: Int { 3 }

  @inline(never)
  static var now: Callers {
    var callers = Callers()
    withUnsafeTemporaryAllocation(of: UInt.self, capacity: most) { room in
      callers.count = Int(cp_callers(room.baseAddress.unsafelyUnwrapped, Int32(most)))
      for number in 0..<callers.count { callers.addresses[number] = room[number] }
    }
    return callers
  }

  /// Writes them to descriptor 2, one on each line.
  ///
  /// A line has the function, if its object exports it, and the object with an offset for
  /// addr2line(1).
  func write(_ title: StaticString) {
    for number in 0..<count {
      let address = UInt64(addresses[number])
      // The call is before the address that it returns to.
      withSymbol(of: address &- 1) { object, objectOffset, symbol, symbolOffset in
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 1024) {
          var text = FixedText(in: $0)
          text.append(title)
          if let symbol {
            text.append(utf8: symbol)
            text.append("+")
            text.append(hex: symbolOffset)
            text.append(" ")
          }
          if let object {
            text.append("(")
            text.append(utf8: object)
            text.append("+")
            text.append(hex: objectOffset)
            text.append(")")
          } else {
            text.append(hex: address)
          }
          text.append("\n")
          _ = cp_write_all(2, text.text, strlen(text.text))
        }
      }
    }
  }
}

extension FixedText {
  fileprivate mutating func append(hex number: UInt64) {
    append("0x")
    var shift = max(0, (63 - number.leadingZeroBitCount) & ~3)
    while shift >= 0 {
      let digit = UInt8(truncatingIfNeeded: number >> UInt64(shift)) & 15
      var text: (UInt8, UInt8) = (digit < 10 ? 48 + digit : 87 + digit, 0)
      withUnsafeBytes(of: &text) {
        append(utf8: $0.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self))
      }
      shift -= 4
    }
  }
}
