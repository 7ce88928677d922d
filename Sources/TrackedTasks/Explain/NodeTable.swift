import CPlatform

/// Numbers of stragglers, or of nodes of the graph of waits, by a hash; open addressing.
///
/// It is at most half full, so that places in a row are hardly ever all taken.
struct NodeTable {
  private let places: UnsafeMutablePointer<Int32>
  private let room: Int

  /// Makes two tables for `count` nodes each, in one piece of memory; nil without memory.
  ///
  /// To free the first frees both.
  static func makeTwo(for count: Int) -> (NodeTable, NodeTable)? {
    var room = 64
    while room < 2 * count { room *= 2 }
    guard let memory = malloc(2 * room * MemoryLayout<Int32>.stride) else { return nil }
    let places = memory.bindMemory(to: Int32.self, capacity: 2 * room)
    places.initialize(repeating: -1, count: 2 * room)
    return (NodeTable(places: places, room: room), NodeTable(places: places + room, room: room))
  }

  func free() { CPlatform.free(places) }

  /// Finds a node, or adds one.
  ///
  /// - Parameters:
  ///   - hash: only its low bits count.
  ///   - node: what is added if none is found; negative: nothing.
  ///   - mostProbes: how many places are checked. After that many nothing is added.
  ///   - isWanted: is also called for nodes of other hashes.
  /// - Returns: the first node that is wanted, if there is one.
  @inline(never)
  func find(
    _ hash: UInt64, orAdd node: Int = -1, mostProbes: Int = .max, where isWanted: (Int) -> Bool
  ) -> Int? {
    var place = Int(truncatingIfNeeded: hash) & (room - 1)
    for _ in 0..<min(room, mostProbes) {
      let found = Int(places[place])
      if found < 0 {
        if node >= 0 { places[place] = Int32(node) }
        return nil
      }
      if isWanted(found) { return found }
      place = (place + 1) & (room - 1)
    }
    return nil
  }
}
