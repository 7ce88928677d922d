import CPlatform

/// A table by which a target's registries are found (`ReaderWord`), and reading by it.
struct ReaderRoot {
  let target: Target
  private let words: [UInt64]

  /// Where the tables of a target have been found.
  struct Places {
    /// Whether there is at least one, and each can still be read.
    func areStillThere(in target: Target) -> Bool {
      for address in addresses where !hasCookie(ReaderRoot.read(target, address, 4)) {
        return false
      }
      return !addresses.isEmpty
    }

    private func hasCookie(_ words: [UInt64]) -> Bool {
      let cookie = ReaderWord.cookie
      return words.count == 4 && words[0] == cookie.0 && words[1] == cookie.1
        && words[2] == cookie.2 && words[3] == cookie.3
    }

    fileprivate var mappings: [AddressMap.Mapping] = []
    fileprivate var addresses: [UInt64] = []

    /// Whether they were looked for in the same mappings.
    fileprivate func areOf(_ mappings: [AddressMap.Mapping]) -> Bool {
      if addresses.isEmpty || mappings.count != self.mappings.count { return false }
      for place in mappings.indices where !mappings[place].isSamePart(as: self.mappings[place]) {
        return false
      }
      return true
    }
  }

  /// The tables of a target: one for each copy of the library in it.
  ///
  /// A table is in the data of an object: memory that can be written and begins as a file does. What
  /// else is there the target uses all the time, and each reading of it costs the target time.
  ///
  /// - Parameters:
  ///   - target: the process.
  ///   - known: where they were found the last time; they are looked for again only in other
  ///     mappings.
  /// - Returns: at least one.
  /// - Throws: that there is none, or that one cannot be used.
  static func all(in target: Target, known: inout Places) throws(Failure) -> [ReaderRoot] {
    var found: [ReaderRoot] = []
    let mappings = target.maps.mappings.filter {
      $0.isReadable && $0.isWritable && $0.isPrivate && $0.inode != 0
    }
    if !known.areOf(mappings) {
      known = Places(mappings: mappings)
      var bytes: [UInt8] = []
      for mapping in mappings { search(target, mapping, &bytes, &known.addresses) }
    }
    for address in known.addresses { found.append(try ReaderRoot(at: address, in: target)) }
    if found.isEmpty { throw .noLibrary(target.process, target.name, core: target.path) }
    return found
  }

  /// The most copies of the library that are looked for in a target.
  private static var most: Int { 256 }

  /// Adds the addresses of the tables in a mapping; `bytes` is room.
  private static func search(
    _ target: Target, _ mapping: AddressMap.Mapping, _ bytes: inout [UInt8],
    _ found: inout [UInt64]
  ) {
    let step = 1 << 18
    let room = Int(min(UInt64(step), mapping.end - mapping.start))
    if bytes.count < room { bytes = [UInt8](repeating: 0, count: room) }
    let cookie = ReaderWord.cookie
    var address = mapping.start
    while address < mapping.end {
      let size = Int(min(UInt64(step), mapping.end - address))
      let count = bytes.withUnsafeMutableBytes {
        target.read(address, $0.baseAddress, size)
      }
      if count < 32 { return }
      bytes.withUnsafeBytes { bytes in
        var place = 0
        while place + 32 <= count {
          if bytes.load(fromByteOffset: place, as: UInt64.self) == cookie.0,
            bytes.load(fromByteOffset: place + 8, as: UInt64.self) == cookie.1,
            bytes.load(fromByteOffset: place + 16, as: UInt64.self) == cookie.2,
            bytes.load(fromByteOffset: place + 24, as: UInt64.self) == cookie.3
          {
            if found.count < most { found.append(address + UInt64(place)) }
          }
          place += 8
        }
      }
      // Parts overlap by a cookie but for its last word, unless this was the last part.
      address += UInt64(size == step ? step - 24 : size)
    }
  }

