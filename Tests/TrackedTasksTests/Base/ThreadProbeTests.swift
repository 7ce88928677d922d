import CPlatform
import Glibc
import Testing

@testable import TrackedTasks

/// What Linux says of a thread.
@Suite struct ThreadProbeTests {
  /// Hands the bytes of a file to a parser.
  private func parse<Result>(
    _ text: String, _ parser: (UnsafeBufferPointer<UInt8>) -> Result
  ) -> Result {
    Array(text.utf8).withUnsafeBufferPointer(parser)
  }

  private func name(of look: ThreadProbe) -> String {
    look.withWaitChannel { String(cString: $0) }
  }

  private func channel(in text: String) -> String {
    var look = ThreadProbe()
    look.waitChannel = parse(text) { ThreadProbe.waitChannel(in: $0) }
    return name(of: look)
  }

  /// **Proves:** the state is read behind the name, whatever the thread is called, and is unknown
  /// when it is not there (E1).
  ///
  /// **Why it matters:** a thread's name may come from a peer, which must not choose what a report
  /// says.
  /// **Catches:** a parser that searches for the first parenthesis, or counts spaces; a read past
  /// the end.
  @Test(arguments: [
    ("4711 (worker) S 1 4711", "S"), ("4711 (x) R () D 1 2", "D"), ("4711 (a b c) R 1", "R"),
    ("4711 () ) t 1", "t"), ("4711 ((((((((() Z 1", "Z"), ("4711 (\u{1B}]0;) S) R 0", "R"),
    ("4711 (x\\n) S 1) T", "T"), ("4711 (worker) S", "S"),
    ("", ""), (")", ""), (") ", ""), ("4711", ""), ("4711 (worker", ""), ("4711 (worker)", ""),
    ("4711 (worker) ", ""), ("4711 (worker) 5 1", ""), ("4711 (worker)S", ""), ("4711 (x)  S", ""),
  ])
  func theStateStandsBehindTheName(text: String, state: String) {
    let found = parse(text) { ThreadProbe.schedulerState(in: $0) }
    #expect(found == (state.utf8.first ?? 0), "\(text)")
  }

  /// **Proves:** the kernel's flags are the seventh field behind the name, and are not known where they are not there whole
  /// (Q1).
  ///
  /// **Why it matters:** they tell a child of fork(2), in which no holder of a lock is certain.
  /// **Catches:** another field; a number that is cut at the end of what was read.
  @Test(arguments: [
    ("4711 (worker) S 1 2 3 4 5 4194368 0", 4_194_368),
    ("4711 (a) 1 2 (b) R 1 -2 3 0 -1 64 0 0", 64),
    ("4711 (worker) S 1 2 3 4 5 4194368", -1), ("4711 (worker) S 1 2 3 4 5 ", -1),
    ("4711 (x) S 1 2 3 4 5 -64 0", -1),
    ("4711 (x) S 1 2", -1), ("4711 (x) S 1 2 3 4 5 99999999999999999999 0", -1), ("4711 (x)", -1),
    ("4711", -1), ("", -1),
  ])
  func theFlagsAreTheSeventhField(text: String, flags: Int) {
    let found = parse(text) { ThreadProbe.flags(in: $0) }
    #expect(found.map { Int($0) } ?? -1 == flags, "\(text)")
  }

