import CPlatform

/// The file of an object, from which symbols are read that are not in memory.
///
/// It may be anything: every number in it is checked.
final class ElfFile {
  private let descriptor: Int32
  /// The lowest address for which it was linked.
  private var lowest: UInt64 = 0
  private var sections: UInt64 = 0
  private var sectionCount: UInt64 = 0

  private static var mostSections: UInt64 { 65_536 }
  private static var mostSymbols: UInt64 { 1 << 22 }

  /// Opens the file of a mapping; nil if it is not there any more, or is not an ELF file of this
  /// machine's kind.
  init?(of mapping: AddressMap.Mapping, in target: Target) {
    var opened: Int32 = -1
    target.maps.withPath(of: mapping) { path in
      guard let path, strlen(path) < 4096 else { return }
      var full: [UInt8] = []
      // As the process sees it, in its own mount namespace.
      withFixedText {
        target.append("/root", to: &$0)
      } _: { root in
        for place in 0..<Int(strlen(root)) { full.append(root[place]) }
      }
      for place in 0...Int(strlen(path)) { full.append(path[place]) }
      full.withUnsafeBytes { bytes in
        if let text = bytes.baseAddress {
          opened = cp_open_file(text.assumingMemoryBound(to: CChar.self))
        }
      }
    }
    descriptor = opened
    // A file that has replaced the one that is mapped has another inode.
    if opened < 0 || cp_inode_of_file(opened) != mapping.inode || !readHeaders() { return nil }
  }

  deinit { if descriptor >= 0 { cp_close(descriptor) } }

  /// The symbol that contains an address of an object that is loaded at `start`.
  func symbol(at address: UInt64, start: UInt64) -> (name: [UInt8], offset: UInt64)? {
    let wanted = address &- start &+ lowest
    // .symtab has all; .dynsym is what `strip` leaves.
    for kind: UInt32 in [2, 11] {
      for number in 0..<sectionCount {
        guard let section = section(number), section.kind == kind else { continue }
        guard section.entrySize == 24, section.size / 24 <= Self.mostSymbols,
          let names = self.section(UInt64(section.link))
        else { continue }
        if let found = search(section, names, wanted) { return found }
      }
    }
    return nil
  }

  private struct Section {
    var kind: UInt32 = 0
    var link: UInt32 = 0
    var offset: UInt64 = 0
    var size: UInt64 = 0
    var entrySize: UInt64 = 0
  }

  private func section(_ number: UInt64) -> Section? {
    guard number < sectionCount, let bytes = read(sections &+ number * 64, 64) else { return nil }
    return bytes.withUnsafeBytes {
      Section(
        kind: $0.load(fromByteOffset: 4, as: UInt32.self),
        link: $0.load(fromByteOffset: 40, as: UInt32.self),
        offset: $0.load(fromByteOffset: 24, as: UInt64.self),
        size: $0.load(fromByteOffset: 32, as: UInt64.self),
        entrySize: $0.load(fromByteOffset: 56, as: UInt64.self))
    }
  }

  private func readHeaders() -> Bool {
    guard let head = read(0, 64) else { return false }
    let (magic, isSixtyFour) = (head[0] & 0xFFFF_FFFF, head[0] >> 32 & 0xFF)
    if magic != 0x464C_457F || isSixtyFour != 2 { return false }
    let (headers, count) = (head[4], head[7] & 0xFFFF)
    sections = head[5]
    sectionCount = min(head[7] >> 32 & 0xFFFF, Self.mostSections)
    // The size of a section header.
    if head[7] >> 16 & 0xFFFF != 64 { sectionCount = 0 }
    if head[6] >> 48 != 56 { return false }
    for number in 0..<count {
      guard let header = read(headers &+ number * 56, 56) else { return false }
      // PT_LOAD, of the start of the file.
      if header[0] & 0xFFFF_FFFF == 1 && header[1] == 0 { lowest = header[2] }
    }
    return true
  }

  private func search(
    _ symbols: Section, _ names: Section, _ wanted: UInt64
  ) -> (name: [UInt8], offset: UInt64)? {
    var number: UInt64 = 0
    let count = symbols.size / 24
    while number < count {
      let some = min(1024, count - number)
      guard let words = read(symbols.offset &+ number * 24, Int(some * 24)) else { return nil }
      for index in 0..<Int(some) {
        let (first, value, size) = (words[3 * index], words[3 * index + 1], words[3 * index + 2])
        let kind = first >> 32 & 15
        // A variable or a function, of this object.
        if kind != 1 && kind != 2 || first >> 48 == 0 { continue }
        if wanted < value || wanted - value >= size { continue }
        guard let name = text(in: names, at: first & 0xFFFF_FFFF) else { return nil }
        return (name, wanted - value)
      }
      number += some
    }
    return nil
  }

  /// A name in a table of strings, NUL-terminated, of which 255 bytes are read.
  private func text(in names: Section, at place: UInt64) -> [UInt8]? {
    if place >= names.size { return nil }
    guard let bytes = readBytes(names.offset &+ place, Int(min(255, names.size - place))) else {
      return nil
    }
    var name: [UInt8] = []
    for byte in bytes {
      if byte == 0 { break }
      name.append(byte)
    }
    name.append(0)
    return name
  }

  /// Reads words; nil if the file does not have them all.
  private func read(_ offset: UInt64, _ size: Int) -> [UInt64]? {
    if offset > 1 << 40 { return nil }
    var words = [UInt64](repeating: 0, count: size / 8)
    let count = words.withUnsafeMutableBytes {
      pread(descriptor, $0.baseAddress, size, Int(offset))
    }
    return count == size ? words : nil
  }

  private func readBytes(_ offset: UInt64, _ size: Int) -> [UInt8]? {
    if offset > 1 << 40 { return nil }
    var bytes = [UInt8](repeating: 0, count: size)
    let count = bytes.withUnsafeMutableBytes {
      pread(descriptor, $0.baseAddress, size, Int(offset))
    }
    return count == size ? bytes : nil
  }
}
