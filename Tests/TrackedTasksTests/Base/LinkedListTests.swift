import Testing

@testable import TrackedTasks

/// An element with a place on two lists.
private struct Node {
  let number: Int
  var links = ListLinks<UnsafeMutablePointer<Node>>()
  var otherLinks = ListLinks<UnsafeMutablePointer<Node>>()
}

private enum NodePlace: ListPlace {
  static subscript(element: UnsafeMutablePointer<Node>) -> ListLinks<UnsafeMutablePointer<Node>> {
    get { element.pointee.links }
    set { element.pointee.links = newValue }
  }
}

private enum OtherPlace: ListPlace {
  static subscript(element: UnsafeMutablePointer<Node>) -> ListLinks<UnsafeMutablePointer<Node>> {
    get { element.pointee.otherLinks }
    set { element.pointee.otherLinks = newValue }
  }
}

extension LinkedList where Element == UnsafeMutablePointer<Node> {
  /// The numbers of the elements, from the first to the last.
  fileprivate var numbers: [Int] {
    var numbers: [Int] = []
    var element = self.element(after: nil)
    while let current = element {
      numbers.append(current.pointee.number)
      element = self.element(after: current)
    }
    return numbers
  }
}

/// The list that the library's structures are linked in.
@Suite struct LinkedListTests {
  private static let count = 6

  private static func withNodes(_ body: ([UnsafeMutablePointer<Node>]) -> Void) {
    let memory = UnsafeMutablePointer<Node>.allocate(capacity: count)
    for number in 0..<count { (memory + number).initialize(to: Node(number: number)) }
    body((0..<count).map { memory + $0 })
    memory.deallocate()
  }

  /// **Proves:** after any sequence of additions at either end and removals, the list has the
  /// elements of an array that the same was done to, in the same order; each element knows whether
  /// it is on the list; a place on another list is not touched (L1, L2).
  ///
  /// **Why it matters:** tokens, groups, waiting threads and idle workers are found by these links
  /// alone: one that is lost is never cancelled or woken, and one that is kept too long is memory
  /// that is gone.
  /// **Catches:** a neighbour, or an end of the list, left as it was; links kept by an element that
  /// was removed.
  @Test(arguments: 0..<40 as Range<UInt64>) func itIsLikeAnArray(seed: UInt64) {
    Self.withNodes { nodes in
      var random = SplitMix(state: seed)
      var list = LinkedList<NodePlace>()
      var other = LinkedList<OtherPlace>()
      for node in nodes { other.append(node) }
      var expected: [Int] = []
      for _ in 0..<300 {
        let node = nodes[random.below(Self.count)]
        let number = node.pointee.number
        let place = expected.firstIndex(of: number)
        switch random.below(5) {
        case 0 where place == nil:
          list.prepend(node)
          expected.insert(number, at: 0)
        case 1 where place == nil:
          list.append(node)
          expected.append(number)
        case 2:
          let first = list.takeFirst()
          #expect(first?.pointee.number == (expected.isEmpty ? nil : expected.removeFirst()))
        default:
          #expect(list.remove(node) == (place != nil))
          if let place { expected.remove(at: place) }
        }
        list.checkLinks()
        if list.numbers != expected { Issue.record("\(list.numbers), not \(expected)") }
        #expect(list.isEmpty == expected.isEmpty)
        #expect(list.first?.pointee.number == expected.first)
        #expect(list.last?.pointee.number == expected.last)
        for node in nodes {
          let isListed = expected.contains(node.pointee.number)
          if list.contains(node) != isListed { Issue.record("\(node.pointee.number) is wrong") }
        }
      }
      other.checkLinks()
      #expect(other.numbers == Array(0..<Self.count))
    }
  }

  /// **Proves:** a walk may remove the element it is at, once it has taken the next one (L3).
  ///
  /// **Why it matters:** cancelling and reaping remove what they have dealt with.
  /// **Catches:** links of the next element that change with those of the present one.
  @Test func aWalkMayRemoveWhatItHasPassed() {
    Self.withNodes { nodes in
      var list = LinkedList<NodePlace>()
      for node in nodes { list.append(node) }
      var seen: [Int] = []
      var element = list.first
      while let current = element {
        element = list.element(after: current)
        seen.append(current.pointee.number)
        if current.pointee.number % 2 == 0 { list.remove(current) }
        list.checkLinks()
      }
      #expect(seen == [0, 1, 2, 3, 4, 5])
      #expect(list.numbers == [1, 3, 5])
    }
  }
}
