import CPlatform
import Glibc
import Synchronization
import Testing

@testable import TrackedTasks

/// Backtraces that threads are asked for by a signal.
@Suite struct BacktraceTests {
  /// The one signal that this process enables.
  private static let signal: Int32 = 61

  private static func enable() throws { try TaskRegistry.enableBacktraces(signal: signal) }

  /// Whether signals are delivered when ThreadSanitizer thinks fit.
  private static let isUnderThreadSanitizer = dlsym(nil, "__tsan_init") != nil

  /// The answer of a thread.
  private static func frames(
    of threadID: Int32, capacity: Int = Backtrace.mostFrames
  ) -> [UInt64] {
    var frames = [UInt64](repeating: 0, count: capacity)
    let count = frames.withUnsafeMutableBufferPointer {
      Backtrace.capture(
        ofThread: threadID, into: $0.baseAddress.unsafelyUnwrapped, capacity: capacity
      ).count
    }
    return Array(frames.prefix(count))
  }

  private static func object(of address: UInt64) -> String {
    var path = ""
    withSymbol(of: address) { object, _, _, _ in path = object.map { String(cString: $0) } ?? "" }
    return path
  }

  private static func changeMask(_ how: Int32) {
    var set = cp_no_signals()
    sigaddset(&set, signal)
    pthread_sigmask(how, &set, nil)
  }

