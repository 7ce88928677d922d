import CPlatform

/// The search for the ends of chains, and for circles, which have none (Q4).
extension ReportReference {
  /// Finds the end of each chain, and the circles, which have none; they are proven again.
  ///
  /// A node has one edge at the most, so a walk ends, comes to one of an earlier walk, or closes a
  /// circle.
  func findCircles() {
    let count = nodeCount
    guard let memory = malloc(count * 8) else { return }
    // 0: not seen; else the number of the walk that came here first.
    let seen = memory.bindMemory(to: Int32.self, capacity: 2 * count)
    seen.initialize(repeating: 0, count: 2 * count)
    // The node at the end of the chain, or the first one found of a circle.
    let end = seen + count
    for first in 0..<count {
      var node = first
      var last = first
      let walk = Int32(first + 1)
      while node >= 0 && seen[node] == 0 {
        seen[node] = walk
        last = node
        node = Int(holder(ofNode: node).node)
      }
      let found = node < 0 ? Int32(last) : seen[node] == walk ? Int32(node) : end[node]
      if node >= 0 && seen[node] == walk { addCircle(at: node) }
      var passed = first
      while passed >= 0 && seen[passed] == walk && passed != node {
        end[passed] = found
        passed = Int(holder(ofNode: passed).node)
      }
      if node >= 0 && seen[node] == walk { markCircle(at: node, end) }
    }
    for node in 0..<count {
      let holder = Int(holder(ofNode: node).node)
      if holder < 0 { continue }
      var direct = heldUp(ofNode: holder)
      let edge = edge(ofNode: node)
      if edge.isForEnd {
        direct.hasEnds = true
        if direct.waiter < 0 { direct.waiter = Int32(node) }
      } else {
        if direct.hasLocks && self.edge(ofNode: Int(direct.waiter)).address != edge.address {
          direct.hasSeveralLocks = true
        }
        if !direct.hasLocks { direct.waiter = Int32(node) }
        direct.hasLocks = true
      }
      if node < pointer.pointee.stragglerCount { direct.direct += 1 }
      setHeldUp(holder, direct)
      if self.holder(ofNode: node).isDoubtful(edge) { spreadDoubt(from: holder) }
      if node >= pointer.pointee.stragglerCount || Int(end[node]) == node { continue }
      var last = heldUp(ofNode: Int(end[node]))
      last.tasks += 1
      setHeldUp(Int(end[node]), last)
    }
    free(memory)
  }

  /// Whoever is in doubt as a holder may hold up nobody, nor do those that it waits for by that.
  ///
  /// Each node is marked once, so all calls together take a step for each.
  private func spreadDoubt(from first: Int) {
    var node = first
    while node >= 0 {
      var held = heldUp(ofNode: node)
      if held.isDoubtful { return }
      held.isDoubtful = true
      setHeldUp(node, held)
      node = Int(holder(ofNode: node).node)
    }
  }

  private func markCircle(at first: Int, _ end: UnsafeMutablePointer<Int32>) {
    var node = first
    repeat {
      end[node] = Int32(first)
      node = Int(holder(ofNode: node).node)
    } while node != first
  }

  private func addCircle(at node: Int) {
    let number = pointer.pointee.graph.circleCount
    if number == WaitGraph.mostCircles || !isStillThere(circleAt: node) { return }
    pointer.pointee.graph.circles[number] = Int32(node)
    pointer.pointee.graph.circleCount = number + 1
    var next = node
    repeat {
      var held = heldUp(ofNode: next)
      held.isInCircle = true
      setHeldUp(next, held)
      next = Int(holder(ofNode: next).node)
    } while next != node
  }

  /// Whether each thread of a circle still waits for the next, and none has run since its edge was
  /// proven: then all edges were there at one moment.
  private func isStillThere(circleAt first: Int) -> Bool {
    var node = first
    repeat {
      var again = probe(ofNode: node)
      again.call = ThreadProbe.call(ofThread: threadID(ofNode: node))
      if node < pointer.pointee.stragglerCount, stragglers[node].wait != nil {
        if !stragglers[node].isStillWaiting(again.call) { return false }
      } else {
        again.findEdge(ofThread: threadID(ofNode: node))
        if again.edge != edge(ofNode: node) { return false }
      }
      if ThreadProbe.hasRun(thread: threadID(ofNode: node), since: again.runMark) { return false }
      node = Int(holder(ofNode: node).node)
    } while node != first
    return true
  }
}
