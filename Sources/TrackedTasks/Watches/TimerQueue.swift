import CPlatform

/// An action that is due at a certain time; it lives in its owner's memory.
struct Timer {
  typealias Pointer = UnsafeMutablePointer<Timer>

  // immutable after init
  let action: Action

  // Guarded by the timer thread's Monitor.
  /// Nanoseconds on `CLOCK_MONOTONIC`.
  fileprivate(set) var due: Int64 = 0
  fileprivate(set) var isQueued = false
  /// Whether it has a place in the heap, while it is queued; else it is in the ring of one that has.
  fileprivate var isInHeap = false
  fileprivate var firstChild: Pointer?
  fileprivate var nextSibling: Pointer?
  /// The previous sibling, or for the first child the parent.
  fileprivate var previous: Pointer?
  /// The ring of those that are due at the same moment; nil for one alone.
  fileprivate var nextInRing: Pointer?
  fileprivate var previousInRing: Pointer?
  /// Its neighbours in the `EventQueue`.
  fileprivate var eventLinks = ListLinks<Pointer>()

  /// What happens when a timer is due.
  enum Action {
    /// Cancels the token, whose deadline has passed.
    case cancel(TokenReference)
    /// Sends the signal again to a task that was asked to stop and has not acknowledged it.
    case signal(UnsafeMutablePointer<CancelSignal>)
    /// Wakes a task that waits on a condition variable. In the waker's own queue.
    case wake(UnsafeMutablePointer<ConditionWait>)
    /// Checks for a heartbeat, and reports if there was none.
    case heartbeat(UnsafeMutablePointer<HeartbeatWatch>)
    /// Starts the next run of a task; as an event, frees what is left of its runs.
    case start(UnsafeMutablePointer<TaskRuns>)
    /// Sends a notification to systemd.
    case systemd(UnsafeMutablePointer<SystemdWatch>)
    /// Logs that systemd could not be notified.
    case systemdFailure(UnsafeMutablePointer<SystemdWatch>)
    /// As an event, drops the callbacks of a token that nobody refers to any more.
    case settle(TokenReference)
  }

  init(_ action: Action) { self.action = action }
}

/// Timers in the order in which they are due: a pairing heap (Fredman, Sedgewick, Sleator, Tarjan,
/// "The pairing heap", Algorithmica 1, 1986), as its nodes need no memory but their own and any of
/// them can be removed.
///
/// Of timers that are due at the same moment, as periodic tasks are, the heap usually has one; the
/// others are in a ring with it. So many of them cost no more than a few.
///
/// Nothing here locks, calls or allocates.
/// TQ1: no timer is due before the one that is its parent.
/// TQ2: those of a ring are due at the same moment, and exactly one of them is in the heap.
struct TimerQueue {
  /// The timer that is due first.
  private(set) var first: Timer.Pointer?

  var isEmpty: Bool { first == nil }

  /// When it is due.
  var nextDue: Deadline { first.map { Deadline(nanoseconds: $0.pointee.due) } ?? .never }

  /// Adds a timer that is not queued.
  mutating func insert(_ timer: Timer.Pointer, due: Int64) {
    timer.pointee.due = due
    timer.pointee.isQueued = true
    timer.pointee.isInHeap = true
    first = Self.merge(first, timer)
  }

  /// Takes a timer out; one that is not queued is left alone.
  mutating func remove(_ timer: Timer.Pointer) {
    if !timer.pointee.isQueued { return }
    timer.pointee.isQueued = false
    let next = Self.leaveRing(timer)
    if !timer.pointee.isInHeap { return }
    timer.pointee.isInHeap = false
    if let next {
      takePlace(of: timer, next)
      return
    }
    let below = Self.mergeSiblings(timer.pointee.firstChild)
    timer.pointee.firstChild = nil
    if timer == first {
      first = below
      return
    }
    replace(timer, by: timer.pointee.nextSibling)
    Self.detach(timer)
    first = Self.merge(first, below)
  }

  /// Has what stands before a timer in the heap point to another, or to none, instead; and that
  /// one to it.
  private mutating func replace(_ timer: Timer.Pointer, by other: Timer.Pointer?) {
    other?.pointee.previous = timer.pointee.previous
    if let previous = timer.pointee.previous {
      if previous.pointee.firstChild == timer {
        previous.pointee.firstChild = other
      } else {
        previous.pointee.nextSibling = other
      }
    }
  }