  private init(at address: UInt64, in target: Target) throws(Failure) {
    self.target = target
    let head = Self.read(target, address, UInt64(ReaderWord.end.rawValue))
    let place = ReaderWord.count.rawValue
    // What is behind the table of an older release is not in it.
    let count = head.count > place ? Int(clamping: head[place]) : 0
    words = [UInt64](head.prefix(count))
    if !hasRegistries { return }
    if words[ReaderWord.layout.rawValue] != ReaderWord.currentLayout {
      throw .otherLayout(target.process, target.name, layout: words[ReaderWord.layout.rawValue])
    }
    if !isSound { throw .damagedTable(target.process, target.name) }
  }

  /// Whether there was a registry ever; if not, no other word is of use.
  var hasRegistries: Bool {
    words.count > ReaderWord.layout.rawValue && words[ReaderWord.layout.rawValue] != 0
  }

  /// A word; 0 if the table of an older release does not have it.
  subscript(word: ReaderWord) -> UInt64 {
    word.rawValue < words.count ? words[word.rawValue] : 0
  }

  func has(_ word: ReaderWord) -> Bool { word.rawValue < words.count }

  /// Whether all sizes and offsets are such as the library could have written, so that nothing that
  /// is computed with them is out of range.
  private var isSound: Bool {
    if words.count < ReaderWord.fewest { return false }
    let places: [ReaderWord] = [.list, .forkedPlace, .kindNames, .runClockCount, .evenRunClock]
    for (number, word) in words.enumerated() where number > ReaderWord.count.rawValue {
      var isPlace = number == ReaderWord.oddRunClock.rawValue
      for place in places where place.rawValue == number { isPlace = true }
      if !isPlace && number != ReaderWord.forkedMask.rawValue && word > 1 << 20 { return false }
    }
    return self[.recordSize] >= 64 && self[.recordSize] <= 4096 && self[.recordSize] % 8 == 0
      && self[.activitySize] <= 4096
      && self[.activitySize] % 8 == 0 && self[.messageSize] <= 4096 && self[.nameSize] == 64
      && self[.labelSize] == 128 && self[.pathSize] <= 128 && self[.pathSize] > 0
      && self[.chunkCount] <= 32 && self[.firstChunk] > 0 && self[.firstChunk] <= 65_536
      && self[.kindNameCount] <= 4096 && self[.kindNameSize] <= 64 && isInside
  }

  /// Whether each field is inside of what it is a field of.
  private var isInside: Bool {
    let inRecord: [ReaderWord] = [.taskWord, .taskID, .spawnedAt, .cancelledAt, .worker]
    for word in inRecord where self[word] + 8 > self[.recordSize] { return false }
    // Older releases do not have these.
    let late: [ReaderWord] = [.parentTask, .spawnedFrom]
    for word in late where has(word) && self[word] + 8 > self[.recordSize] { return false }
    // Of 32 bits.
    let halves: [ReaderWord] = [.kind, .threadID, .traits, .cancelChecks]
    for word in halves where self[word] + 4 > self[.recordSize] { return false }
    let inActivity: [ReaderWord] = [
      .heartbeatInterval, .heartbeatAt, .checkpoint, .progressCount, .drainingSince, .labelCount,
      .sampledCPU, .sampledAt,
    ]
    for word in inActivity where self[word] + 8 > self[.activitySize] { return false }
    let lateActivity: [ReaderWord] = [.runCount, .startsAt, .lastEnding, .lastCode]
    for word in lateActivity where has(word) && self[word] + 8 > self[.activitySize] {
      return false
    }
    let slot = max(
      self[.progressDone], self[.progressTotal], self[.progressUnit], self[.progressAt])
    return self[.name] + 64 <= self[.recordSize]
      && max(self[.evenProgress], self[.oddProgress]) + slot + 8 <= self[.activitySize]
      && max(self[.evenLabel], self[.oddLabel]) + 128 <= self[.activitySize]
      && max(self[.kindNameKind], self[.kindNameText]) + 8 <= self[.kindNameSize]
  }

  // MARK: Reading

