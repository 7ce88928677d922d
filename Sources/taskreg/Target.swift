import CPlatform

/// The process that a command reads, and neither stops nor asks; or what a core file has of one.
final class Target {
  /// Its id, as this process knows it.
  let process: Int32
  /// Its id, as it knows it itself; another one in a PID namespace of its own.
  let ownID: Int32
  /// Whether it has, or may have, a PID namespace other than this process's.
  var isInOtherNamespace: Bool {
    core != nil || ThreadNumbers.numbers(process, process).count != 1
  }
  /// A descriptor for it, by which those of its open files are lent; negative if there is none.
  let handle: Int32
  let threads: ThreadNumbers
  let maps: AddressMap
  /// Its name, as the kernel keeps it: NUL-terminated.
  let name: [UInt8]
  /// What is left of it; nil while it lives.
  let core: CoreFile?
  /// The path of that.
  let path: [UInt8]?
  /// When the last event happened that a core file tells of, on its monotonic clock.
  private var lastMoment: Int64 = 0
  var symbols = SymbolCache()
  /// Where this process's C library waits.
  private let trial: (places: WaitPlaces, gap: WaitEdge.Gap)
  private var translated: (places: WaitPlaces, gap: WaitEdge.Gap)?

  // An init that throws is not used: Embedded Swift does not free the object then (6.3.1).
  private init(
    _ process: Int32, _ ownID: Int32, _ handle: Int32, _ maps: AddressMap, _ name: [UInt8],
    _ core: CoreFile?, _ path: [UInt8]?, _ places: (places: WaitPlaces, gap: WaitEdge.Gap)
  ) {
    self.process = process
    self.ownID = ownID
    self.handle = handle
    threads = ThreadNumbers(of: process, differs: ownID != process)
    self.maps = maps
    self.name = name
    self.core = core
    self.path = path
    trial = places
  }

  /// Where its C library's locks wait; see `LockPlaces`.
  var lockPlaces: (places: WaitPlaces, gap: WaitEdge.Gap) {
    if let translated { return translated }
    let places =
      core.map { LockPlaces.translate(trial, to: $0) } ?? LockPlaces.translate(trial, to: maps)
    translated = places
    return places
  }

  /// Finds a process whose memory can be read.
  ///
  /// - Parameters:
  ///   - process: its id.
  ///   - places: where this process's C library waits.
  /// - Returns: the process, with its mappings as they are now.
  /// - Throws: why it cannot be read.
  static func find(
    _ process: Int32, trial places: (places: WaitPlaces, gap: WaitEdge.Gap)
  ) throws(Failure) -> Target {
    let status = try Self.status(of: process)
    let name = Self.name(of: process)
    if let state = status.end(ofLine: "State:\t"), state < status.count,
      status[state] == UInt8(ascii: "Z") || status[state] == UInt8(ascii: "X")
    {
      throw .ended(
        process, name, parent: status.end(ofLine: "PPid:").flatMap { status.number(at: $0) })
    }
    let found = Self.file(of: process, "/maps", most: 1 << 28)
    if found.error != 0 { throw Failure(reading: process, name, found.error, status) }
    let maps = AddressMap(found.bytes)
    if maps.isEmpty { throw .kernelThread(process, name) }
    // The maps may be readable where the memory is not.
    if let first = maps.firstReadable {
      var byte: UInt8 = 0
      let count = Self.read(process, [iovec(first, 1)], &byte, 1)
      if count < 0 && count != -Int(EFAULT) {
        throw Failure(reading: process, name, Int32(truncatingIfNeeded: -count), status)
      }
    }
    return Target(
      process, ThreadNumbers.innermost(process, process) ?? process, cp_open_process(process),
      maps, name, nil, nil, places)
  }

  /// Takes what a core file has.
  ///
  /// - Parameters:
  ///   - path: that of the file, NUL-terminated; "-": standard input.
  ///   - places: where this process's C library waits.
  /// - Returns: the process that it is of.
  /// - Throws: why it cannot be read.
  static func open(
    core path: [UInt8], trial places: (places: WaitPlaces, gap: WaitEdge.Gap)
  ) throws(Failure) -> Target {
    let core = try CoreFile.open(path)
    return Target(
      core.notes.process, core.notes.process, -1, AddressMap(core), core.notes.name, core, path,
      places)
  }

  deinit { if handle >= 0 { cp_close(handle) } }

