/// The mappings of a process, as its file `maps` in proc(5) lists them, or its core file.
struct AddressMap {
  /// One mapping.
  struct Mapping {
    var start: UInt64 = 0
    /// Behind its last byte.
    var end: UInt64 = 0
    /// Where in the file it begins.
    var offset: UInt64 = 0
    /// The file: the number of its device, and its inode; 0 for memory without a file.
    var device: UInt64 = 0
    var inode: UInt64 = 0
    var isReadable = false
    var isWritable = false
    var isPrivate = false
    var isExecutable = false
    /// Where in the bytes of `maps` its path is.
    var path: Range<Int> = 0..<0

    func isSameFile(as other: Mapping) -> Bool {
      inode != 0 && inode == other.inode && device == other.device
    }

    /// Whether it is the same part of the same file, at the same place.
    func isSamePart(as other: Mapping) -> Bool {
      isSameFile(as: other) && start == other.start && end == other.end && offset == other.offset
    }
  }

  private let bytes: [UInt8]
  private(set) var mappings: [Mapping] = []

  init(_ bytes: [UInt8]) {
    self.bytes = bytes
    var place = 0
    while place < bytes.count {
      if let mapping = parse(&place) { mappings.append(mapping) }
      while place < bytes.count && bytes[place] != 0x0A { place += 1 }
      place += 1
    }
  }

  /// The mappings that a core file has.
  ///
  /// The number of a path is taken for the inode.
  init(_ core: CoreFile) {
    bytes = core.notes.paths
    var left: [Mapping] = []
    for segment in core.segments {
      var mapping = Mapping()
      (mapping.start, mapping.end) = (segment.start, segment.end)
      mapping.isReadable = segment.flags & 4 != 0
      mapping.isWritable = segment.flags & 2 != 0
      mapping.isExecutable = segment.flags & 1 != 0
      mapping.isPrivate = true
      if let file = core.notes.file(at: segment.start) {
        mapping.offset = file.offset &+ (segment.start - file.start)
        (mapping.inode, mapping.path) = (file.number, file.path)
      }
      mappings.append(mapping)
    }
    // A debugger leaves out segments of which it would write nothing. Their rights are not known;
    // what may be written it does not leave out.
    for file in core.notes.files where mapping(of: file.start) == nil {
      var mapping = Mapping()
      (mapping.start, mapping.end, mapping.offset) = (file.start, file.end, file.offset)
      (mapping.inode, mapping.path) = (file.number, file.path)
      (mapping.isReadable, mapping.isExecutable, mapping.isPrivate) = (true, true, true)
      left.append(mapping)
    }
    mappings += left
    mappings.sort { $0.start < $1.start }
  }

  var isEmpty: Bool { mappings.isEmpty }

  /// The first address that can be read.
  var firstReadable: UInt64? {
    for mapping in mappings where mapping.isReadable { return mapping.start }
    return nil
  }

  /// The mapping that contains an address.
  func mapping(of address: UInt64) -> Mapping? { place(of: address).map { mappings[$0] } }

  private func place(of address: UInt64) -> Int? {
    var (low, high) = (0, mappings.count)
    while low < high {
      let middle = (low + high) / 2
      if mappings[middle].end <= address { low = middle + 1 } else { high = middle }
    }
    return low < mappings.count && mappings[low].start <= address ? low : nil
  }

  /// How many mappings an object has at the most, or is then taken to begin by the last of them.
  private static var mostOfAnObject: Int { 4096 }

  /// Which object an address belongs to; nil: none.
  ///
  /// Variables that are 0 at first are in memory without a file, behind the file's own.
  func object(at address: UInt64) -> ObjectPlace? {
    guard var place = place(of: address) else { return nil }
    let last = max(0, place - Self.mostOfAnObject)
    while mappings[place].inode == 0 {
      guard place > last, mappings[place].path.isEmpty,
        mappings[place - 1].end == mappings[place].start
      else { return nil }
      place -= 1
    }
    let mapping = mappings[place]
    var start = mapping.start &- mapping.offset
    while place >= last && (mappings[place].inode == 0 || mappings[place].isSameFile(as: mapping)) {
      if mappings[place].isSameFile(as: mapping) && mappings[place].offset == 0 {
        start = mappings[place].start
        break
      }
      place -= 1
    }
    return ObjectPlace(mapping: mapping, start: start)
  }

  /// Passes the path of a mapping's file, NUL-terminated, to `body`; nil if it has none.
  func withPath<Result>(
    of mapping: Mapping, _ body: (UnsafePointer<UInt8>?) -> Result
  ) -> Result {
    if mapping.path.isEmpty || bytes[mapping.path.lowerBound] != 0x2F { return body(nil) }
    var path = [UInt8](bytes[mapping.path])
    path.append(0)
    return path.withUnsafeBufferPointer { body($0.baseAddress) }
  }

  /// Reads a line: `start-end rwxp offset major:minor inode path`.
  private func parse(_ place: inout Int) -> Mapping? {
    var found = Mapping()
    guard let start = bytes.hexadecimal(at: &place), skip(0x2D, &place),
      let end = bytes.hexadecimal(at: &place), skip(0x20, &place), place + 5 <= bytes.count
    else { return nil }
    (found.start, found.end) = (start, end)
    found.isReadable = bytes[place] == UInt8(ascii: "r")
    found.isWritable = bytes[place + 1] == UInt8(ascii: "w")
    found.isExecutable = bytes[place + 2] == UInt8(ascii: "x")
    found.isPrivate = bytes[place + 3] == UInt8(ascii: "p")
    place += 4
    guard skip(0x20, &place), let offset = bytes.hexadecimal(at: &place), skip(0x20, &place),
      let major = bytes.hexadecimal(at: &place), skip(0x3A, &place),
      let minor = bytes.hexadecimal(at: &place), skip(0x20, &place),
      let inode = bytes.number(at: place), start < end
    else { return nil }
    (found.offset, found.device, found.inode) = (offset, major << 32 | minor, inode)
    while place < bytes.count && bytes[place] >= 0x30 && bytes[place] <= 0x39 { place += 1 }
    while place < bytes.count && bytes[place] == 0x20 { place += 1 }
    var last = place
    while last < bytes.count && bytes[last] != 0x0A { last += 1 }
    found.path = place..<last
    place = last
    return found
  }

  private func skip(_ byte: UInt8, _ place: inout Int) -> Bool {
    guard place < bytes.count, bytes[place] == byte else { return false }
    place += 1
    return true
  }
}

/// The object that an address belongs to.
struct ObjectPlace {
  /// One of its mappings, which has its file.
  let mapping: AddressMap.Mapping
  /// Where its first byte is.
  let start: UInt64
}