  /// Reads words; fewer than `count` if memory ends before.
  static func read(_ target: Target, _ address: UInt64, _ count: UInt64) -> [UInt64] {
    var words = [UInt64](repeating: 0, count: Int(count))
    let size = words.count * 8
    let read = words.withUnsafeMutableBytes {
      target.read(address, $0.baseAddress, size)
    }
    words.removeLast(words.count - max(0, read) / 8)
    return words
  }

  /// Reads words, all of them; nil if they cannot be read.
  func read(_ address: UInt64, _ count: UInt64) -> [UInt64]? {
    let words = Self.read(target, address, count)
    return words.count == Int(count) ? words : nil
  }

  /// Reads the words at some addresses by one call, those of each part after those of the part
  /// before; nil if not all can be read.
  func read(_ parts: [(address: UInt64, count: UInt64)]) -> [UInt64]? {
    var count = 0
    for part in parts { count += Int(part.count) }
    let places = parts.map { iovec($0.address, Int($0.count) * 8) }
    var words = [UInt64](repeating: 0, count: count)
    let read = words.withUnsafeMutableBytes { target.read(places, $0.baseAddress, count * 8) }
    return read == count * 8 ? words : nil
  }

  /// Reads a word; nil if it cannot be read.
  func word(at address: UInt64) -> UInt64? {
    var word: UInt64 = 0
    let count = withUnsafeMutableBytes(of: &word) {
      target.read(address, $0.baseAddress, 8)
    }
    return count == 8 ? word : nil
  }

  /// Reads 32 bits; likewise.
  func half(at address: UInt64) -> UInt32? {
    var half: UInt32 = 0
    let count = withUnsafeMutableBytes(of: &half) {
      target.read(address, $0.baseAddress, 4)
    }
    return count == 4 ? half : nil
  }

  /// A text at an address, as a text of this process that is valid until its end; nil if there is
  /// none.
  func text(at address: UInt64) -> UnsafePointer<UInt8>? {
    if address == 0 { return nil }
    var bytes = [UInt8](repeating: 0, count: KeptText.longest + 1)
    let most = KeptText.longest
    // The page behind a text need not be there.
    let inPage = min(most, 4096 - Int(address & 4095))
    let read = bytes.withUnsafeMutableBytes { bytes in
      let count = target.read(address, bytes.baseAddress, inPage)
      if count < inPage || inPage == most { return count }
      return count
        + max(
          0,
          target.read(
            address &+ UInt64(inPage), bytes.baseAddress.unsafelyUnwrapped + inPage, most - inPage))
    }
    if read <= 0 { return nil }
    bytes[read] = 0
    return bytes.withUnsafeBufferPointer { bytes in bytes.baseAddress.map { KeptText.copy(of: $0) }
    }
  }

  /// Whether the target is a child of fork, whose registries are those of its parent.
  var isForked: Bool {
    UInt64(half(at: self[.forkedPlace]) ?? 0) & self[.forkedMask] != 0
  }

  /// The time now on the target's `RunClock`.
  var runClock: Int64 {
    for _ in 0..<100 {
      guard
        let words = read([
          (self[.runClockCount], 1), (self[.evenRunClock], 2), (self[.oddRunClock], 2),
        ])
      else { break }
      let now = target.clocks.monotonic
      if word(at: self[.runClockCount]) != words[0] { continue }
      let slot = words[0] & 1 == 0 ? 1 : 3
      return RunClock.reading(
        at: now, Int64(bitPattern: words[slot]), Int64(bitPattern: words[slot + 1]))
    }
    return target.clocks.monotonic
  }

  /// Gives the kinds the names that they have in the target.
  func takeKindNames() {
    guard let table = word(at: self[.kindNames]), table != 0 else { return }
    let size = self[.kindNameSize]
    for number in 0..<self[.kindNameCount] {
      let slot = table &+ number * size
      guard let kind = half(at: slot &+ self[.kindNameKind]), kind >= 0x100,
        let address = word(at: slot &+ self[.kindNameText]), let name = text(at: address),
        let kept = TaskName(name)
      else { return }
      _ = KindNames.set(kept, of: kind)
    }
  }
}
