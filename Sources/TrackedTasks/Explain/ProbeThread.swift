import CPlatform
import Synchronization

/// Looks at threads where the process has no descriptor left to look with (E1).
///
/// Linux tells of threads by files alone, and a program that hangs has often run out of descriptors. A reserve would
/// be a descriptor of the process's, which the application may close, and a number that it may get instead. So
/// a thread is made for the purpose that has a table of descriptors of its own, an empty one (close_range(2),
/// CLOSE_RANGE_UNSHARE): nothing of the process's is touched.
///
///     working → done
///        └────→ abandoned
///
/// [finish: the thread] [take: the asker, when his time is over] Whoever comes second frees the memory: neither waits
/// for the other without end (P6).
struct ProbeThread: ~Copyable {
  /// One thread that is to be looked at, and what was seen.
  struct Slot {
    let threadID: Int32
    var look: ThreadProbe
  }

  typealias Pointer = UnsafeMutablePointer<ProbeThread>

  // atomic: as above. Released by `finish`, acquired by the asker. The first field: a futex.
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

  /// Looks at threads.
  ///
  /// - Parameters:
  ///   - count: how many; more than 0.
  ///   - deadline: when to give up.
  ///   - slot: what is known of number 0, 1, …
  ///   - body: gets what was seen, number by number; it is not called if nothing was.
  static func look(
    at count: Int, until deadline: Deadline, slot: (Int) -> Slot, body: (Int, ThreadProbe) -> Void
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
      body(number, slot.look)
    }
    free(this)
  }

  /// Memory for it all; nil if there is none.
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
    // SAFETY: `look` passes it.
    let this = argument.unsafelyUnwrapped.assumingMemoryBound(to: ProbeThread.self)
    if cp_use_no_descriptors() {
      for number in 0..<this.pointee.count {
        this.pointee.slots[number].look = .at(threadID: this.pointee.slots[number].threadID)
      }
    }
    this.pointee.finish(this)
    return nil
  }

  private borrowing func finish(_ this: Pointer) {
    let before = word.exchange(Self.done, ordering: .acquiringAndReleasing)
    // The asker frees it as soon as he has seen that; a wake-up of an address that is another's by then does no harm.
    if before == Self.abandoned { free(this) } else { cp_futex_wake(this) }
  }

  /// Sleeps until the thread has finished; false if it has not in time, and what there is, is the thread's.
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
