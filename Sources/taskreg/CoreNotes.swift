import CPlatform

/// The notes of a core file: the process, its threads, and the files that it had mapped.
///
/// They may say anything: what does not fit is left out.
struct CoreNotes {
  /// The id of the process; 0 if there is no note of it.
  private(set) var process: Int32 = 0
  /// Its name, NUL-terminated.
  private(set) var name: [UInt8] = [0]
  /// Its threads, in the order of the file: the one that the signal hit is the first.
  private(set) var threads: [CoreThread] = []
  private(set) var files: [MappedFile] = []
  /// The paths of these.
  private(set) var paths: [UInt8] = []
  /// The ids of the threads in their order, with their places in `threads`.
  private var places: [(id: Int32, place: Int)] = []

  /// A part of a file that was mapped.
  struct MappedFile {
    let start: UInt64
    let end: UInt64
    /// Where in the file it begins.
    let offset: UInt64
    /// Where in `paths` its path is, and a number that no other path has.
    var path: Range<Int> = 0..<0
    var number: UInt64 = 0
  }

  /// The most bytes of a note that are read, and the most notes.
  private static var mostBytes: UInt64 { 1 << 24 }
  private static var most: Int { 1 << 22 }
  /// The most threads, and the most mapped files.
  private static var mostThreads: Int { 1 << 20 }
  private static var mostFiles: Int { 1 << 17 }

  /// A thread; nil if there is none.
  func thread(_ id: Int32) -> CoreThread? {
    var (low, high) = (0, places.count)
    while low < high {
      let middle = (low + high) / 2
      if places[middle].id < id { low = middle + 1 } else { high = middle }
    }
    return low < places.count && places[low].id == id ? threads[places[low].place] : nil
  }

  /// The mapped file that has an address.
  func file(at address: UInt64) -> MappedFile? {
    var (low, high) = (0, files.count)
    while low < high {
      let middle = (low + high) / 2
      if files[middle].end <= address { low = middle + 1 } else { high = middle }
    }
    return low < files.count && files[low].start <= address ? files[low] : nil
  }

  /// Reads the notes of a part of a file.
  ///
  /// - Parameters:
  ///   - descriptor: the file.
  ///   - offset: where the notes begin.
  ///   - size: how many bytes they have.
  mutating func read(_ descriptor: Int32, at offset: UInt64, size: UInt64) {
    var place: UInt64 = 0
    var count = 0
    // A note has the sizes of its name and its contents, its type, and then these two, each filled up
    // to a word.
    while size >= 12, place <= size - 12, count < Self.most {
      count += 1
      var head: (UInt32, UInt32, UInt32) = (0, 0, 0)
      let isRead = withUnsafeMutableBytes(of: &head) {
        cp_read_at(descriptor, offset &+ place, $0.baseAddress, 12)
      }
      let contents = place + 12 + (UInt64(head.0) + 3) & ~3
      let end = contents + (UInt64(head.1) + 3) & ~3
      if !isRead || contents + UInt64(head.1) > size { break }
      if head.0 == 5 && Self.isTaken(head.2) && UInt64(head.1) <= Self.mostBytes {
        var bytes = [UInt8](repeating: 0, count: Int(head.1))
        let has = bytes.withUnsafeMutableBytes {
          cp_read_at(descriptor, offset &+ contents, $0.baseAddress, $0.count)
        }
        if has { take(head.2, bytes) }
      }
      place = end
    }
    places = threads.indices.map { (threads[$0].id, $0) }
    places.sort { $0.id != $1.id ? $0.id < $1.id : $0.place < $1.place }
  }

  private static func isTaken(_ type: UInt32) -> Bool {
    type == UInt32(NT_PRSTATUS) || type == UInt32(NT_PRPSINFO) || type == UInt32(NT_FILE)
  }

  private mutating func take(_ type: UInt32, _ bytes: [UInt8]) {
    if type == UInt32(NT_FILE) { return takeFiles(bytes) }
    bytes.withUnsafeBytes { bytes in
      if type == UInt32(NT_PRSTATUS) {
        var thread = cp_core_thread()
        let isThread = cp_read_core_thread(bytes.baseAddress, bytes.count, &thread)
        if isThread && thread.id > 0 && threads.count < Self.mostThreads {
          threads.append(CoreThread(facts: thread))
        }
        return
      }
      var name: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
      withUnsafeMutableBytes(of: &name) { room in
        // SAFETY: never empty.
        let text = room.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: CChar.self)
        if !cp_read_core_process(bytes.baseAddress, bytes.count, &process, text, 32) { return }
        self.name = room[0...strlen(text)].map { $0 }
      }
      process = max(0, process)
    }
  }

  /// Takes the table of files: their number and the size of a page; of each the addresses of its
  /// beginning and its end, and its first page; and then the paths, one behind the other.
  private mutating func takeFiles(_ bytes: [UInt8]) {
    func word(_ place: Int) -> UInt64 {
      bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: place * 8, as: UInt64.self) }
    }
    guard bytes.count >= 16, files.isEmpty, word(0) <= UInt64(bytes.count - 16) / 24 else { return }
    let count = min(Int(word(0)), Self.mostFiles)
    var path = 16 + 24 * Int(word(0))
    paths = bytes
    for number in 0..<count {
      let (start, end) = (word(2 + 3 * number), word(3 + 3 * number))
      var file = MappedFile(start: start, end: end, offset: word(4 + 3 * number) &* word(1))
      let first = path
      while path < bytes.count && bytes[path] != 0 { path += 1 }
      file.path = first..<path
      path = min(path + 1, bytes.count)
      var digest = cp_hash_start()
      for place in file.path { digest = (digest ^ UInt64(bytes[place])) &* 1_099_511_628_211 }
      file.number = digest | 1
      if start < end && !file.path.isEmpty { files.append(file) }
    }
    files.sort { $0.start < $1.start }
  }
}
