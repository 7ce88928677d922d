import CPlatform

/// A core file, as the kernel or a debugger writes one: what was in the memory of a process.
///
/// It may be any file: every number in it is checked, and memory is needed for its tables alone.
final class CoreFile {
  /// Where some memory is in the file.
  struct Segment {
    let start: UInt64
    let end: UInt64
    /// Where in the file, and how much of it; what is behind was left out.
    let offset: UInt64
    let size: UInt64
    let flags: UInt32
  }

  private let descriptor: Int32
  /// When it was written last, on the clock of the day.
  let writtenAt: Int64
  /// In the order of their addresses; none overlaps another.
  private(set) var segments: [Segment] = []
  private(set) var notes = CoreNotes()
  /// How many bytes are missing at its end.
  private(set) var missing: UInt64 = 0
  /// The files from which comes what it leaves out.
  let files = FilesOnDisk()

  /// The most segments that are read; a process has some 65 000 mappings at the most, unless its
  /// system allows more.
  private static var most: UInt64 { 1 << 20 }

  /// Opens a core file.
  ///
  /// - Parameter path: NUL-terminated; "-": standard input, which is copied if it is a pipe.
  /// - Returns: its tables; memory is read when it is asked for.
  /// - Throws: why it cannot be read.
  static func open(_ path: [UInt8]) throws(Failure) -> CoreFile {
    let opened = descriptor(of: path)
    var (size, written): (UInt64, Int64) = (0, 0)
    if opened < 0 { throw .noCore(path, error: -opened) }
    let isFile = cp_facts_of_file(opened, &size, &written)
    let core = CoreFile(opened, written)
    if !isFile { throw .noCore(path, error: EINVAL) }
    var header = cp_elf_ehdr()
    if !cp_read_at(opened, 0, &header, MemoryLayout<cp_elf_ehdr>.size) {
      throw .notACore(path, .short)
    }
    if let problem = problem(of: &header, opened) { throw .notACore(path, problem) }
    core.read(&header, size)
    if core.notes.threads.isEmpty || core.segments.isEmpty { throw .notACore(path, .empty) }
    return core
  }

  // Not one that throws; see `Target`.
  private init(_ descriptor: Int32, _ writtenAt: Int64) {
    self.descriptor = descriptor
    self.writtenAt = writtenAt
  }

  deinit { cp_close(descriptor) }

  /// A descriptor for a file, or a negative error number.
  private static func descriptor(of path: [UInt8]) -> Int32 {
    if path.is("-") {
      var (size, written): (UInt64, Int64) = (0, 0)
      return cp_facts_of_file(0, &size, &written) ? dup(0) : cp_keep_input(0)
    }
    return path.withUnsafeBytes { bytes in
      bytes.baseAddress.map { cp_open_file($0.assumingMemoryBound(to: CChar.self)) } ?? -EINVAL
    }
  }

  private static func problem(
    of header: inout cp_elf_ehdr, _ descriptor: Int32
  ) -> Failure.CoreProblem? {
    let (first, second, third, fourth) = withUnsafeBytes(of: header.e_ident) {
      ($0[0], $0[1], $0[2], $0[3])
    }
    if (first, second, third, fourth) == (0x28, 0xB5, 0x2F, 0xFD) { return .zstd }
    if !cp_read_header(descriptor, &header) || header.e_type != UInt16(ET_CORE) { return .other }
    return header.e_machine == cp_core_machine() ? nil : .machine
  }

