import CPlatform

/// The instructions with which the target's C library waits (`WaitPlaces`).
///
/// This process has found out where its own C library does (`LockTrial`). If the target has mapped
/// the same file, its instructions are at the same places of that. If not, as in a container or in a
/// program that is linked statically, no lock is taken for one of glibc's.
enum LockPlaces {
  /// The places in the target; or why they are not known.
  static func translate(
    _ own: (places: WaitPlaces, gap: WaitEdge.Gap), to target: AddressMap
  ) -> (places: WaitPlaces, gap: WaitEdge.Gap) {
    if own.gap != .none { return own }
    let path: StaticString = "/proc/self/maps"
    let maps = AddressMap(File.read(path.utf8Start, most: 1 << 24))
    let found = own.places
    guard let mutex = translate(found.mutex, maps, target),
      let robust = translate(found.robust, maps, target),
      let timed = translate(found.timed, maps, target),
      let signal = translate(found.signal, maps, target)
    else { return (WaitPlaces(), .otherLibrary) }
    return (WaitPlaces(mutex: mutex, robust: robust, timed: timed, signal: signal), .none)
  }

  private static func translate(
    _ address: UInt64, _ own: AddressMap, _ target: AddressMap
  ) -> UInt64? {
    guard let mapping = own.mapping(of: address) else { return nil }
    let offset = address - mapping.start + mapping.offset
    for other in target.mappings where other.isExecutable && other.isSameFile(as: mapping) {
      if offset >= other.offset && offset - other.offset < other.end - other.start {
        return other.start + (offset - other.offset)
      }
    }
    return nil
  }
}