  /// **Proves:** a wait channel is a name of at most 46 characters, ended by NUL, and "0" is none
  /// (E1).
  ///
  /// **Why it matters:** it is copied to the 47 bytes that `tr_straggler` has for it.
  /// **Catches:** a text without an end; "0" taken for a function.
  @Test func aWaitChannelIsAName() {
    #expect(channel(in: "futex_wait_queue") == "futex_wait_queue")
    #expect(channel(in: "pipe_read\n") == "pipe_read")
    #expect(channel(in: "0") == "")
    #expect(channel(in: "") == "")
    #expect(channel(in: "a\0b") == "a")
    #expect(channel(in: "do_wait\u{1B}[2J") == "do_wait")
    let long = String(repeating: "x", count: 46)
    for text in [long, long + "y", long + long] { #expect(channel(in: text) == long) }
    #expect(channel(in: String(long.dropLast())).count == 45)
  }

  /// **Proves:** a system call is reported with its number, arguments and places if its line is whole, and as
  /// unknown otherwise (E1, E13).
  ///
  /// **Why it matters:** a wrong name of a call, or a wrong descriptor, sends people looking in the wrong place.
  /// **Catches:** a number that is cut or too large; "running" taken for 0; a word of more than 64 bits; arguments of a
  /// line that is cut.
  @Test(arguments: [
    ("0 0x3 0x7f 0x1 0x0 0x0 0x0 0x7ffe 0x7f90\n", 0),
    ("202 0x3 0x7f 0xffffffffffffffff 0x0 0x0 0x0 0x7ffe 0x7f90\n", 202),
    ("2147483647 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n", 2_147_483_647),
    ("running\n", -1), ("-1 0x7ffe 0x7f90\n", -1), ("", -1), ("20", -1), (" 20 ", -1), ("20x ", -1),
    ("0 0x3 0x7f 0x1 0x0 0x0 0x0 0x7ffe 0x7f90", -1), ("0 0x3 0x7f 0x1 0x0 0x0 0x0 0x7ffe\n", -1),
    ("0 0x3 0x7f 0x1 0x0 0x0 0x0 0x7ffe 0x\n", -1), ("0 3 0x7f 0x1 0x0 0x0 0x0 0x7ffe 0x1\n", -1),
    ("0 0x10000000000000000 0x7f 0x1 0x0 0x0 0x0 0x7ffe 0x1\n", -1),
    ("2147483648 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n", -1), ("99999999999999999999999 0x0", -1),
  ])
  func aSystemCallIsALineOfNumbers(text: String, number: Int32) {
    let call = parse(text) { ThreadProbe.call(in: $0) }
    #expect(call.number == number, "\(text)")
    var place = number >= 0 ? SystemCall.Place.inside : .unknown
    if text == "running\n" { place = .running }
    if text.hasPrefix("-1") { place = .outside }
    #expect(call.place == place, "\(text)")
    if place == .unknown { #expect(call == SystemCall(), "\(text)") }
    if number == 202 {
      #expect(call.words[0] == 3)
      #expect(call.words[2] == .max)
      #expect(call.words[6] == 0x7ffe)
      #expect(call.instruction == 0x7f90)
    }
  }

  /// **Proves:** the time on a run queue is the second number of `schedstat` (E15).
  ///
  /// **Why it matters:** a task that gets no processor looks like one that works.
  /// **Catches:** the first or the third number; one that is cut.
  @Test(arguments: [
    ("12 345 6\n", 345), ("0 0 0\n", 0), ("1 9223372036854775807 2\n", Int64.max),
    ("1 9223372036854775808 2\n", -1), ("12 345", -1), ("12", -1), ("", -1), ("12  6\n", -1),
  ])
  func aRunQueueIsTheSecondNumber(text: String, time: Int64) {
    #expect(parse(text) { ThreadProbe.runQueue(in: $0) } == time, "\(text)")
  }

  /// **Proves:** the mark of a thread's runs is CPU time and number of runs, and not known where runs are not counted
  /// (Q8).
  ///
  /// **Why it matters:** a run may take no CPU time by the kernel's clock; who compares times takes two waits for one.
  /// **Catches:** a mark of the time alone, or of the time on a run queue; one of a line that is cut.
  @Test(arguments: [
    ("12 345 6\n", 18), ("0 345 6\n", 6), ("12 345 7\n", 19), ("13 345 6\n", 19),
    ("12 345 0\n", -1), ("12 345 6", -1), ("12 345 \n", -1), ("12 345", -1), ("12", -1), ("", -1),
    ("x 345 6\n", -1), ("12 9223372036854775808 6\n", -1), ("9223372036854775807 0 1\n", 0),
  ])
  func aRunChangesTheMark(text: String, mark: Int64) {
    #expect(parse(text) { ThreadProbe.runMark(in: $0) } == mark, "\(text)")
  }

  /// **Proves:** each wake-up of a thread changes its mark, however short it was (Q8).
  ///
  /// **Catches:** a mark of the CPU time, of which 2 to 4 of 20 000 such runs took none on a virtual machine.
  @Test func eachWakeUpChangesTheMark() throws {
    let registry = try TaskRegistry()
    let thread = Counter()
    let runs = Counter()
    var ends: [Int32] = [0, 0]
    #expect(pipe(&ends) == 0)
    let (input, output) = (ends[0], ends[1])
    let task = try registry.spawn("reads", kind: .backgroundLoop) { _ in
      thread.add(Int(cp_gettid()))
      var byte: UInt8 = 0
      while read(input, &byte, 1) == 1 { runs.add() }
    }
    /// The mark once it sleeps in read(2) again.
    func restingMark() -> Int64 {
      var mark: Int64 = -1
      #expect(
        eventually {
          let id = Int32(thread.value)
          if id == 0 { return false }
          let probe = ThreadProbe.at(threadID: id)
          mark = probe.runMark
          return probe.schedulerState == 0x53 && probe.call.place == .inside
            && !ThreadProbe.hasRun(thread: id, since: mark)
        })
      return mark
    }
    var last = restingMark()
    for round in 1...2000 {
      var byte: UInt8 = 1
      #expect(write(output, &byte, 1) == 1)
      while runs.value < round { usleep(10) }
      let mark = restingMark()
      #expect(mark != last, "run \(round)")
      if mark == last { break }
      last = mark
    }
    close(output)
    try task.wait()
    close(input)
    try registry.shutdown()
  }

  /// **Proves:** a system call is reported with its arguments, stack and instruction if its line is
  /// complete; a thread that runs, or waits outside of system calls, is in none (E1, Q1).
  ///
  /// **Why it matters:** a wrong name of a call sends people looking in the wrong place, and a wrong
  /// argument blames another lock.
  /// **Catches:** a number that is cut or too large; "running" taken for 0; a word that is left out.
  @Test(arguments: [
    ("0 0x3 0x7f 0x1 0x0 0x0 0x0 0x7ffe 0x7f90\n", 0, 0x7f90, SystemCall.Place.inside),
    (
      "2147483647 0x0 0x1 0x2 0x3 0x4 0x5 0x6 0xffffffffffffffff\n", 2_147_483_647, UInt64.max,
      .inside
    ),
    ("202 0x7f\n", -1, 0, .unknown), ("34\n", -1, 0, .unknown),
    ("0 0x3 0x7f 0x1 0x0 0x0 0x0 0x7ffe 0x7f90", -1, 0, .unknown),
    ("0 0x3 0x7f 0x1 0x0 0x0 0x0 0x7ffe 0x\n", -1, 0, .unknown),
    ("0 0x3 0x7f 0x1 0x0 0x0 0x0 0x7ffe 0x10000000000000000\n", -1, 0, .unknown),
    ("running\n", -1, 0, .running), ("-1 0x7ffe 0x7f90\n", -1, 0, .outside),
    ("", -1, 0, .unknown), ("running", -1, 0, .unknown), (" 20 ", -1, 0, .unknown),
    ("2147483648 0x0 0x1 0x2 0x3 0x4 0x5 0x6 0x7\n", -1, 0, .unknown),
  ])
  func aSystemCallHasItsArguments(
    text: String, number: Int32, instruction: UInt64, place: SystemCall.Place
  ) {
    let call = parse(text) { ThreadProbe.call(in: $0) }
    #expect(call.number == number && call.place == place, "\(text)")
    #expect(call.instruction == instruction, "\(text)")
  }

  /// **Proves:** a thread that waits in read(2) is seen asleep there, using no CPU time, even if
  /// its name is like a line of its own `stat` file; and errno is as before (E1).
  ///
  /// **Why it matters:** this is what makes the difference between stuck and slow.
  /// **Catches:** the caller's files read instead of the thread's; errno changed.
  @Test(arguments: ["reader", "x) R (", "1 (R) R 1"])
  func aThreadInReadIsSeenThere(called: String) throws {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    let (reading, writing) = (ends[0], ends[1])
    let id = Locked<Int32>(0)
    let thread = PlainThread {
      _ = called.withCString { cp_set_own_thread_name($0) }
      id.withLock { $0 = ownThreadID() }
      var byte: UInt8 = 0
      _ = Glibc.read(reading, &byte, 1)
    }
    #expect(
      eventually {
        let look = ThreadProbe.at(threadID: id.value)
        return look.schedulerState == UInt8(ascii: "S") && look.syscall == Int32(SYS_read)
      })
    errno = 4711
    let before = ThreadProbe.at(threadID: id.value)
    let after = ThreadProbe.at(threadID: id.value)
    #expect(errno == 4711)
    #expect(before.cpu > 0 && before.cpu == after.cpu)
    #expect(!name(of: before).contains { !$0.isASCII || $0.isWhitespace })
    #expect(cp_syscall_name(before.syscall).map { String(cString: $0) } == "read")
    _ = Glibc.write(writing, &ends, 1)
    thread.join()
    close(reading)
    close(writing)
  }

