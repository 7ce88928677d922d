/// A registry or group of a target, as it is on a list.
struct ListedRegistry {
  /// Its address in the target.
  let address: UInt64
  /// Its number on the list, which no other has or had.
  let number: UInt64
  /// The place of the registry that contains it in `RegistryList`; -1 for one that is not a group.
  let parent: Int
  let depth: Int
  var path = GroupPath()
  /// Empty if it has none.
  var name = TaskName()
  var gate = GateWord(bits: 0)
  /// How many tasks have ended: returned, failed, exited, withdrawn.
  var endings: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
  var rejected: UInt64 = 0
}

/// The registries of a target with their groups, parents before their groups.
///
/// The target goes on meanwhile, and may have been stopped in the middle of a change. A list is
/// followed without its lock: an element has a number while it is on the list, smaller than that of
/// the element before. If it has the same number before and after its link was read, the link was
/// that of the list at that moment. So whoever is on the list from the beginning of the walk to its
/// end is found. A walk that comes to an element without that returns to the one before, if that is
/// still on the list, or else begins again; after many tries, as in a target that is stopped while it
/// removes an element, such an element is passed.
struct RegistryList {
  private(set) var registries: [ListedRegistry] = []
  /// Whether a list changed so often that some may be missing.
  private(set) var isIncomplete = false

  /// How often a walk begins again, and how often it returns by an element.
  private static var mostTries: Int { 20 }
  private static var mostReturns: Int { 200 }
  /// How many elements are passed: one is removed at a time.
  private static var mostPassed: Int { 64 }
  /// How deep groups are in groups: the path of a deeper one has no room for all of their names.
  private static var mostDepth: Int { 128 }

  /// - Parameters:
  ///   - root: for reading.
  ///   - budget: from which is taken what was found, and each step.
  init(_ root: ReaderRoot, _ budget: inout ReadingBudget) {
    guard root.hasRegistries, let list = root.word(at: root[.list]), list != 0 else { return }
    add(root, from: list &+ root[.firstRegistry], .nextRegistry, parent: -1, &budget)
    var place = 0
    while place < registries.count {
      let parent = registries[place].address
      if registries[place].depth == Self.mostDepth {
        isIncomplete = true
      } else if let monitor = root.word(at: parent &+ root[.monitor]) {
        add(root, from: monitor &+ root[.firstGroup], .nextGroup, parent: place, &budget)
      }
      place += 1
    }
  }

  /// Whether a registry of the list is still on it.
  static func isListed(_ registry: ListedRegistry, _ root: ReaderRoot) -> Bool {
    root.word(at: registry.address &+ root[.listNumber]) == registry.number
  }

  private mutating func add(
    _ root: ReaderRoot, from head: UInt64, _ next: ReaderWord, parent: Int,
    _ budget: inout ReadingBudget
  ) {
    var found: [(address: UInt64, number: UInt64)] = []
    var tries = 0
    while !walk(root, from: head, next, parent: parent, passes: false, &found, &budget) {
      tries += 1
      if tries < Self.mostTries { continue }
      if !walk(root, from: head, next, parent: parent, passes: true, &found, &budget) {
        isIncomplete = true
      }
      break
    }
    let depth = parent < 0 ? 0 : registries[parent].depth + 1
    for one in found {
      var registry = ListedRegistry(
        address: one.address, number: one.number, parent: parent, depth: depth)
      if !Self.read(&registry, root) { continue }
      if budget.registries == 0 {
        isIncomplete = true
        return
      }
      budget.registries -= 1
      registries.append(registry)
    }
  }

  /// Walks over a list once, and adds what is not among the found.
  ///
  /// - Parameters:
  ///   - root: for reading.
  ///   - head: where the address of the first element is.
  ///   - next: where in an element that of the next is.
  ///   - parent: the place of the registry whose list it is.
  ///   - passes: whether elements are passed that seem not to be on the list.
  ///   - found: what has been found.
  ///   - budget: from which each step is taken.
  /// - Returns: whether the walk came to the end.
  private func walk(
    _ root: ReaderRoot, from head: UInt64, _ next: ReaderWord, parent: Int, passes: Bool,
    _ found: inout [(address: UInt64, number: UInt64)], _ budget: inout ReadingBudget
  ) -> Bool {
    let expected = parent < 0 ? 0 : registries[parent].address
    guard var element = root.word(at: head) else { return false }
    var last = UInt64.max
    // Of the last element that was on the list: where its link is, and its address.
    var before: (link: UInt64, address: UInt64) = (head, 0)
    var (returns, passed) = (0, 0)
    // What other tries have found is in the same order.
    var known = 0
    while element != 0 {
      if budget.steps == 0 { return false }
      budget.steps -= 1
      let listNumber = element &+ root[.listNumber]
      guard
        let words = root.read([
          (listNumber, 1), (element &+ root[next], 1), (element &+ root[.parent], 1),
          (listNumber, 1),
        ])
      else { return false }
      let (number, following, its, again) = (words[0], words[1], words[2], words[3])
      if number == again && number != 0 && number < last && its == expected {
        while known < found.count && found[known].number > number { known += 1 }
        if known == found.count || found[known].number != number {
          found.insert((element, number), at: known)
        }
        last = number
        before = (element &+ root[next], element)
        element = following
      } else if passes && its == expected && passed < Self.mostPassed {
        passed += 1
        element = following
      } else {
        // It was removed, or a new one is in its place. The one before says what comes now.
        returns += 1
        guard returns <= Self.mostReturns, let link = root.word(at: before.link),
          before.address == 0
            || root.word(at: before.address &+ root[.listNumber]) == last
        else { return false }
        element = link
      }
    }
    return true
  }

  /// Reads what is shown of a registry; false if it is on its list no more.
  private static func read(_ registry: inout ListedRegistry, _ root: ReaderRoot) -> Bool {
    let address = registry.address
    let pathCount = Int(root[.pathSize] / 8)
    guard
      let words = root.read([
        (address &+ root[.path], UInt64(pathCount)), (address &+ root[.registryName], 8),
        // In this order, no more have ended than were admitted.
        (address &+ root[.endings], 4), (address &+ root[.gate], 1),
        (address &+ root[.rejected], 1), (address &+ root[.listNumber], 1),
      ]), words[pathCount + 14] == registry.number
    else { return false }
    var text = [UInt64](words[..<pathCount])
    text.append(0)  // which ends it, whatever it is
    text.withUnsafeBytes {
      if let bytes = $0.baseAddress {
        registry.path = GroupPath(whole: bytes.assumingMemoryBound(to: UInt8.self))
      }
    }
    for place in 0..<8 { registry.name.words[place] = words[pathCount + place] }
    registry.name.words[7] &= UInt64.max >> 8
    let endings = pathCount + 8
    registry.endings = (
      words[endings], words[endings + 1], words[endings + 2], words[endings + 3]
    )
    registry.gate = GateWord(bits: words[endings + 4])
    registry.rejected = words[endings + 5]
    return true
  }
}
