import CPlatform

/// The stacks of a registry's threads, many to a mapping.
///
/// A stack of its own costs a thread two mappings, its guard page being one, and
/// `vm.max_map_count` then ends a program at about 32 000 threads. Here a region holds up to 64
/// stacks, and Linux 6.13 and newer make the guard pages inside it without a mapping of their own
/// (`MADV_GUARD_INSTALL`, madvise(2)); older kernels get `mprotect`.
///
/// A stack belongs to its worker for as long as both live, so that there is nothing to free but
/// whole regions. Part of what the registry's Monitor guards.
///
/// A1: `next` ..< `end` are the stacks of the newest region that no worker has.
struct StackArena {
  /// The newest region, which links to the one before.
  private var newest: UnsafeMutablePointer<Region>?
  private var next = 0
  private var end = 0

  /// A run of stacks in one mapping.
  struct Region {
    var previous: UnsafeMutablePointer<Region>?
    let base: UnsafeMutableRawPointer
    let byteCount: Int
  }

  /// Takes a stack, the lowest page of which is its guard; nil if a region has to be added first.
  mutating func take(stackSize: Int, page: Int) -> UnsafeMutableRawPointer? {
    if next == end { return nil }
    let stack = UnsafeMutableRawPointer(bitPattern: next)
    next += stackSize + page
    return stack
  }

  /// Adds a region made by `makeRegion`.
  ///
  /// The few stacks left in the one before are given up.
  mutating func add(_ region: UnsafeMutablePointer<Region>) {
    region.pointee.previous = newest
    newest = region
    next = Int(bitPattern: region.pointee.base)
    end = next + region.pointee.byteCount
  }

  /// Whether the arena has a region already: the first one is small.
  var isEmpty: Bool { newest == nil }

  /// Maps a region for `count` stacks; nil if the system refuses.
  ///
  /// Called without the lock.
  static func makeRegion(count: Int, stackSize: Int, page: Int) -> UnsafeMutablePointer<Region>? {
    let (bytes, overflow) = (stackSize + page).multipliedReportingOverflow(by: count)
    if overflow { return nil }
    guard let header = malloc(MemoryLayout<Region>.size) else { return nil }
    guard let memory = cp_map_stacks(bytes) else {
      free(header)
      return nil
    }
    let region = header.bindMemory(to: Region.self, capacity: 1)
    region.initialize(to: Region(previous: nil, base: memory, byteCount: bytes))
    for number in 0..<count {
      if !cp_install_guard(memory + number * (stackSize + page), page) {
        unmap(region)
        return nil
      }
    }
    return region
  }

  private static func unmap(_ region: UnsafeMutablePointer<Region>) {
    cp_unmap(region.pointee.base, region.pointee.byteCount)
    free(region)
  }

  /// Unmaps everything.
  ///
  /// Requires that no thread runs on a stack of the arena.
  func destroy() {
    var region = newest
    while let current = region {
      region = current.pointee.previous
      Self.unmap(current)
    }
  }
}

/// Bytes of a page of memory.
var pageSize: Int { Int(sysconf(Int32(_SC_PAGESIZE))) }