  /// **Proves:** a thread that runs is seen running, in no system call, and its CPU time grows
  /// (E1).
  ///
  /// **Why it matters:** a loop that never checks its flag is found by this.
  /// **Catches:** the process's clock, or the caller's, read instead of the thread's.
  @Test func aThreadThatRunsIsSeenRunning() {
    let id = Locked<Int32>(0)
    let isOver = Locked(false)
    let thread = PlainThread {
      id.withLock { $0 = ownThreadID() }
      while !isOver.value {}
    }
    let first = Locked<Int64>(-1)
    #expect(
      eventually {
        let look = ThreadProbe.at(threadID: id.value)
        if look.schedulerState != UInt8(ascii: "R") || look.syscall != -1 { return false }
        if first.value < 0 { first.withLock { $0 = look.cpu } }
        return name(of: look).isEmpty && look.cpu > first.value + 5_000_000
      })
    isOver.withLock { $0 = true }
    thread.join()
  }

  /// **Proves:** nothing is known of a thread that does not exist (E1).
  ///
  /// **Why it matters:** stragglers end while they are examined.
  /// **Catches:** bytes of an earlier file taken for those of one that could not be read.
  @Test(arguments: [0, -1, Int32.min, Int32.max, 1])
  func ofNoThreadNothingIsKnown(id: Int32) {
    let look = ThreadProbe.at(threadID: id)
    #expect(look.schedulerState == 0 && look.syscall == -1 && look.cpu == -1)
    #expect(name(of: look).isEmpty)
  }
}
