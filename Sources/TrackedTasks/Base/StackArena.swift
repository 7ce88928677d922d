import CPlatform

/// The stacks of a registry's threads, many in each mapping.
///
/// With a stack of its own a thread needs two mappings, one of which is the guard, and
/// `vm.max_map_count` then limits a program to about 32 000 threads. Here a region holds up to 64
/// stacks, and Linux 6.13 and newer make the guards inside it without mappings of their own
/// (`MADV_GUARD_INSTALL`, madvise(2)); on older kernels `mprotect` is used.
///
/// A region is as large as all earlier ones together, so that at most half of what is mapped is
/// unused by threads; memory that the program locks (mlockall(2)) is mapped stack by stack. One
/// spawner at a time adds a region. Spawners that come meanwhile do not wait for it: each maps one
/// stack for itself.
///
/// A stack belongs to its worker for as long as both live, so only whole regions are freed. The
/// arena is part of what the registry's Monitor guards.
///
/// Arena1: `next` ..< `end` are the stacks of the newest growth that no worker has.
/// Arena2: `isGrowing` while one spawner is between `take` and `add` or `giveUp`; then `next` == `end`.
struct StackArena {
  /// The regions, each of which links to the one added before.
  private var newest: UnsafeMutablePointer<Region>?
  private var next = 0
  private var end = 0
  private var isGrowing = false
  /// How many stacks there are.
  private var count = 0

  /// A run of stacks in one mapping.
  struct Region {
    var previous: UnsafeMutablePointer<Region>?
    let base: UnsafeMutableRawPointer
    let byteCount: Int
  }

  /// The next step of a worker that needs a stack.
  enum Step {
    case stack(UnsafeMutableRawPointer)
    /// Map a region of `count` stacks, and add it.
    case grow(count: Int)
    /// Another spawner is doing that: map one stack.
    case single
  }

  /// Bytes below each stack that fault on any access.
  ///
  /// A function with large locals that was not compiled with -fstack-clash-protection may go beyond
  /// a page without touching it.
  static var guardSize: Int {
    let page = pageSize
    return ((64 << 10) + page - 1) / page * page
  }

  /// The largest region, and the smallest.
  private static var most: Int { 64 }
  private static var fewest: Int { 4 }

  /// Takes a stack, whose lowest bytes are its guard, or returns what to do to get one.
  mutating func take(stackSize: Int) -> Step {
    if next != end {
      let stack = UnsafeMutableRawPointer(bitPattern: next).unsafelyUnwrapped
      next += stackSize + Self.guardSize
      return .stack(stack)
    }
    if isGrowing { return .single }
    isGrowing = true
    return .grow(count: min(Self.most, max(Self.fewest, count)))
  }

  /// Adds a region that was made after `.grow`.
  ///
  /// - Returns: its first stack, which is the caller's.
  mutating func add(
    _ region: UnsafeMutablePointer<Region>, stackSize: Int
  ) -> UnsafeMutableRawPointer {
    let stack = addSingle(region)
    let stride = stackSize + Self.guardSize
    next = Int(bitPattern: stack) + stride
    end = Int(bitPattern: stack) + region.pointee.byteCount
    count += region.pointee.byteCount / stride - 1
    isGrowing = false
    return stack
  }

  /// There was no memory after `.grow`.
  mutating func giveUp() { isGrowing = false }

  /// Adds a region of one stack, which is the caller's.
  mutating func addSingle(_ region: UnsafeMutablePointer<Region>) -> UnsafeMutableRawPointer {
    region.pointee.previous = newest
    newest = region
    count += 1
    return region.pointee.base
  }

  /// Maps a region for `count` stacks; nil if the system refuses.
  ///
  /// If the system refuses that many, or locks new mappings, the region has one stack. Called
  /// without the lock.
  static func makeRegion(
    count: Int, stackSize: Int, executable: Bool
  ) -> UnsafeMutablePointer<Region>? {
    let isLocked = cp_mappings_are_locked()
    if !isLocked && count > 1 {
      if let region = map(count: count, stackSize, executable: executable, locked: false) {
        return region
      }
    }
    return map(count: 1, stackSize, executable: executable, locked: isLocked)
  }

  private static func map(
    count: Int, _ stackSize: Int, executable: Bool, locked: Bool
  ) -> UnsafeMutablePointer<Region>? {
    let stride = stackSize + guardSize
    let (bytes, overflow) = stride.multipliedReportingOverflow(by: count)
    if overflow { return nil }
    guard let header = malloc(MemoryLayout<Region>.size) else { return nil }
    guard let memory = cp_map_stacks(bytes, executable) else {
      free(header)
      return nil
    }
    let region = header.bindMemory(to: Region.self, capacity: 1)
    region.initialize(to: Region(previous: nil, base: memory, byteCount: bytes))
    for number in 0..<count {
      if !cp_install_guard(memory + number * stride, guardSize, locked) {
        unmap(region)
        return nil
      }
    }
    return region
  }

  /// Maps one stack of any size that belongs to no arena, with its guard below it; nil if the
  /// system refuses.
  static func mapStack(size: Int, executable: Bool) -> UnsafeMutableRawPointer? {
    guard let memory = cp_map_stacks(size + guardSize, executable) else { return nil }
    if cp_install_guard(memory, guardSize, false) { return memory }
    unmapStack(memory, size: size)
    return nil
  }

  /// Unmaps a stack from `mapStack`.
  static func unmapStack(_ stack: UnsafeMutableRawPointer, size: Int) {
    cp_unmap(stack, size + guardSize)
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