  private func read(_ header: inout cp_elf_ehdr, _ size: UInt64) {
    var count = UInt64(header.e_phnum)
    if count == 0xFFFF {
      // There are too many for 16 bits; the first section has the number (PN_XNUM).
      var section = cp_elf_shdr()
      let isThere = withUnsafeMutableBytes(of: &section) {
        cp_read_at(descriptor, UInt64(header.e_shoff), $0.baseAddress, $0.count)
      }
      if isThere { count = UInt64(section.sh_info) }
    }
    if Int(header.e_phentsize) != MemoryLayout<cp_elf_phdr>.size { return }
    var needed: UInt64 = 0
    var hasNotes = false
    for number in 0..<min(count, Self.most) {
      var part = cp_elf_phdr()
      let place = UInt64(header.e_phoff) &+ number &* UInt64(header.e_phentsize)
      let isThere = withUnsafeMutableBytes(of: &part) {
        cp_read_at(descriptor, place, $0.baseAddress, $0.count)
      }
      if !isThere { break }
      let (offset, bytes) = (UInt64(part.p_offset), UInt64(part.p_filesz))
      let (end, isTooLong) = offset.addingReportingOverflow(bytes)
      if isTooLong { continue }
      needed = max(needed, end)
      if part.p_type == UInt32(PT_NOTE) && !hasNotes {
        hasNotes = true
        notes.read(descriptor, at: offset, size: bytes)
      }
      let (last, isTooHigh) = UInt64(part.p_vaddr).addingReportingOverflow(UInt64(part.p_memsz))
      if part.p_type != UInt32(PT_LOAD) || isTooHigh || part.p_memsz == 0 { continue }
      segments.append(
        Segment(
          start: UInt64(part.p_vaddr), end: last, offset: offset,
          size: min(bytes, UInt64(part.p_memsz)), flags: part.p_flags))
    }
    if needed > size { missing = needed - size }
    segments.sort { $0.start < $1.start }
    var kept: [Segment] = []
    for segment in segments where segment.start >= kept.last?.end ?? 0 { kept.append(segment) }
    segments = kept
  }

  // MARK: Memory

  /// Copies memory; how many bytes, or a negative error number: EFAULT if it is not known.
  func read(_ address: UInt64, _ bytes: UnsafeMutableRawPointer?, _ size: Int) -> Int {
    guard let bytes else { return size == 0 ? 0 : Int(-EFAULT) }
    var filled = 0
    while filled < size {
      let count = readPart(address &+ UInt64(filled), bytes + filled, size - filled)
      if count <= 0 { break }
      filled += count
    }
    return filled > 0 || size == 0 ? filled : Int(-EFAULT)
  }

  private func readPart(_ address: UInt64, _ bytes: UnsafeMutableRawPointer, _ size: Int) -> Int {
    let number = place(of: address)
    var end = number < segments.count ? segments[number].start : .max
    if end <= address {
      let (segment, place) = (segments[number], address - end)
      if place < segment.size { return readDumped(segment, place, bytes, size) }
      end = segment.end
    }
    // A debugger leaves out the whole segment where it leaves out what a file has.
    guard let file = notes.file(at: address), let opened = files.descriptor(of: file, in: self)
    else { return 0 }
    let count = Int(clamping: min(UInt64(size), end - address, file.end - address))
    return cp_read_some(opened, file.offset &+ (address - file.start), bytes, count)
  }

  private func readDumped(
    _ segment: Segment, _ place: UInt64, _ bytes: UnsafeMutableRawPointer, _ size: Int
  ) -> Int {
    cp_read_some(
      descriptor, segment.offset + place, bytes, Int(min(UInt64(size), segment.size - place)))
  }

  /// Copies memory that is in the file itself, all of it; false if it is not.
  func readDumped(_ address: UInt64, _ bytes: UnsafeMutableRawPointer, _ size: Int) -> Bool {
    let number = place(of: address)
    guard number < segments.count, segments[number].start <= address else { return false }
    let (segment, place) = (segments[number], address - segments[number].start)
    return place < segment.size && readDumped(segment, place, bytes, size) == size
  }

  /// The place of the first segment that ends behind an address; it may begin there, too.
  private func place(of address: UInt64) -> Int {
    var (low, high) = (0, segments.count)
    while low < high {
      let middle = (low + high) / 2
      if segments[middle].end <= address { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