  /// Gives a timer's place in the heap to one of its ring.
  private mutating func takePlace(of timer: Timer.Pointer, _ other: Timer.Pointer) {
    other.pointee.isInHeap = true
    other.pointee.firstChild = timer.pointee.firstChild
    other.pointee.firstChild?.pointee.previous = other
    other.pointee.nextSibling = timer.pointee.nextSibling
    other.pointee.nextSibling?.pointee.previous = other
    replace(timer, by: other)
    if timer == first { first = other }
    timer.pointee.firstChild = nil
    Self.detach(timer)
  }

  // MARK: Rings

  /// Takes a timer out of its ring.
  ///
  /// - Returns: the next one in it; nil if it was alone.
  private static func leaveRing(_ timer: Timer.Pointer) -> Timer.Pointer? {
    guard let next = timer.pointee.nextInRing, let previous = timer.pointee.previousInRing else {
      return nil
    }
    timer.pointee.nextInRing = nil
    timer.pointee.previousInRing = nil
    // Of two, the other is alone then.
    let isAlone = next == previous
    previous.pointee.nextInRing = isAlone ? nil : next
    next.pointee.previousInRing = isAlone ? nil : previous
    // It is probably taken out next, and whoever has it is asked for what lies behind it.
    cp_prefetch(next.pointee.nextInRing, 320)
    return next
  }

  /// Puts the ring of a timer without children, which is due at the same moment, at the end of the
  /// ring of another.
  private static func join(_ timer: Timer.Pointer, ring first: Timer.Pointer) {
    timer.pointee.isInHeap = false
    let last = first.pointee.previousInRing ?? first
    let lastOfOther = timer.pointee.previousInRing ?? timer
    last.pointee.nextInRing = timer
    timer.pointee.previousInRing = last
    lastOfOther.pointee.nextInRing = first
    first.pointee.previousInRing = lastOfOther
  }

  // MARK: The heap

  /// Merges two heaps: the root that is due later becomes the first child of the other, or joins
  /// the ring of one that is due at the same moment.
  private static func merge(_ one: Timer.Pointer?, _ other: Timer.Pointer?) -> Timer.Pointer? {
    guard let one else { return other }
    guard let other else { return one }
    let (root, child) = one.pointee.due <= other.pointee.due ? (one, other) : (other, one)
    if child.pointee.firstChild == nil {
      let due = child.pointee.due
      let twin = root.pointee.due == due ? root : root.pointee.firstChild
      if let twin, twin.pointee.due == due {
        join(child, ring: twin)
        return root
      }
    }
    child.pointee.nextSibling = root.pointee.firstChild
    root.pointee.firstChild?.pointee.previous = child
    root.pointee.firstChild = child
    child.pointee.previous = root
    return root
  }

  /// Merges a row of siblings into one heap: in pairs from the left, and then all from the right.
  private static func mergeSiblings(_ leftmost: Timer.Pointer?) -> Timer.Pointer? {
    var pairs: Timer.Pointer?
    var rest = leftmost
    while let one = rest {
      let other = one.pointee.nextSibling
      rest = other?.pointee.nextSibling
      detach(one)
      if let other { detach(other) }
      let pair = merge(one, other)
      pair?.pointee.nextSibling = pairs
      pairs = pair
    }
    var heap: Timer.Pointer?
    while let pair = pairs {
      pairs = pair.pointee.nextSibling
      pair.pointee.nextSibling = nil
      heap = merge(heap, pair)
    }
    return heap
  }

  private static func detach(_ timer: Timer.Pointer) {
    timer.pointee.nextSibling = nil
    timer.pointee.previous = nil
  }
}

/// Timers that are due and need the application's code to be called, in the order in which they
/// were posted.
typealias EventQueue = LinkedList<EventPlace>

/// The place of a timer in the `EventQueue`.
enum EventPlace: ListPlace {
  static subscript(element: Timer.Pointer) -> ListLinks<Timer.Pointer> {
    get { element.pointee.eventLinks }
    set { element.pointee.eventLinks = newValue }
  }
}
