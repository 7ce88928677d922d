import CPlatform

/// The search for the task that stands for all that a wait for a whole registry is for (Q4).
///
/// Such a wait has an edge to each task of the registry, and one of them is chosen: first of all
/// one whose chain leads back to the wait, then one whose chain leads to another such wait that is
/// in a circle, or leads to one; else the oldest. Everything takes time in proportion to the number
/// of nodes, times how deep groups are nested, however many such waits there are.
extension ReportReference {
  /// Finds which task stands for all, for each wait for a registry; without memory, none.
  ///
  /// Called when all other edges are known, and while there are references to the stragglers.
  func findMembers() {
    guard let search = MemberSearch(self) else { return }
    search.run()
    search.free()
  }
}

/// The memory of one search.
private struct MemberSearch {
  private let report: ReportReference
  /// How many stragglers and how many nodes there are.
  private let count: Int
  private let nodes: Int
  /// One wait for each of the registries, by the address of that; it stands for the registry.
  private let table: NodeTable
  private let memory: UnsafeMutablePointer<Int32>

  // Of each node:
  /// The wait for a registry to which its chain leads, itself if it is one; -1: none.
  private var end: UnsafeMutablePointer<Int32> { memory }
  /// The next node with the same `end`.
  private var nextToEnd: UnsafeMutablePointer<Int32> { memory + nodes }
  // Of each wait:
  /// The wait that stands for its registry; -1 for other nodes.
  private var registry: UnsafeMutablePointer<Int32> { memory + 2 * nodes }
  /// The next wait for the same registry.
  private var nextWait: UnsafeMutablePointer<Int32> { memory + 3 * nodes }
  /// The first node whose chain leads to it.
  private var firstToEnd: UnsafeMutablePointer<Int32> { memory + 4 * nodes }
  /// A task of the registry whose chain leads back to it; -1: none.
  private var own: UnsafeMutablePointer<Int32> { memory + 5 * nodes }
  // Of each wait that stands for a registry:
  /// How many tasks it has, which is the oldest, and one whose chain leads to a wait that leads on.
  private var members: UnsafeMutablePointer<Int32> { memory + 6 * nodes }
  private var oldest: UnsafeMutablePointer<Int32> { memory + 7 * nodes }
  private var leading: UnsafeMutablePointer<Int32> { memory + 8 * nodes }
  /// How many of its tasks have chains that lead to a wait for a registry that is not out.
  private var ways: UnsafeMutablePointer<Int32> { memory + 9 * nodes }
  /// Registries of which no task's chain leads anywhere, and whose waits are to be taken out.
  private var queue: UnsafeMutablePointer<Int32> { memory + 10 * nodes }
  /// Of each straggler: 1 if it was alive when the search began.
  private var isAlive: UnsafeMutablePointer<Int32> { memory + 11 * nodes }

  init?(_ report: ReportReference) {
    self.report = report
    count = report.pointer.pointee.stragglerCount
    nodes = report.nodeCount
    var waits = 0
    for node in 0..<count where report.stragglers[node].waitsForRegistry != 0 { waits += 1 }
    if waits == 0 { return nil }
    guard let tables = NodeTable.makeTwo(for: waits) else { return nil }
    table = tables.0
    guard let memory = malloc(12 * nodes * MemoryLayout<Int32>.stride) else {
      table.free()
      return nil
    }
    self.memory = memory.bindMemory(to: Int32.self, capacity: 12 * nodes)
    self.memory.initialize(repeating: -1, count: 12 * nodes)
  }

  func free() {
    CPlatform.free(memory)
    table.free()
  }

  func run() {
    for node in 0..<count where report.stragglers[node].waitsForRegistry != 0 { enter(node) }
    findEnds()
    for node in 0..<count where report.isStillRunning(node) {
      isAlive[node] = 1
      countIn(node)
    }
    takeOut()
    for node in 0..<count where isAlive[node] == 1 && end[node] >= 0 { choose(node) }
    for wait in 0..<count where registry[wait] >= 0 { describe(wait) }
  }

  private func hash(_ object: UInt64) -> UInt64 { (object &* 0x9E37_79B9_7F4A_7C15) >> 32 }

