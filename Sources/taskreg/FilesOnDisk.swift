import CPlatform

/// The files whose contents a core file leaves out, as they are on disk now.
///
/// A file counts if its notes are those that the process had in memory, with a build id among them;
/// it may have been replaced since.
final class FilesOnDisk {
  /// Whether a file on disk is the one that was mapped.
  enum Verdict {
    case same
    /// It has another build id.
    case other
    /// One of the two has no build id, or the core file has left out its notes.
    case notProven
    case missing
  }

  private struct Known {
    let number: UInt64
    let descriptor: Int32
    let verdict: Verdict
    let path: Range<Int>
  }
  private var known: [Known] = []

  /// The most files that are kept open.
  private static var most: Int { 256 }
  /// The most parts with notes that are looked at in a file; linkers make two or three.
  private static var mostNotes: Int { 16 }

  deinit { for file in known where file.descriptor >= 0 { cp_close(file.descriptor) } }

  /// A descriptor for the file, which stays this object's; nil if it is not the one that was mapped.
  func descriptor(of file: CoreNotes.MappedFile, in core: CoreFile) -> Int32? {
    for one in known where one.number == file.number {
      return one.verdict == .same ? one.descriptor : nil
    }
    if known.count >= Self.most { return nil }
    var opened: Int32 = -1
    if core.notes.paths[file.path.lowerBound] == 0x2F && file.path.count < 4096 {
      var path = [UInt8](core.notes.paths[file.path])
      path.append(0)
      path.withUnsafeBytes { bytes in
        if let text = bytes.baseAddress {
          opened = cp_open_file(text.assumingMemoryBound(to: CChar.self))
        }
      }
    }
    let verdict = opened < 0 ? .missing : Self.compare(opened, with: file.number, in: core)
    if verdict != .same && opened >= 0 {
      cp_close(opened)
      opened = -1
    }
    known.append(
      Known(number: file.number, descriptor: opened, verdict: verdict, path: file.path))
    return verdict == .same ? opened : nil
  }

  /// Compares an open file with the one of a number that a core file names.
  static func compare(_ descriptor: Int32, with number: UInt64, in core: CoreFile) -> Verdict {
    var header = cp_elf_ehdr()
    if !cp_read_header(descriptor, &header) { return .notProven }
    var verdict = Verdict.notProven
    var part = cp_elf_phdr()
    var index: UInt16 = 0
    var notes = 0
    while notes < mostNotes, cp_read_part(descriptor, &header, index, &part) {
      index += 1
      let size = Int(clamping: part.p_filesz)
      if part.p_type != UInt32(PT_NOTE) || size > 4096 || size < 16 { continue }
      notes += 1
      var onDisk = [UInt8](repeating: 0, count: size)
      let isRead = onDisk.withUnsafeMutableBytes {
        cp_read_at(descriptor, UInt64(part.p_offset), $0.baseAddress, size)
      }
      if !isRead || !hasBuildID(onDisk) { continue }
      guard let inMemory = dumped(number, UInt64(part.p_offset), size, in: core) else { continue }
      if inMemory == onDisk { return .same }
      // What is in memory may be another part of another file.
      verdict = .other
    }
    return verdict
  }

  /// The bytes of a mapped file that are in a core file itself.
  private static func dumped(
    _ number: UInt64, _ offset: UInt64, _ size: Int, in core: CoreFile
  ) -> [UInt8]? {
    for file in core.notes.files where file.number == number {
      if offset < file.offset || offset - file.offset >= file.end - file.start { continue }
      var bytes = [UInt8](repeating: 0, count: size)
      let isRead = bytes.withUnsafeMutableBytes {
        core.readDumped(
          file.start + (offset - file.offset), $0.baseAddress.unsafelyUnwrapped, size)
      }
      if isRead { return bytes }
    }
    return nil
  }

  /// Whether notes have a build id among them (NT_GNU_BUILD_ID).
  private static func hasBuildID(_ notes: [UInt8]) -> Bool {
    func word(_ place: Int) -> Int {
      notes.withUnsafeBytes { Int($0.loadUnaligned(fromByteOffset: place, as: UInt32.self)) }
    }
    var place = 0
    while place + 16 <= notes.count {
      let isGNU = word(place) == 4 && word(place + 12) == 0x55_4E47
      if isGNU && word(place + 8) == NT_GNU_BUILD_ID && word(place + 4) > 0 { return true }
      place += 12 + (word(place) + 3) & ~3 + (word(place + 4) + 3) & ~3
    }
    return false
  }

  /// Writes a sentence for each file that was wanted and did not count.
  func writeMissing(of core: CoreFile, to writer: inout TextWriter) {
    for file in known where file.verdict != .same {
      var path = [UInt8](core.notes.paths[file.path])
      path.append(0)
      writer.write("taskreg: ")
      path.withUnsafeBufferPointer { if let text = $0.baseAddress { writer.write(text: text) } }
      switch file.verdict {
      case .other: writer.write(" is not the file that the process had: its build id is another")
      case .missing: writer.write(" cannot be read any more")
      default: writer.write(" has no build id by which it could be compared with the process's")
      }
      writer.write("; what was in it is not known, unless it is in the core file\n")
    }
  }
}