  /// Appends the path of something in its directory in proc(5).
  func append(_ rest: StaticString, to path: inout FixedText) {
    path.append("/proc/")
    // Another process may have its id by now if it is dead; none has 0.
    path.append(core == nil ? process : 0)
    path.append(rest)
  }

  /// Copies memory.
  ///
  /// - Returns: how many bytes were copied, or a negative error number.
  func read(_ address: UInt64, _ bytes: UnsafeMutableRawPointer?, _ size: Int) -> Int {
    read([iovec(address, size)], bytes, size)
  }

  /// Copies parts of its memory by one call, each after the one before, to places one behind the other.
  ///
  /// - Parameters:
  ///   - parts: 1024 at the most.
  ///   - bytes: where they are copied.
  ///   - size: that of all parts.
  /// - Returns: how many bytes were copied in total, or a negative error number.
  func read(_ parts: [iovec], _ bytes: UnsafeMutableRawPointer?, _ size: Int) -> Int {
    guard let core else { return Self.read(process, parts, bytes, size) }
    guard let bytes else { return -Int(EFAULT) }
    var filled = 0
    for part in parts {
      let count = core.read(part.address, bytes + filled, part.iov_len)
      if count < 0 { return filled == 0 ? count : filled }
      filled += count
      if count < part.iov_len { break }
    }
    return filled
  }

  private static func read(
    _ process: Int32, _ parts: [iovec], _ bytes: UnsafeMutableRawPointer?, _ size: Int
  ) -> Int {
    parts.withUnsafeBufferPointer {
      cp_read_memory(process, $0.baseAddress, $0.count, bytes, size)
    }
  }

  /// What its clocks show: now; or in a core file when it was last known to run, and when the file
  /// was written.
  var clocks: ClockPair {
    core.map { ClockPair(monotonic: lastMoment, wall: $0.writtenAt) } ?? .now
  }

  /// Takes the latest moment that its memory tells of for the time of a core file.
  func findLastMoment(_ roots: [ReaderRoot]) {
    if core == nil { return }
    var budget = ReadingBudget()
    for root in roots {
      lastMoment = max(lastMoment, Snapshot(of: self, root, &budget).lastMoment)
    }
  }

  /// Opens the list of its threads; 0, or the error number.
  func openThreads(_ list: inout cp_thread_list) -> Int32 {
    if core != nil {
      list.fd = -1  // there is nothing to be closed
      return 0
    }
    var error: Int32 = 0
    withFixedText {
      append("/task", to: &$0)
    } _: {
      $0.withMemoryRebound(to: CChar.self, capacity: 1) { error = cp_thread_list_open(&list, $0) }
    }
    return error
  }

  /// Whether it is still there, with its memory.
  var isAlive: Bool {
    var byte: UInt8 = 0
    guard core == nil else { return true }
    guard let first = maps.firstReadable else { return false }
    return Self.read(process, [iovec(first, 1)], &byte, 1) != -Int(ESRCH)
  }

  private static func file(
    of process: Int32, _ name: StaticString, most: Int
  ) -> (bytes: [UInt8], error: Int32) {
    var found: (bytes: [UInt8], error: Int32) = ([], 0)
    withFixedText {
      $0.append("/proc/")
      $0.append(process)
      $0.append(name)
    } _: {
      found = File.readOrFail($0, most: most)
    }
    return found
  }

  /// Its file `status`, which every user may read, unless proc(5) is mounted with hidepid.
  private static func status(of process: Int32) throws(Failure) -> [UInt8] {
    let found = file(of: process, "/status", most: 1 << 16)
    if found.error == 0 && !found.bytes.isEmpty { return found.bytes }
    let hasProc: StaticString = "/proc/self/status"
    throw File.exists(hasProc.utf8Start) ? .noProcess(process) : .noProc
  }

  private static func name(of process: Int32) -> [UInt8] {
    var name = file(of: process, "/comm", most: 64).bytes
    if name.last == 0x0A { name.removeLast() }
    name.append(0)
    return name
  }
}

/// A part of a target's memory.
extension iovec {
  init(_ address: UInt64, _ size: Int) {
    // SAFETY: it is only passed on to the kernel.
    self.init(iov_base: UnsafeMutableRawPointer(bitPattern: UInt(address)), iov_len: size)
  }

  var address: UInt64 { UInt64(UInt(bitPattern: iov_base)) }
}