  /// The wait that stands for a registry; nil if nobody waits for it.
  private func standing(for object: UInt64, orAdd node: Int = -1) -> Int? {
    table.find(hash(object), orAdd: node) { report.stragglers[$0].waitsForRegistry == object }
  }

  private func enter(_ wait: Int) {
    let first = standing(for: report.stragglers[wait].waitsForRegistry, orAdd: wait) ?? wait
    registry[wait] = Int32(first)
    if first == wait {
      members[wait] = 0
      ways[wait] = 0
    } else {
      nextWait[wait] = nextWait[first]
      nextWait[first] = Int32(wait)
    }
  }

  /// Finds to which wait for a registry each chain leads.
  private func findEnds() {
    // -2: on the way that is being walked, so that a circle is recognised. It has no such end.
    // `queue` remembers which nodes have been walked.
    for first in 0..<nodes {
      var node = Int32(first)
      while node >= 0 && queue[Int(node)] < 0 && registry[Int(node)] < 0 {
        queue[Int(node)] = 0
        end[Int(node)] = -2
        node = report.holder(ofNode: Int(node)).node
      }
      var found: Int32 = -1
      if node >= 0 {
        found = registry[Int(node)] >= 0 ? node : end[Int(node)]
        if found == -2 { found = -1 }
      }
      node = Int32(first)
      while node >= 0 && end[Int(node)] == -2 {
        end[Int(node)] = found
        node = report.holder(ofNode: Int(node)).node
      }
      if registry[first] >= 0 { end[first] = Int32(first) }
    }
  }

  /// Calls `body` with each registry that a straggler is a task of, if others wait for that.
  @inline(never)
  private func forEachRegistry(of node: Int, _ body: (Int) -> Void) {
    // Nobody waits for an unjoined task.
    if report.stragglers[node].activity.isUnjoined { return }
    report.stragglers[node].forEachRegistry { address in
      guard let found = standing(for: address) else { return }
      // A task does not wait for itself.
      if Int(registry[node]) != found { body(found) }
    }
  }

  private func countIn(_ node: Int) {
    let spawned = report.stragglers[node].facts.spawnedAt
    let last = end[node]
    if last >= 0 {
      nextToEnd[node] = firstToEnd[Int(last)]
      firstToEnd[Int(last)] = Int32(node)
    }
    forEachRegistry(of: node) {
      members[$0] += 1
      if last >= 0 { ways[$0] += 1 }
      let before = Int(oldest[$0])
      if before < 0 || spawned < report.stragglers[before].facts.spawnedAt {
        oldest[$0] = Int32(node)
      }
    }
  }

  /// Takes out the waits that lead to no other, again and again: what is left is in a circle, or
  /// leads to one.
  private func takeOut() {
    var filled = 0
    for wait in 0..<count where Int(registry[wait]) == wait && ways[wait] == 0 {
      queue[filled] = Int32(wait)
      filled += 1
    }
    var done = 0
    while done < filled {
      var wait = queue[done]
      done += 1
      while wait >= 0 {
        var node = firstToEnd[Int(wait)]
        while node >= 0 {
          forEachRegistry(of: Int(node)) {
            ways[$0] -= 1
            if ways[$0] > 0 { return }
            queue[filled] = Int32($0)
            filled += 1
          }
          node = nextToEnd[Int(node)]
        }
        wait = nextWait[Int(wait)]
      }
    }
  }

  private func choose(_ node: Int) {
    let wait = Int(end[node])
    let leadsOn = ways[Int(registry[wait])] > 0
    forEachRegistry(of: node) {
      if leadsOn && leading[$0] < 0 { leading[$0] = Int32(node) }
      if Int(registry[wait]) == $0 { own[wait] = Int32(node) }
    }
  }

  private func describe(_ wait: Int) {
    let first = Int(registry[wait])
    report.stragglers[wait].thread.edge.count = UInt32(members[first])
    let member = own[wait] >= 0 ? own[wait] : leading[first] >= 0 ? leading[first] : oldest[first]
    if member >= 0 { report.stragglers[wait].holder = report.describe(Int(member), 0) }
  }
}

extension StragglerFacts {
  /// The address of the registry for the end of all whose tasks the task waits; 0: for none.
  fileprivate var waitsForRegistry: UInt64 {
    guard thread.edge.kind == .tasks, let wait, wait.kind == .tasks else { return 0 }
    return wait.object
  }
}
