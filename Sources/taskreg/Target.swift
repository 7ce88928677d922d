import CPlatform

/// The process that a command reads, and neither stops nor asks.
final class Target {
  /// Its id, as this process knows it.
  let process: Int32
  /// Its id, as it knows it itself; another one in a PID namespace of its own.
  let ownID: Int32
  /// A descriptor for it, by which those of its open files are lent; negative if there is none.
  let handle: Int32
  let threads: ThreadNumbers
  let maps: AddressMap
  /// Its name, as the kernel keeps it: NUL-terminated.
  let name: [UInt8]
  /// Where its C library's locks wait; see `LockPlaces`.
  let lockPlaces: (places: WaitPlaces, gap: WaitEdge.Gap)

  /// Finds a process whose memory can be read.
  ///
  /// - Parameters:
  ///   - process: its id.
  ///   - places: where this process's C library waits.
  /// - Throws: why it cannot be read.
  init(_ process: Int32, trial places: (places: WaitPlaces, gap: WaitEdge.Gap)) throws(Failure) {
    self.process = process
    let status = try Self.status(of: process)
    name = Self.name(of: process)
    if let state = status.end(ofLine: "State:\t"), state < status.count,
      status[state] == UInt8(ascii: "Z") || status[state] == UInt8(ascii: "X")
    {
      throw .ended(
        process, name, parent: status.end(ofLine: "PPid:").flatMap { status.number(at: $0) })
    }
    ownID = ThreadNumbers.innermost(process, process) ?? process
    threads = ThreadNumbers(of: process, differs: ownID != process)
    handle = cp_open_process(process)
    let found = Self.file(of: process, "/maps", most: 1 << 28)
    if found.error != 0 { throw Failure(reading: process, name, found.error, status) }
    maps = AddressMap(found.bytes)
    if maps.isEmpty { throw .kernelThread(process, name) }
    // The maps may be readable where the memory is not.
    if let first = maps.firstReadable {
      var byte: UInt8 = 0
      let count = cp_read_memory(process, first, &byte, 1, 1)
      if count < 0 && count != -Int(EFAULT) {
        throw Failure(reading: process, name, Int32(truncatingIfNeeded: -count), status)
      }
    }
    lockPlaces = LockPlaces.translate(places, to: maps)
  }

  deinit { if handle >= 0 { cp_close(handle) } }

  /// Appends the path of something in its directory in proc(5).
  func append(_ rest: StaticString, to path: inout FixedText) {
    path.append("/proc/")
    path.append(process)
    path.append(rest)
  }

  /// Opens the list of its threads; 0, or the error number.
  func openThreads(_ list: inout cp_thread_list) -> Int32 {
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
    guard let first = maps.firstReadable else { return false }
    return cp_read_memory(process, first, &byte, 1, 1) != -Int(ESRCH)
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
