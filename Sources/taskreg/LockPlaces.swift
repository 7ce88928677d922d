import CPlatform

/// The instructions with which the target's C library waits, and the word that a join waits for
/// (`WaitPlaces`).
///
/// This process has found out where its own C library does (`LockTrial`). If the target has mapped
/// the same file, its instructions are at the same places of that; in a core file, one with the same
/// build id. If not, as in a container or in a
/// program that is linked statically, no lock is taken for one of glibc's.
enum LockPlaces {
  /// The places in the target; or why they are not known.
  static func translate(
    _ own: (places: WaitPlaces, gap: WaitEdge.Gap), to target: AddressMap
  ) -> (places: WaitPlaces, gap: WaitEdge.Gap) {
    if own.gap != .none { return own }
    return translate(own.places, maps) { offset, mapping in
      for other in target.mappings where other.isExecutable && other.isSameFile(as: mapping) {
        if let place = place(of: offset, in: other) { return place }
      }
      return nil
    }
  }

  /// The same for a core file.
  static func translate(
    _ own: (places: WaitPlaces, gap: WaitEdge.Gap), to core: CoreFile
  ) -> (places: WaitPlaces, gap: WaitEdge.Gap) {
    if own.gap != .none { return own }
    let (maps, target) = (maps, AddressMap(core))
    guard let library = maps.mapping(of: own.places.mutex),
      let number = number(of: library, maps, in: core, target)
    else { return (WaitPlaces(), .otherLibrary) }
    return translate(own.places, maps) { offset, mapping in
      if !mapping.isSameFile(as: library) { return nil }
      for other in target.mappings where other.isExecutable && other.inode == number {
        if let place = place(of: offset, in: other) { return place }
      }
      return nil
    }
  }

  private static var maps: AddressMap {
    let path: StaticString = "/proc/self/maps"
    return AddressMap(File.read(path.utf8Start, most: 1 << 24))
  }

  /// The number of the file that a core file names and that is this process's file of a mapping.
  private static func number(
    of mapping: AddressMap.Mapping, _ maps: AddressMap, in core: CoreFile, _ target: AddressMap
  ) -> UInt64? {
    let descriptor = maps.withPath(of: mapping) { path in
      path.map { cp_open_file(UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self)) } ?? -1
    }
    if descriptor < 0 { return nil }
    defer { cp_close(descriptor) }
    var (last, tries) = (UInt64(0), 0)
    for other in target.mappings where other.isExecutable && other.inode != 0 {
      if other.inode == last { continue }
      (last, tries) = (other.inode, tries + 1)
      if tries > mostTries { return nil }
      if FilesOnDisk.compare(descriptor, with: last, in: core) == .same { return last }
    }
    return nil
  }

  /// The most files of a core file that are compared with this process's C library.
  private static var mostTries: Int { 1024 }

  private static func translate(
    _ own: WaitPlaces, _ maps: AddressMap,
    _ find: (_ offset: UInt64, _ mapping: AddressMap.Mapping) -> UInt64?
  ) -> (places: WaitPlaces, gap: WaitEdge.Gap) {
    func translate(_ address: UInt64) -> UInt64? {
      maps.mapping(of: address).flatMap { find(address - $0.start + $0.offset, $0) }
    }
    guard let mutex = translate(own.mutex), let robust = translate(own.robust),
      let timed = translate(own.timed), let signal = translate(own.signal)
    else { return (WaitPlaces(), .otherLibrary) }
    return (
      WaitPlaces(
        mutex: mutex, robust: robust, timed: timed, signal: signal, endWord: own.endWord), .none
    )
  }

  /// Where an offset of a file is in a mapping of it.
  private static func place(of offset: UInt64, in other: AddressMap.Mapping) -> UInt64? {
    if offset >= other.offset && offset - other.offset < other.end - other.start {
      return other.start + (offset - other.offset)
    }
    return nil
  }
}
