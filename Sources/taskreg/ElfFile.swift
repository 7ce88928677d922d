import CPlatform

/// The file of an object, from which symbols are read that are not in memory.
///
/// It may be anything: `cp_file_symbols.h` checks every number in it.
final class ElfFile {
  private let descriptor: Int32
  private var header = cp_elf_ehdr()
  /// The lowest address for which it was linked.
  private var lowest: UInt64 = 0

  /// Opens the file of a mapping; nil if it is not there any more, or is not an ELF file of this
  /// machine's kind.
  init?(of mapping: AddressMap.Mapping, in target: Target) {
    descriptor = target.core.map { Self.open(mapping, in: $0) } ?? Self.open(mapping, in: target)
    if descriptor < 0 || !cp_read_header(descriptor, &header) { return nil }
    var part = cp_elf_phdr()
    var number: UInt16 = 0
    while cp_read_part(descriptor, &header, number, &part) {
      if part.p_type == PT_LOAD && part.p_offset == 0 { lowest = part.p_vaddr }
      number += 1
    }
  }

  private static func open(_ mapping: AddressMap.Mapping, in core: CoreFile) -> Int32 {
    guard let file = core.notes.file(at: mapping.start),
      let opened = core.files.descriptor(of: file, in: core)
    else { return -1 }
    return dup(opened)
  }

  private static func open(_ mapping: AddressMap.Mapping, in target: Target) -> Int32 {
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
    if opened < 0 || cp_inode_of_file(opened) == mapping.inode { return opened }
    // It has replaced the one that is mapped.
    cp_close(opened)
    return -1
  }

  deinit { if descriptor >= 0 { cp_close(descriptor) } }

  /// The symbol that contains an address of an object that is loaded at `start`; its name ends with
  /// NUL.
  func symbol(at address: UInt64, start: UInt64) -> (name: [UInt8], offset: UInt64)? {
    var found = cp_symbol()
    found.object_offset = UInt(truncatingIfNeeded: address &- start &+ lowest)
    let kinds = UInt32(CP_VARIABLES | CP_FUNCTIONS)
    guard
      cp_search_tables(descriptor, &header, UInt32(SHT_SYMTAB), kinds, &found)
        || cp_search_tables(descriptor, &header, UInt32(SHT_DYNSYM), kinds, &found)
    else { return nil }
    var name: [UInt8] = []
    withUnsafeBytes(of: &found.symbol) { bytes in
      for byte in bytes {
        name.append(byte)
        if byte == 0 { break }
      }
    }
    return (name, UInt64(found.symbol_offset))
  }
}
