import CPlatform

/// The registries and live tasks of a target at one moment.
///
/// A task that lives from the beginning to the end of the reading is in it once, and what is said of a
/// task was so at one moment of it.
struct Snapshot {
  let target: Target
  let root: ReaderRoot
  let clocks: ClockPair
  let registries: [ListedRegistry]
  let tasks: [ListedTask]
  /// Whether something could not be read, and may be missing.
  let isIncomplete: Bool

  /// Reads a target; of all of its tables with one budget.
  init(of target: Target, _ root: ReaderRoot, _ budget: inout ReadingBudget) {
    self.target = target
    self.root = root
    clocks = target.clocks
    let isCut = target.core?.missing ?? 0 > 0
    if root.isForked {
      registries = []
      tasks = []
      isIncomplete = isCut
      return
    }
    root.takeKindNames()
    let list = RegistryList(root, &budget)
    var reader = TaskReader(root)
    var found: [ListedTask] = []
    var isWhole = !list.isIncomplete
    for (place, registry) in list.registries.enumerated() {
      let before = found.count
      let isRead = reader.read(registry, at: place, into: &found, &budget)
      // If it was on its list all the time, what was read was its memory; if not, its tasks have
      // ended.
      if !RegistryList.isListed(registry, root) {
        found.removeLast(found.count - before)
        continue
      }
      if !isRead { isWhole = false }
      budget.tasks -= found.count - before
    }
    registries = list.registries
    tasks = found
    // What a core file lacks at its end may be read from the program's file, as it was at its start.
    isIncomplete = !isWhole || !target.isAlive || isCut
  }

  /// The registry, of a task or not, that is not a group and contains another.
  func root(ofRegistry place: Int) -> ListedRegistry {
    var place = place
    while registries[place].parent >= 0 { place = registries[place].parent }
    return registries[place]
  }
}