  /// **Proves:** the blocked signals in a `status` file are read, for each of the 64, and nothing
  /// else in the file is taken for them (E12).
  ///
  /// **Why it matters:** a thread that blocks the signal would be waited for, and keep it pending.
  /// **Catches:** a bit beside the right one; a line that a thread's name makes.
  @Test func blockedSignalsAreRead() {
    let parse = { (text: String, signal: Int32) in
      Array(text.utf8).withUnsafeBufferPointer { ThreadProbe.blocks(signal, in: $0) }
    }
    for number in Int32(1)...64 {
      let digits = String(UInt64(1) << UInt64(number - 1), radix: 16)
      let mask = String(repeating: "0", count: 16 - digits.count) + digits
      for other in Int32(1)...64 {
        let found = parse("Name:\tx\nSigPnd:\tffffffffffffffff\nSigBlk:\t\(mask)\n", other)
        #expect(found == (other == number))
      }
    }
    let all = "ffffffffffffffff"
    #expect(parse("\nSigBlk:\tFFFFFFFFFFFFFFFF", 1))
    let broken = [
      "", "\nSigBlk:\t", "\nSigBlk:\t\(all.dropLast())", "SigBlk:\t\(all)\n", "\nSigBlk: \(all)\n",
    ]
    for text in broken { #expect(!parse(text, 1), "\(text)") }
    #expect(!parse("\nSigBlk:\t\(all)\n", 0) && !parse("\nSigBlk:\t\(all)\n", 65))
    #expect(!parse("Name:\tSigBlk:\t\(all)\n", 1))
  }

  /// **Proves:** a task that waits in read(2) is found there, with its thread's start function as
  /// the outermost caller; the task is not disturbed; and no more is written than there is room for
  /// (E12).
  ///
  /// **Why it matters:** this is what shows which task waits for what.
  /// **Catches:** the handler's frames left in; the order reversed; a read that ends with EINTR.
  @Test func aReadingTaskIsFoundInRead() throws {
    try Self.enable()
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    let (reading, writing) = (ends[0], ends[1])
    let outcome = Locked<Int>(-2)
    let registry = try TaskRegistry()
    let task = try registry.spawn("reads", kind: .rpcHandler) { _ in
      var byte: UInt8 = 0
      let count = Glibc.read(reading, &byte, 1)
      outcome.withLock { $0 = count }
    }
    let id = { task.core.pointer.pointee.threadID.load(ordering: .relaxed) }
    #expect(
      eventually { task.core.word.stage == .running && ThreadProbe.at(threadID: id()).syscall == 0 }
    )
    var found: [UInt64] = []
    #expect(
      eventually {
        found = Self.frames(of: id())
        return found.count > 5
      })
    if !Self.isUnderThreadSanitizer {
      #expect(Self.object(of: found[0]).contains("libc.so"))
      #expect(Self.object(of: found[found.count - 1] - 1).contains("libc.so"))
    }
    for capacity in 1...3 {
      let few = Self.frames(of: id(), capacity: capacity)
      #expect(few.count == 0 || few == Array(found.prefix(capacity)))
    }
    #expect(outcome.value == -2)
    _ = Glibc.write(writing, &ends, 1)
    try task.wait(timeout: ample)
    #expect(outcome.value == 1)
    try registry.shutdown(grace: ample)
    close(reading)
    close(writing)
  }

  /// **Proves:** `explain` without backtraces interrupts no thread, and says so for each task; by
  /// default, and with backtraces, each task has its own (E12).
  ///
  /// **Why it matters:** inspecting a healthy program must not disturb it, and inspecting one that
  /// hangs must show where.
  /// **Catches:** the argument not passed on, or inverted.
  @Test func anExplainMayDoWithoutBacktraces() throws {
    try Self.enable()
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    let (reading, writing) = (ends[0], ends[1])
    let registry = try TaskRegistry()
    let task = try registry.spawn("reads", kind: .rpcHandler) { _ in
      var byte: UInt8 = 0
      _ = Glibc.read(reading, &byte, 1)
    }
    #expect(eventually { task.core.word.stage == .running })
    for _ in 0..<3 {
      let report = try registry.explain(withBacktraces: false)
      let found = try #require(report.stragglers.first)
      #expect(found.name == "reads" && found.backtrace == .notEnabled && found.frames.isEmpty)
    }
    // ThreadSanitizer delivers signals when it likes to.
    if !Self.isUnderThreadSanitizer {
      // One capture at a time: other tests want some, too, and a thread has a tenth of a second for
      // its answer.
      for isSaid in [true, false] {
        #expect(
          eventually {
            let report =
              isSaid ? try? registry.explain(withBacktraces: true) : try? registry.explain()
            guard let found = report?.stragglers.first else { return false }
            return found.backtrace == .taken && found.frames.count > 1
          })
      }
    }
    _ = Glibc.write(writing, &ends, 1)
    try task.wait(timeout: ample)
    try registry.shutdown(grace: ample)
    close(reading)
    close(writing)
  }

  /// **Proves:** a thread that blocks the signal has no backtrace, and the signal is not sent to
  /// it; nor has a thread that does not exist (E12).
  ///
  /// **Why it matters:** it would stay pending there, and each report would add one.
  /// **Catches:** the mask not checked.
  @Test func aThreadThatBlocksTheSignalIsLeftAlone() throws {
    try Self.enable()
    let id = Locked<Int32>(0)
    let isPending = Locked<Bool?>(nil)
    let gate = Gate()
    let thread = PlainThread {
      Self.changeMask(SIG_BLOCK)
      id.withLock { $0 = ownThreadID() }
      gate.wait()
      var pending = sigset_t()
      sigpending(&pending)
      isPending.withLock { $0 = sigismember(&pending, Self.signal) == 1 }
    }
    #expect(eventually { id.value != 0 })
    for _ in 0..<3 { #expect(Self.frames(of: id.value).isEmpty) }
    gate.open()
    thread.join()
    #expect(isPending.value == false)
    for nobody in [0, -1, Int32.min, Int32.max, 1] { #expect(Self.frames(of: nobody).isEmpty) }
  }

  /// **Proves:** a thread can be asked for its own backtrace (E12).
  ///
  /// **Why it matters:** a task may make a report of the program, and is part of it.
  /// **Catches:** a requester that sleeps before the handler on its thread has run.
  @Test func aThreadMayAskForItsOwn() throws {
    try Self.enable()
    let count = Locked(0)
    let thread = PlainThread {
      Self.changeMask(SIG_UNBLOCK)
      count.withLock { $0 = Self.frames(of: ownThreadID()).count }
    }
    thread.join()
    // ThreadSanitizer delivers signals when it likes to.
    if !Self.isUnderThreadSanitizer { #expect(count.value > 3) }
  }

  /// **Claim:** with requesters, and with threads that run, wait, block the signal, start and end,
  /// each backtrace is that of the thread that was asked, and every requester gets its answer, or
  /// none, in time.
  ///
  /// A thread is identified by the depth of its recursion.
  ///
  /// **Proves:** a capture is never confused with another (E12).
  ///
  /// **Why it matters:** a wrong backtrace blames the wrong code.
  /// **Catches:** a handler that does not check which thread is asked, or that claims a capture
  /// that was withdrawn; a slot that is not released; a handler that allocates, as a `for` does
  /// without optimisation.
  @Test func nobodyGetsTheFramesOfAnother() throws {
    try Self.enable()
    let repeated = try #require(Climber.returnAddress)
    let end = monotonicNow() + 2_000_000_000
    let climbers = (0..<6).map { Climber(depth: 3 + 5 * $0, temper: $0, signal: Self.signal) }
    let answered = Counter()
    let wrong = Counter()
    do {
      onThreads(climbers.count + 3) { number in
        Self.changeMask(SIG_UNBLOCK)
        if number < climbers.count {
          while monotonicNow() < end {
            // A thread of its own each time: ids come and go.
            PlainThread { climbers[number].climb() }.join()
          }
          return
        }
        var turn = number
        while monotonicNow() < end {
          turn += 1
          let climber = climbers[turn % climbers.count]
          let before = climber.visit.load(ordering: .sequentiallyConsistent)
          let id = climber.threadID.load(ordering: .sequentiallyConsistent)
          let frames = Self.frames(of: id)
          let isSame = climber.visit.load(ordering: .sequentiallyConsistent) == before
          // Even: on its way up or down.
          if !isSame || before % 2 == 0 || frames.isEmpty { continue }
          answered.add()
          // One that ends early, where there are no unwind tables, is still not another thread's.
          let depth = frames.count(where: { $0 == repeated })
          let isAnothers = climbers.contains { $0.depth == depth && $0 !== climber }
          if depth > climber.depth || isAnothers { wrong.add() }
        }
      }
    }
    if !Self.isUnderThreadSanitizer { #expect(answered.value > 50) }
    #expect(wrong.value == 0, "of \(answered.value)")
    // The slot is free again.
    let count = Locked(0)
    #expect(
      eventually {
        PlainThread {
          Self.changeMask(SIG_UNBLOCK)
          count.withLock { $0 = Self.frames(of: ownThreadID()).count }
        }.join()
        return count.value > 0
      })
  }
}

/// A thread that recurses to a depth that distinguishes it from the others, and does something
/// there.
private final class Climber: Sendable {
  let depth: Int
  let temper: Int
  let signal: Int32
  /// The number of the visit down there; odd while it lasts.
  let visit = Atomic<Int>(0)
  let threadID = Atomic<Int32>(0)

  init(depth: Int, temper: Int, signal: Int32) {
    self.depth = depth
    self.temper = temper
    self.signal = signal
  }

  /// Where `descend` returns to when it has called itself; nil if that cannot be found.
  static let returnAddress: UInt64? = {
    var frames = [UnsafeMutableRawPointer?](repeating: nil, count: 40)
    var count: Int32 = 0
    // backtrace(3), which Swift's Glibc does not import.
    let backtrace = unsafeBitCast(
      dlsym(nil, "backtrace"),
      to: (@convention(c) (UnsafeMutablePointer<UnsafeMutableRawPointer?>, Int32) -> Int32).self)
    _ = Climber.descend(20) { count = backtrace(&frames, 40) }
    return frames.prefix(Int(count)).first { frame in frames.count { $0 == frame } == 20 }
      .flatMap { $0.map { UInt64(UInt(bitPattern: $0)) } }
  }()

  @inline(never)
  private static func descend(_ depth: Int, _ body: () -> Void) -> Int {
    if depth == 0 {
      body()
      return 0
    }
    return descend(depth - 1, body) + 1
  }

  /// The life of one thread.
  func climb() {
    threadID.store(ownThreadID(), ordering: .sequentiallyConsistent)
    let deepest = Climber.descend(depth) {
      visit.wrappingAdd(1, ordering: .sequentiallyConsistent)
      stay()
      visit.wrappingAdd(1, ordering: .sequentiallyConsistent)
    }
    precondition(deepest == depth)
  }

  private func stay() {
    let end = monotonicNow() + 3_000_000
    switch temper {
    case 0: while monotonicNow() < end {}
    case 1:
      // Holds the allocator's lock most of the time: a handler that allocates hangs.
      while monotonicNow() < end { for size in 1...50 { free(malloc(size * 1000)) } }
    case 2: usleep(3000)
    case 3:
      // Blocks the signal, now and then.
      while monotonicNow() < end {
        changeMask(SIG_BLOCK)
        usleep(100)
        changeMask(SIG_UNBLOCK)
      }
    case 4:
      var number: UInt64 = 0
      let event = cp_eventfd()
      var poll = pollfd(fd: event, events: Int16(POLLIN), revents: 0)
      _ = Glibc.poll(&poll, 1, 3)
      _ = Glibc.read(event, &number, 8)
      close(event)
    default: break
    }
  }

  private func changeMask(_ how: Int32) {
    var set = cp_no_signals()
    sigaddset(&set, signal)
    pthread_sigmask(how, &set, nil)
  }
}
