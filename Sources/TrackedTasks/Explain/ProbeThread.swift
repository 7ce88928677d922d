import CPlatform
import Synchronization

/// Probes threads when the process has no free descriptor to do it with (E1).
///
/// Linux describes threads only by files, and a program that hangs has often run out of
/// descriptors. A descriptor held in reserve would be one of the process's: the application might
/// close it, and its number would be reused. So a thread is made for the purpose, with a table of
/// descriptors of its own, an empty one (close_range(2), CLOSE_RANGE_UNSHARE): nothing of the
/// process's is touched.
///
///     working → done
///        └────→ abandoned
///
///     working → done       [publish], by the thread
///     working → abandoned  [hasFinished], by the asker, when its time is over
///
/// The second of the two frees the memory: neither waits for the other indefinitely (P6).
struct ProbeThread: ~Copyable {
  /// One thread to be probed, and the result.
  struct Slot {
    let threadID: Int32
    var probe: ThreadProbe
  }

  typealias Pointer = UnsafeMutablePointer<ProbeThread>

  // atomic: as above. Released by `publish`, acquired by the asker. The first field: a futex.
  private let word = Atomic<UInt32>(working)
  // immutable after init
  fileprivate let slots: UnsafeMutablePointer<Slot>
  fileprivate let count: Int

  private static var working: UInt32 { 0 }
  private static var done: UInt32 { 1 }
  private static var abandoned: UInt32 { 2 }

  fileprivate init(slots: UnsafeMutablePointer<Slot>, count: Int) {
    self.slots = slots
    self.count = count
  }

  /// Probes threads.
  ///
  /// - Parameters:
  ///   - count: how many; more than 0.
  ///   - deadline: when to give up.
  ///   - slot: what is known of number 0, 1, …
  ///   - body: receives the results, number by number; not called if there are none.
  static func probe(
    _ count: Int, until deadline: Deadline, slot: (Int) -> Slot, body: (Int, ThreadProbe) -> Void
  ) {
    guard let this = make(count, slot) else { return }
    let isStarted =
      startThread(
        stackSize: RegistryOptionsCore.defaultStackSize, isDetached: true, argument: this,
        main: { ProbeThread.run($0) }
      ).code == 0
    if !isStarted {
      free(this)
      return
    }
    if !this.awaitEnd(until: deadline) { return }
    for number in 0..<count {
      let slot = this.pointee.slots[number]
      body(number, slot.probe)
    }
    free(this)
  }

  /// Allocates everything; nil without memory.
  private static func make(_ count: Int, _ slot: (Int) -> Slot) -> Pointer? {
    let size = MemoryLayout<ProbeThread>.stride
    guard let memory = malloc(size + count * MemoryLayout<Slot>.stride) else { return nil }
    let slots = (memory + size).bindMemory(to: Slot.self, capacity: count)
    for number in 0..<count { (slots + number).initialize(to: slot(number)) }
    let this = memory.bindMemory(to: ProbeThread.self, capacity: 1)
    this.initialize(to: ProbeThread(slots: slots, count: count))
    return this
  }

  private static func run(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    beginOwnThread("taskreg-probe")
    // SAFETY: `probe` passes it.
    let this = argument.unsafelyUnwrapped.assumingMemoryBound(to: ProbeThread.self)
    if cp_use_no_descriptors() {
      for number in 0..<this.pointee.count {
        let threadID = this.pointee.slots[number].threadID
        // Stored as a whole: a mutating call in place counts as an access to all of `this`, whose
        // word the asker reads.
        var probe = ThreadProbe.at(threadID: threadID)
        probe.findEdge(ofThread: threadID)
        this.pointee.slots[number].probe = probe
      }
    }
    this.pointee.publish(this)
    return nil
  }

  private borrowing func publish(_ this: Pointer) {
    let before = word.exchange(Self.done, ordering: .acquiringAndReleasing)
    // The asker frees it as soon as it has read that. The address may be reused by then; a spurious
    // wake-up there does no harm.
    if before == Self.abandoned { free(this) } else { cp_futex_wake(this) }
  }

  /// Sleeps until the thread has finished; false if it has not in time, and the memory is the
  /// thread's from then on.
  fileprivate borrowing func hasFinished(_ this: Pointer, until deadline: Deadline) -> Bool {
    while word.load(ordering: .acquiring) != Self.done {
      if deadline.hasPassed {
        return word.exchange(Self.abandoned, ordering: .acquiringAndReleasing) == Self.done
      }
      var limit = deadline.timespec
      cp_futex_wait(this, Self.working, &limit)
    }
    return true
  }
}

extension ProbeThread.Pointer {
  fileprivate func awaitEnd(until deadline: Deadline) -> Bool {
    pointee.hasFinished(self, until: deadline)
  }
}
