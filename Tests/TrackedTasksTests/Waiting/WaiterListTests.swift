import CPlatform
import Testing

@testable import TrackedTasks

/// A place to sleep in memory of the test's own.
private final class Place {
  let memory: UnsafeMutableRawPointer
  let parker: Parker
  let node: UnsafeMutablePointer<Waiter>

  init(key: UInt) {
    memory = .allocate(byteCount: Parker.byteCount, alignment: 16)
    parker = Parker(at: memory)
    node = .allocate(capacity: 1)
    node.initialize(to: Waiter(parker: parker, key: key))
  }

  /// Whether the permit was given since the last check.
  func wasUnparked() -> Bool { parker.park(until: Deadline(nanoseconds: 0)) }

  deinit {
    parker.destroy()
    node.deallocate()
    memory.deallocate()
  }
}

/// Monitor state with nothing but waiters.
private struct Waiters: WaitableState {
  var waiters = WaiterList()
  func checkInvariants() { waiters.checkLinks() }
}

/// The list of blocked threads, and the wait built on it.
@Suite struct WaiterListTests {
  private static let orders: [[Int]] = [
    [0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0],
  ]

  /// **Proves:** waiters may leave in any order, and the rest stay reachable (C4).
  ///
  /// **Why it matters:** a waiter lost from the list is a thread that sleeps indefinitely.
  /// **Catches:** the neighbour's `previous` left pointing to a node on a stack that is gone.
  @Test(arguments: orders) func waitersLeaveInAnyOrder(order: [Int]) {
    let places = (0..<3).map { _ in Place(key: 7) }
    var list = WaiterList()
    for place in places { list.add(place.node) }
    list.checkLinks()
    var left = Set(0..<3)
    for number in order {
      list.remove(places[number].node)
      left.remove(number)
      list.checkLinks()
      list.wake(7)
      for other in 0..<3 { #expect(places[other].wasUnparked() == left.contains(other)) }
    }
  }

  /// **Proves:** a wake-up reaches all threads that wait for that key and no other (C4).
  ///
  /// **Why it matters:** waking all waiters for every event would wake many threads at each end of
  /// a task.
  /// **Catches:** the comparison of keys left out; only the first waiter woken.
  @Test func wakingReachesThoseWithTheKeyAlone() {
    let places = [1, 2, 1, 3, 2].map { Place(key: $0) }
    var list = WaiterList()
    for place in places { list.add(place.node) }
    list.wake(2)
    #expect(places.map { $0.wasUnparked() } == [false, true, false, false, true])
    list.wake(9)
    #expect(places.allSatisfy { !$0.wasUnparked() })
  }

  /// **Proves:** a wait whose predicate holds returns at once, also past its deadline (J2).
  ///
  /// **Why it matters:** an event that has happened has not timed out.
  /// **Catches:** the deadline checked before the predicate.
  @Test func whatIsReadyHasNotTimedOut() throws {
    let monitor = try #require(Monitor(Waiters()))
    defer { monitor.destroy() }
    let past = Deadline(nanoseconds: 0)
    #expect(monitor.wait(for: 1, until: past, isReady: { true }) == .ready)
    #expect(monitor.wait(for: 1, until: past, isReady: { false }) == .timedOut)
  }

  /// **Proves:** a change between the waiter's listing and its check is not missed (C4).
  ///
  /// **Why it matters:** this is the window in which wake-ups get lost.
  /// **Catches:** the predicate checked before the waiter is on the list.
  @Test func noWakeUpIsLostBetweenListingAndLooking() throws {
    let monitor = try #require(Monitor(Waiters()))
    defer { monitor.destroy() }
    var isReady = false
    let end = monitor.wait(for: 1, until: .after(60_000_000_000)) {
      isReady = true
      monitor.withLock { $0.waiters.wake(1) }
    } isReady: {
      isReady
    }
    #expect(end == .ready)
  }
}
