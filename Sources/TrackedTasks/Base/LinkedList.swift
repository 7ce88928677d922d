/// The neighbours of an element on a list; a field of the element.
struct ListLinks<Element> {
  fileprivate(set) var previous: Element?
  fileprivate(set) var next: Element?
}

/// Which links of its elements a list uses, as an element can be on several lists.
protocol ListPlace {
  /// A pointer to what is listed, or a reference that is one: copying it counts nothing.
  associatedtype Element: Equatable

  /// The links of an element.
  ///
  /// Its accessors load and store. They do not pass the field on inout, as ThreadSanitizer takes
  /// that for a change of the whole of the element, whose other fields belong to other threads.
  static subscript(element: Element) -> ListLinks<Element> { get set }
}

/// A doubly linked list through its elements: it needs no memory of its own, and any element can be
/// removed from it.
///
/// Nothing here locks, allocates or counts references; whoever has a list guards it, and the links
/// of its elements with it.
///
/// L1: `previous` of an element's `next` is the element, and vice versa; that of the first, and
///     `next` of the last, is nil.
/// L2: both links of an element that is not on the list are nil, so that looking at it and at
///     `first` says whether it is.
/// L3: an element that is on the list stays valid until it is removed.
///
/// Some lists are not of this type. `CancelCallbacks` has an atomic first element, which is read
/// without the lock. The stacks of `RecordPool` and what is requested of `SignalWatch` and
/// `DeferredFree` are changed without a lock. `TimerQueue` is a heap. What is only put in front and
/// taken as a whole, or searched, has one link: departed and spare workers, their batches, the
/// regions of `StackArena`, the buckets of `HandleCheck`.
struct LinkedList<Place: ListPlace> {
  typealias Element = Place.Element

  private(set) var first: Element?
  private(set) var last: Element?

  var isEmpty: Bool { first == nil }

  /// Whether the element is on the list.
  ///
  /// Requires that it is on no other list by these links.
  func contains(_ element: Element) -> Bool {
    first == element || Place[element].previous != nil
  }

  /// The element after `element`, which is on the list; with nil, the first.
  func element(after element: Element?) -> Element? {
    guard let element else { return first }
    return Place[element].next
  }

  /// Adds an element, which is not on the list, before all others.
  mutating func prepend(_ element: Element) {
    let next = first
    Place[element].next = next
    if let next {
      Place[next].previous = element
    } else {
      last = element
    }
    first = element
  }

  /// Adds an element, which is not on the list, after all others.
  mutating func append(_ element: Element) {
    let previous = last
    Place[element].previous = previous
    if let previous {
      Place[previous].next = element
    } else {
      first = element
    }
    last = element
  }

  /// Removes an element; one that is not on the list is left alone.
  ///
  /// - Returns: whether it was on the list.
  @discardableResult
  mutating func remove(_ element: Element) -> Bool {
    if !contains(element) { return false }
    let (previous, next) = (Place[element].previous, Place[element].next)
    Place[element] = ListLinks()
    if let previous {
      Place[previous].next = next
    } else {
      first = next
    }
    if let next {
      Place[next].previous = previous
    } else {
      last = previous
    }
    return true
  }

  /// Removes the first element; nil if there is none.
  mutating func takeFirst() -> Element? {
    guard let element = first else { return nil }
    remove(element)
    return element
  }

  /// Ends the program unless L1 holds.
  func checkLinks() {
    var previous: Element?
    var element = first
    while let current = element {
      if Place[current].previous != previous {
        fatalError("L1: the links of a list disagree")
      }
      previous = current
      element = Place[current].next
    }
    if last != previous { fatalError("L1: the last element of a list is another") }
  }
}
